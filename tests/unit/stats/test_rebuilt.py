"""What `holdfast stats rebuild` says in the end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from runtime.cli.stats_report import differences
from stats.rebuild import TOLD_MAX, Difference, Rebuilt


@pytest.mark.parametrize(
    ("kinds", "repaired", "expected"),
    [
        ([], False, ": 0 differences"),
        (["total", "origin"], True, ": 2 differences (repaired)"),
        # As many as are told of each kind: there may be more.
        (["total", *["origin"] * (TOLD_MAX - 1)], False, f": {TOLD_MAX} differences"),
        (["total", *["origin"] * TOLD_MAX], False, f": at least {TOLD_MAX + 1} differences"),
    ],
)
def test_how_many(*, kinds: list[str], repaired: bool, expected: str) -> None:
    found = [
        Difference(what=kind, subject_id="s", day="d", currency="USD", found="1", expected="2")
        for kind in kinds
    ]
    text = io.StringIO()
    Console(file=text, width=200).print(
        differences(Rebuilt(entries=9, days=3, differences=tuple(found), repaired=repaired))
    )
    assert text.getvalue().rstrip().endswith(expected)
