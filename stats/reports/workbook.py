"""Writes workbooks for spreadsheets (Office Open XML): a sheet that says what it is, with a chart,
and sheets of rows. Slow to import: only who makes the first one waits.

Rows go to disk as they come. Texts are written as texts, so that nothing is run; what looks like a
formula is marked so that it stays a text when somebody edits it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from runtime.formulas import is_formula
from runtime.money import EXPONENTS
from stats.reports.cells import plain
from stats.reports.chart import Bar
from stats.reports.table import CURRENCY, Column, Kind, Row

#: Rows of one sheet, without its heading: a program for spreadsheets takes no more.
SHEET_ROWS = 1_048_575
#: What a program for spreadsheets takes in one cell.
_TEXT_MAX = 32_767
_WIDTHS = {Kind.TEXT: 18, Kind.COUNT: 11, Kind.AMOUNT: 14}
_ID_WIDTH = 42
_CHART_WIDTH, _CHART_HEIGHT = 900, 320


class WorkbookWriter:
    """Writes rows into sheets, and begins another when one is full."""

    def __init__(
        self,
        path: Path,
        columns: Sequence[Column],
        *,
        facts: Iterable[tuple[str, str]] = (),
        totals: Sequence[tuple[str, str, int]] = (),
        bars: Sequence[Bar] = (),
        sheet_rows: int = SHEET_ROWS,
    ) -> None:
        self._columns = columns
        self._currency = columns.index(CURRENCY)
        self._sheet_rows = sheet_rows
        self._book = Workbook(
            str(path), {"constant_memory": True, "tmpdir": str(path.parent), "in_memory": False}
        )
        self._bold = self._book.add_format({"bold": True})
        self._heading = self._book.add_format({"bold": True, "bottom": 1})
        self._marked = self._book.add_format({"quote_prefix": True})
        self._amounts: dict[int, Any] = {}
        self._sheets = 0
        self._row = 0
        self._summary(facts, totals, bars)
        self._sheet = self._next_sheet()

    def write(self, rows: Sequence[Row]) -> None:
        """Adds rows."""
        for row in rows:
            if self._row > self._sheet_rows:
                self._sheet = self._next_sheet()
            exponent = EXPONENTS[row[self._currency]]
            for number, (value, column) in enumerate(zip(row, self._columns, strict=True)):
                if value is None:
                    continue
                if column.kind is Kind.TEXT:
                    self._text(self._sheet, self._row, number, value)
                elif column.kind is Kind.AMOUNT:
                    self._amount(self._sheet, self._row, number, value, exponent)
                else:
                    self._sheet.write_number(self._row, number, value)
            self._row += 1

    def end(self) -> None:
        """Finishes the file."""
        self._book.close()

    def give_up(self) -> None:
        """Lets go of what is open; the file is thrown away."""
        self._book.fileclosed = True

    def _next_sheet(self) -> Worksheet:
        self._sheets += 1
        sheet = self._book.add_worksheet("Rows" if self._sheets == 1 else f"Rows {self._sheets}")
        for number, column in enumerate(self._columns):
            is_id = column.name.endswith("_id")
            sheet.set_column(number, number, _ID_WIDTH if is_id else _WIDTHS[column.kind])
        sheet.freeze_panes(1, 0)
        for number, column in enumerate(self._columns):
            sheet.write_string(0, number, column.title, self._heading)
        self._row = 1
        return sheet

    def _summary(
        self,
        facts: Iterable[tuple[str, str]],
        totals: Sequence[tuple[str, str, int]],
        bars: Sequence[Bar],
    ) -> None:
        """What the report is; then totals by currency; then what the chart shows."""
        sheet = self._book.add_worksheet("Summary")
        sheet.set_column(0, 0, 24)
        sheet.set_column(1, 3, 18)
        row = 0
        for name, value in facts:
            sheet.write_string(row, 0, name, self._bold)
            self._text(sheet, row, 1, value)
            row += 1
        row += 1
        for name, currency, amount_minor in totals:
            sheet.write_string(row, 0, name)
            self._amount(sheet, row, 1, amount_minor, EXPONENTS[currency])
            sheet.write_string(row, 2, currency)
            row += 1
        for currency in dict.fromkeys(one.currency for one in bars):
            mine = [one for one in bars if one.currency == currency]
            row += 1
            sheet.write_string(row, 0, "Period", self._heading)
            sheet.write_string(row, 1, f"Net spend, {currency}", self._heading)
            first = row + 1
            for one in mine:
                row += 1
                sheet.write_string(row, 0, one.label)
                self._amount(sheet, row, 1, one.amount_minor, EXPONENTS[currency])
            sheet.insert_chart(first - 1, 4, self._chart(currency, first, row))
            row += 1

    def _chart(self, currency: str, first: int, last: int) -> Any:
        chart = self._book.add_chart({"type": "column"})
        assert chart is not None, "columns are a kind of charts"
        chart.add_series(
            {
                "name": f"Net spend, {currency}",
                "categories": ["Summary", first, 0, last, 0],
                "values": ["Summary", first, 1, last, 1],
                "fill": {"color": "#0b6e4f"},
                "gap": 60,
            }
        )
        chart.set_legend({"none": True})
        chart.set_size({"width": _CHART_WIDTH, "height": _CHART_HEIGHT})
        return chart

    def _text(self, sheet: Worksheet, row: int, column: int, text: str) -> None:
        shown = plain(text)[:_TEXT_MAX]
        if is_formula(text) or is_formula(shown):
            sheet.write_string(row, column, shown, self._marked)
        else:
            sheet.write_string(row, column, shown)

    def _amount(
        self, sheet: Worksheet, row: int, column: int, amount_minor: int, exponent: int
    ) -> None:
        shown = self._amounts.get(exponent)
        if shown is None:
            decimals = f".{'0' * exponent}" if exponent else ""
            shown = self._book.add_format({"num_format": f"#,##0{decimals}"})
            self._amounts[exponent] = shown
        # Exact: amounts have at most 16 digits, as numbers of spreadsheets do.
        sheet.write_number(row, column, Decimal(amount_minor).scaleb(-exponent), shown)
