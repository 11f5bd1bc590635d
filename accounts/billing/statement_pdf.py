"""Statements as documents for people. Slow to import: only who asks for the first one waits."""

from __future__ import annotations

from collections.abc import Sequence

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout

from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime.money import format_minor


def as_pdf(statement: pb.Statement, lines: Sequence[pb.StatementLine], *, creditor: str) -> bytes:
    """A document of as many pages as it takes; the same statement gives the same bytes."""
    page = FPDF(format="letter")
    page.set_creation_date(statement.issue_time.ToDatetime())
    page.set_title(f"Statement {statement.number}")
    page.set_margin(18)
    page.add_page()
    page.set_font("helvetica", "B", 16)
    page.cell(text=_latin(creditor), new_x="LMARGIN", new_y="NEXT")
    page.set_font("helvetica", size=10)
    page.cell(
        text=f"Statement {statement.number} of account {statement.account_id}",
        new_x="LMARGIN",
        new_y="NEXT",
    )
    page.cell(
        text=f"{statement.cycle_start_date} to {statement.cycle_end_date}",
        new_x="LMARGIN",
        new_y="NEXT",
    )
    page.ln(4)
    _pairs(page, _due(statement))
    page.ln(4)
    _pairs(page, _summary(statement))
    for text in _warnings(statement):
        page.ln(3)
        page.multi_cell(w=0, text=_latin(text), new_x="LMARGIN", new_y="NEXT")
    page.ln(4)
    _table(page, ["Date", "Description", "Amount"], _rows(lines), (22, 110, 38))
    page.ln(4)
    _table(page, ["Interest on", "Annual rate", "Charged"], _interest(statement), (60, 55, 55))
    return bytes(page.output())


def _due(statement: pb.Statement) -> list[tuple[str, str]]:
    return [
        ("New balance", _money(statement.closing_balance)),
        ("Minimum payment due", _money(statement.minimum_payment)),
        ("Of it past due", _money(statement.past_due)),
        ("Payment due date", statement.due_date),
    ]


def _summary(statement: pb.Statement) -> list[tuple[str, str]]:
    totals, year = statement.totals, statement.year_to_date
    return [
        ("Previous balance", _money(statement.opening_balance)),
        ("Payments", _money(totals.payments, sign=-1)),
        ("Other credits", _money(totals.credits, sign=-1)),
        ("Returned payments", _money(totals.returned_payments)),
        ("Purchases", _money(totals.purchases)),
        ("Cash advances", _money(totals.cash_advances)),
        ("Fees charged", _money(totals.fees)),
        ("Interest charged", _money(totals.interest)),
        (f"Fees charged in {year.year}", _money(year.fees)),
        (f"Interest charged in {year.year}", _money(year.interest)),
    ]


def _warnings(statement: pb.Statement) -> list[str]:
    """12 CFR 1026.7(b)(11) and (12), in the words of the model forms."""
    found = []
    if statement.minimum_payment.amount_minor:
        found.append(
            "Late payment warning: if we do not receive your minimum payment by the date listed"
            " above, you may have to pay a late fee, and your rates may be increased."
        )
    if not statement.HasField("payoff_warning"):
        return found
    warning = statement.payoff_warning
    months = warning.minimum_months
    when = f"in about {months} months" if months else "never"
    text = (
        "Minimum payment warning: if you make only the minimum payment each period, you will pay"
        " more in interest and it will take you longer to pay off your balance. If you make no"
        f" additional charges and pay only the minimum, you will pay off the balance {when}"
    )
    text += f" and will end up paying about {_money(warning.minimum_total)}." if months else "."
    if warning.payment_36_months.amount_minor:
        text += (
            f" If you pay {_money(warning.payment_36_months)} each month, you will pay it off in"
            f" 36 months and will end up paying {_money(warning.total_36_months)}"
            f" (savings: {_money(warning.savings)})."
        )
    return [*found, text]


def _rows(lines: Sequence[pb.StatementLine]) -> list[tuple[str, str, str]]:
    return [(line.date, line.description, _money(line.amount)) for line in lines]


def _interest(statement: pb.Statement) -> list[tuple[str, str, str]]:
    return [
        (one.category.capitalize(), f"{one.annual_percentage_rate} %", _money(one.amount))
        for one in statement.interest_charges
    ]


def _pairs(page: FPDF, pairs: Sequence[tuple[str, str]]) -> None:
    for name, value in pairs:
        page.cell(w=70, text=_latin(name))
        page.cell(w=45, text=value, align="R", new_x="LMARGIN", new_y="NEXT")


def _table(
    page: FPDF, head: list[str], rows: Sequence[tuple[str, ...]], widths: tuple[int, ...]
) -> None:
    with page.table(
        col_widths=widths,
        text_align=("LEFT", "LEFT", "RIGHT"),
        borders_layout=TableBordersLayout.SINGLE_TOP_LINE,
        headings_style=FontFace(emphasis="BOLD"),
    ) as table:
        table.row(head)
        for row in rows:
            table.row([_latin(cell) for cell in row])


def _money(amount: Money, *, sign: int = 1) -> str:
    return format_minor(sign * amount.amount_minor, amount.currency_code)


def _latin(text: str) -> str:
    """The standard fonts of PDF know Latin-1 only; what is not in it is shown as `?`."""
    return text.encode("latin-1", "replace").decode("latin-1")
