"""Cells of reports: no spreadsheet runs one, and amounts are exact in every currency."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.formulas import is_formula
from runtime.money import EXPONENTS, decimal_minor
from stats.reports.cells import plain, quiet
from stats.reports.report import percent
from stats.reports.table import decimal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Shop", "Shop"),
        ("Shop =1+1", "Shop =1+1"),
        ("=1+1", "'=1+1"),
        ("+44 20", "'+44 20"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\t=1", "' =1"),
        ("\r\n=1", "' =1"),
        ("\x00=1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ("two\nlines", "two lines"),
        ("Caf\u00e9 \u732b", "Caf\u00e9 \u732b"),
        ("", ""),
    ],
)
def test_no_text_is_a_formula(text: str, shown: str) -> None:
    assert quiet(text) == shown


@given(st.text())
def test_nothing_that_is_shown_could_be_run(text: str) -> None:
    shown = quiet(text)
    assert not is_formula(shown)
    assert shown.lstrip()[:1] not in ("=", "+", "-", "@")
    assert shown == plain(shown)
    assert shown.isprintable() or not text.isprintable()


@given(st.integers(-(2**60), 2**60), st.sampled_from(sorted(EXPONENTS)))
def test_amounts_are_exact(amount_minor: int, currency: str) -> None:
    assert decimal(amount_minor, EXPONENTS[currency]) == decimal_minor(amount_minor, currency)


def test_how_much_is_done() -> None:
    """All of it is only what is ready."""
    assert [percent(*one) for one in ((0, 0), (0, 5), (1, 3), (5, 5), (9, 5))] == [0, 0, 33, 99, 99]
