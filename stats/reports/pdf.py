"""Reports of spending as documents for people, with charts. Slow to import: only who makes the
first one waits. Charts are drawn as lines and boxes: they are sharp however large they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.clock import datetime_of
from runtime.money import EXPONENTS, format_minor
from runtime.paper import FONT, LINE, MARGIN, Align, Paper, Rows, latin
from stats.measures import Measures
from stats.reports.cells import plain
from stats.reports.chart import Bar, bars_of, step_minor
from stats.reports.report import Group, Report
from stats.reports.spending import Overview, Top
from stats.reports.table import Column, Kind, Row, spending_columns

#: Rows that are printed: other kinds of files have all.
ROWS_MAX = 300
#: Characters of names that fit.
_NAME_MAX = 34
#: Columns are as wide as they should be, or less by so much; wider tables lie on their side.
_CROWDED = 1.15
#: Of an id, what people are shown: its end tells it from others.
_ID_END = 8
_GREEN, _RED, _GREY, _LIGHT = (11, 110, 79), (178, 34, 34), (90, 90, 90), (222, 226, 230)
_CHART_HEIGHT = 48
#: Room for what stands beside the lines of a chart.
_SCALE_WIDTH = 24
_LABELS_MAX = 10
_LINES_MAX = 5
_TITLES = {
    Group.CATEGORY: "Categories of merchants",
    Group.MERCHANT: "Merchants",
    Group.DEPARTMENT: "Departments",
    Group.CARD: "Cards",
}


class PdfWriter:
    """Keeps the first rows, and draws everything in the end."""

    def __init__(self, path: Path, report: Report, found: Overview) -> None:
        self._path = path
        self._report = report
        self._found = found
        self._rows: list[Row] = []
        self._count = 0

    def write(self, rows: Sequence[Row]) -> None:
        """Adds rows."""
        self._count += len(rows)
        self._rows += rows[: ROWS_MAX - len(self._rows)]

    def end(self) -> None:
        """Writes the file."""
        report, found = self._report, self._found
        about = f"Spending of {report.wanted.subject_id}, {report.start} to {report.end}"
        page = Paper(about, datetime_of(report.create_time_ms))
        page.add_page()
        _head(page, report)
        if not found.totals:
            page.paragraph("Nothing was spent, and nothing declined.")
        bars = bars_of(found.days, report.start, report.end, week_start=found.week_start)
        for currency, measures in found.totals.items():
            page.title_of(f"Summary, {currency}")
            _summary(page, measures, currency)
            page.ln(3)
            _columns(page, [one for one in bars if one.currency == currency], currency)
            page.ln(4)
            for group, tops in found.tops.items():
                _largest(page, group, [one for one in tops if one.currency == currency])
        _table(page, report, self._rows, self._count)
        self._path.write_bytes(bytes(page.output()))

    def give_up(self) -> None:
        """Nothing is open."""


def _head(page: Paper, report: Report) -> None:
    page.line_of("Spending report", size=16, bold=True)
    page.ln(2)
    page.line_of(report.wanted.subject_id, size=9)
    page.ln(1)
    page.line_of(
        f"{report.start} to {report.end}, in the timezone of each account   |   Report {report.id}",
        size=8,
    )
    page.ln(4)


def _summary(page: Paper, one: Measures, currency: str) -> None:
    def counted(count: int) -> str:
        return f"{count:,}"

    def money(amount_minor: int) -> str:
        return format_minor(amount_minor, currency)

    rows: Rows = [
        ("Purchases", counted(one.purchase_count), money(one.purchase_minor)),
        ("Of it cash", counted(one.cash_count), money(one.cash_minor)),
        ("Refunds", counted(one.refund_count), money(one.refund_minor)),
        ("Net spend", "", money(one.net_spend_minor)),
        ("Fees", counted(one.fee_count), money(one.fee_minor)),
        ("Interest", counted(one.interest_count), money(one.interest_minor)),
        ("Payments", counted(one.payment_count), money(one.payment_minor)),
        ("Declined", counted(one.declined_count), ""),
    ]
    if one.charge_off_count or one.recovery_count:
        rows += [
            ("Charged off", counted(one.charge_off_count), money(one.charge_off_minor)),
            ("Recovered", counted(one.recovery_count), money(one.recovery_minor)),
        ]
    aligns: tuple[Align, ...] = ("LEFT", "RIGHT", "RIGHT")
    page.set_draw_color(0)
    page.grid(("", "Count", "Amount"), rows, (60, 40, 60), aligns=aligns, bold=(3,))


def _columns(page: Paper, bars: Sequence[Bar], currency: str) -> None:
    """Net spend of each period, as columns above (or below) a line."""
    if not any(one.amount_minor for one in bars):
        return
    if page.will_page_break(_CHART_HEIGHT + 5 * LINE):
        page.add_page()
    page.line_of(f"Net spend, {currency}", size=10, bold=True)
    page.ln(2)
    top, left = page.get_y(), MARGIN + _SCALE_WIDTH
    width = page.epw - _SCALE_WIDTH
    highest = max(0, *(one.amount_minor for one in bars))
    lowest = min(0, *(one.amount_minor for one in bars))
    step = step_minor(highest - lowest, EXPONENTS[currency], lines_max=_LINES_MAX)
    first, last = lowest // step, -(-highest // step)
    whole = (last - first) * step

    def height_of(amount_minor: int) -> float:
        return top + (last * step - amount_minor) * _CHART_HEIGHT / whole

    page.set_font(FONT, size=7)
    page.set_text_color(*_GREY)
    page.set_draw_color(*_LIGHT)
    for number in range(first, last + 1):
        y = height_of(number * step)
        page.line(left, y, left + width, y)
        page.set_xy(MARGIN, y - LINE / 2)
        page.cell(w=_SCALE_WIDTH - 2, h=LINE, text=_short(number * step, currency), align="R")
    each = width / len(bars)
    every = -(-len(bars) // _LABELS_MAX)
    for number, one in enumerate(bars):
        x = left + number * each
        y, zero = height_of(max(one.amount_minor, 0)), height_of(0)
        tall = abs(one.amount_minor) * _CHART_HEIGHT / whole
        page.set_fill_color(*(_GREEN if one.amount_minor >= 0 else _RED))
        if one.amount_minor:
            page.rect(x + each * 0.15, min(y, zero), each * 0.7, tall, style="F")
        if number % every == 0:
            page.set_xy(x, top + _CHART_HEIGHT + 1)
            page.cell(w=each, h=LINE, text=one.label, align="C" if every == 1 else "L")
    page.set_draw_color(*_GREY)
    page.line(left, height_of(0), left + width, height_of(0))
    _plain(page)
    page.set_xy(MARGIN, top + _CHART_HEIGHT + LINE + 2)


def _largest(page: Paper, group: Group, tops: Sequence[Top]) -> None:
    """The largest of one kind, with a bar for each."""
    shown = [one for one in tops if one.key or len(tops) > 1]
    if not shown or (group is Group.DEPARTMENT and not any(one.key for one in tops)):
        return
    if page.will_page_break((len(shown) + 2) * LINE):
        page.add_page()
    page.line_of(_TITLES[group], size=10, bold=True)
    page.ln(1)
    largest = max(abs(one.net_minor) for one in shown) or 1
    name_width, money_width = 62, 40
    room = page.epw - name_width - money_width - 4
    for one in shown:
        y = page.get_y()
        page.set_font(FONT, size=8)
        page.cell(w=name_width, h=LINE, text=latin(_name(one.label) or "(none)"))
        page.set_fill_color(*(_GREEN if one.net_minor >= 0 else _RED))
        length = abs(one.net_minor) * room / largest
        page.rect(MARGIN + name_width, y + 1, max(length, 0.2), LINE - 2, style="F")
        page.set_xy(MARGIN + name_width + room + 4, y)
        page.cell(
            w=money_width,
            h=LINE,
            text=format_minor(one.net_minor, one.currency),
            align="R",
            new_x="LMARGIN",
            new_y="NEXT",
        )
    _plain(page)
    page.ln(3)


def _table(page: Paper, report: Report, rows: Sequence[Row], count: int) -> None:
    """The rows; as many as people read."""
    if not rows:
        return
    columns = spending_columns(report.wanted.groups)
    widths = [_width(one) for one in columns]
    if sum(widths) > page.epw * _CROWDED:
        page.add_page(orientation="landscape")
    page.title_of("In detail")
    if count > len(rows):
        page.paragraph(
            f"The first {len(rows):,} of {count:,} rows: ask for CSV or XLSX to have them all."
        )
    currency = [one.name for one in columns].index("currency")
    page.set_font(FONT, size=7)
    aligns: tuple[Align, ...] = tuple(
        "LEFT" if one.kind is Kind.TEXT else "RIGHT" for one in columns
    )
    with page.table(
        col_widths=widths,
        text_align=aligns,
        borders_layout="SINGLE_TOP_LINE",
        line_height=4,
        width=page.epw,
    ) as table:
        table.row([one.title for one in columns])
        for row in rows:
            table.row(
                [
                    latin(_cell(value, column, row[currency]))
                    for value, column in zip(row, columns, strict=True)
                ]
            )


def _cell(value: str | int, column: Column, currency: str) -> str:
    if column.kind is Kind.TEXT:
        return _name(str(value))
    if column.kind is Kind.COUNT:
        return f"{value:,}"
    return format_minor(int(value), currency).rpartition(" ")[0]


def _width(column: Column) -> int:
    named = {
        "merchant_name": 32,
        "currency": 17,
        "category": 17,
        "country": 17,
        "day": 19,
        # Its title is the longest word.
        "purchase_count": 22,
    }
    found = named.get(column.name)
    if found is None:
        kinds = {Kind.TEXT: 30, Kind.COUNT: 17, Kind.AMOUNT: 23}
        found = kinds[column.kind]
    return found


def _name(text: str) -> str:
    """A name, or the end of an id."""
    shown = plain(text)
    prefix, separator, rest = shown.partition("_")
    if separator and len(rest) >= 4 * _ID_END and rest.isalnum():
        return f"{prefix}_..{rest[-_ID_END:]}"
    return shown if len(shown) <= _NAME_MAX else f"{shown[: _NAME_MAX - 2]}.."


def _short(amount_minor: int, currency: str) -> str:
    """An amount beside a line: lines are at round amounts."""
    text = format_minor(amount_minor, currency).rpartition(" ")[0]
    return text.removesuffix("." + "0" * EXPONENTS[currency])


def _plain(page: Paper) -> None:
    page.set_text_color(0)
    page.set_draw_color(0)
    page.set_fill_color(255)
