"""Workbooks: exact numbers, texts that are never formulas, sheets that are full."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from stats.measures import Measures
from stats.period import SUNDAY
from stats.reports.chart import BARS_MAX, bars_of, step_minor
from stats.reports.report import Group
from stats.reports.table import spending_columns
from stats.reports.workbook import WorkbookWriter
from stats.store import Day

COLUMNS = spending_columns((Group.MERCHANT,))
_NAMES = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def row(name: str, amount_minor: int, currency: str = "USD") -> tuple[object, ...]:
    return ("m-1", name, currency, 1, amount_minor, 0, 0, amount_minor, 0, 0, 0)


def cells(path: Path, sheet: int) -> list[list[str]]:
    """What stands in a sheet, row by row; a formula would begin with `=`."""
    with zipfile.ZipFile(path) as book:
        root = ET.fromstring(book.read(f"xl/worksheets/sheet{sheet}.xml"))
    found = []
    for line in root.iterfind(".//x:row", _NAMES):
        values = []
        for cell in line.iterfind("x:c", _NAMES):
            formula = cell.find("x:f", _NAMES)
            assert formula is None
            text = cell.find(".//x:t", _NAMES)
            value = cell.find("x:v", _NAMES)
            one = text if text is not None else value
            values.append((one.text or "") if one is not None else "")
        found.append(values)
    return found


def test_rows_are_exact_and_texts_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    days = [Day(currency="USD", day=date(2026, 11, 20), measures=Measures(purchase_minor=700))]
    writer = WorkbookWriter(
        path,
        COLUMNS,
        facts=[("About", "=1+1")],
        totals=[("Net spend", "USD", 2**53 - 1)],
        bars=bars_of(days, date(2026, 11, 19), date(2026, 11, 21)),
        sheet_rows=2,
    )
    writer.write([row("=HYPERLINK(1)", 2**53 - 1), row("@x", -5), row("Caf\u00e9\n\x07", 7, "KWD")])
    writer.end()
    assert cells(path, 1) == [
        ["About", "=1+1"],
        ["Net spend", "90071992547409.91", "USD"],
        ["Period", "Net spend, USD"],
        ["2026-11-19", "0.00"],
        ["2026-11-20", "7.00"],
        ["2026-11-21", "0.00"],
    ]
    first, second = cells(path, 2), cells(path, 3)
    assert first[0] == second[0] == [one.title for one in COLUMNS]
    assert [one[1:5] for one in first[1:]] == [
        ["=HYPERLINK(1)", "USD", "1", "90071992547409.91"],
        ["@x", "USD", "1", "-0.05"],
    ]
    assert [one[1:5] for one in second[1:]] == [["Caf\u00e9 ", "KWD", "1", "0.007"]]
    with zipfile.ZipFile(path) as book:
        assert b"quotePrefix" in book.read("xl/styles.xml")
        assert any("chart" in name for name in book.namelist())
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("start", "end", "first", "count"),
    [
        (date(2026, 11, 20), date(2026, 11, 20), "2026-11-20", 1),
        (date(2026, 11, 1), date(2026, 11, 30), "2026-11-01", 30),
        (date(2026, 7, 1), date(2026, 11, 30), "2026-W27", 23),
        (date(2025, 1, 1), date(2027, 12, 31), "2025-01", 36),
    ],
)
def test_bars_are_as_fine_as_fits(start: date, end: date, first: str, count: int) -> None:
    days = [
        Day(currency=currency, day=day, measures=Measures(purchase_minor=10, refund_minor=3))
        for currency in ("EUR", "USD")
        for day in (start, end)
    ]
    found = bars_of(days, start, end)
    assert (found[0].label, len(found)) == (first, 2 * count)
    assert count <= BARS_MAX
    assert sum(one.amount_minor for one in found) == 28


def test_bars_of_weeks_begin_as_weeks_do_here() -> None:
    days = [Day(currency="USD", day=date(2026, 11, 22), measures=Measures(purchase_minor=10))]
    found = bars_of(days, date(2026, 9, 1), date(2026, 11, 22), week_start=SUNDAY)
    assert (found[0].label, found[-1].label, found[-1].amount_minor) == (
        "2026-08-30",
        "2026-11-22",
        10,
    )


@pytest.mark.parametrize(
    ("whole", "exponent", "step"),
    [
        *((1, 2, 1), (7, 2, 2), (499, 2, 100), (500, 2, 100), (501, 2, 200)),
        *((12_345_678, 2, 5_000_000), (2**53, 2, 2_000_000_000_000_000)),
        *((3, 0, 1), (26, 0, 10), (999, 3, 200)),
    ],
)
def test_lines_are_at_round_amounts(whole: int, exponent: int, step: int) -> None:
    assert step_minor(whole, exponent, lines_max=5) == step
    assert -(-whole // step) <= 5
