"""Statements as documents for people, in the order of model form G-18 (12 CFR 1026, appendix G).
Slow to import: only who asks for the first one waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime.money import format_minor
from runtime.paper import FONT, LINE, MARGIN, Paper, Rows, latin

#: Two columns of amounts, with a gap between them.
_COLUMN, _GAP = 84, 12
_SHADE = (238, 240, 243)
#: Of an account's id, what people are shown of it.
_SHOWN_DIGITS = 4
_CATEGORIES = {"PURCHASE": "Purchases", "CASH": "Cash advances"}
#: Shorter times are told in months.
_YEARS_FROM_MONTHS = 24


def as_pdf(statement: pb.Statement, lines: Sequence[pb.StatementLine], *, creditor: str) -> bytes:
    """A document of as many pages as it takes; the same statement gives the same bytes."""
    about = f"Statement {statement.number}, account ending in {_ending(statement)}"
    page = Paper(about, statement.issue_time.ToDatetime())
    page.add_page()
    _head(page, statement, creditor)
    top = page.get_y()
    _column(page, "Payment information", _due(statement), left=MARGIN, top=top)
    left_ends = page.get_y()
    _column(page, "Account summary", _summary(statement), left=MARGIN + _COLUMN + _GAP, top=top)
    page.set_xy(MARGIN, max(page.get_y(), left_ends) + 4)
    _warnings(page, statement)
    _transactions(page, statement, lines)
    _year_to_date(page, statement)
    _interest(page, statement)
    return bytes(page.output())


def _head(page: Paper, statement: pb.Statement, creditor: str) -> None:
    name, _, address = creditor.partition(",")
    page.line_of(name, size=16, bold=True)
    if address:
        page.line_of(address.strip(), size=9)
    page.ln(4)
    start, end = statement.cycle_start_date, statement.cycle_end_date
    days = (date.fromisoformat(end) - date.fromisoformat(start)).days + 1
    page.line_of(f"Account statement, {_day(start)} to {_day(end)}", size=11, bold=True)
    facts = (
        f"Account ending in {_ending(statement)}",
        f"Statement {statement.number}",
        f"{days} days in billing cycle",
        f"Amounts in {statement.closing_balance.currency_code}",
    )
    page.line_of("   |   ".join(facts), size=9)
    page.ln(5)


def _due(statement: pb.Statement) -> list[tuple[str, str]]:
    rows = [
        ("New balance", _money(statement.closing_balance)),
        ("Minimum payment due", _money(statement.minimum_payment)),
    ]
    if statement.past_due.amount_minor:
        rows.append(("of it past due: pay now", _money(statement.past_due)))
    if statement.minimum_payment.amount_minor:
        rows.append(("Payment due date", _day(statement.due_date)))
    return rows


def _summary(statement: pb.Statement) -> list[tuple[str, str]]:
    totals = statement.totals
    return [
        ("Previous balance", _money(statement.opening_balance)),
        ("Payments", _signed(totals.payments, "-")),
        ("Other credits", _signed(totals.credits, "-")),
        ("Returned payments", _signed(totals.returned_payments, "+")),
        ("Purchases", _signed(totals.purchases, "+")),
        ("Cash advances", _signed(totals.cash_advances, "+")),
        ("Fees charged", _signed(totals.fees, "+")),
        ("Interest charged", _signed(totals.interest, "+")),
        *(
            [("Credit paid back", _signed(totals.credit_refunds, "+"))]
            if totals.credit_refunds.amount_minor
            else []
        ),
        ("New balance", _money(statement.closing_balance)),
    ]


def _column(
    page: Paper, title: str, rows: Sequence[tuple[str, str]], *, left: int, top: float
) -> None:
    """A box of amounts; the new balance stands out."""
    page.set_xy(left, top)
    page.set_font(FONT, "B", 10)
    page.set_fill_color(*_SHADE)
    page.cell(w=_COLUMN, h=LINE + 1, text=title, fill=True)
    page.set_fill_color(255)
    page.set_xy(left, top + LINE + 2)
    for name, value in rows:
        page.set_font(FONT, "B" if name == "New balance" else "", 10)
        page.cell(w=_COLUMN - 34, h=LINE, text=latin(name))
        page.cell(w=34, h=LINE, text=value, align="R")
        page.set_xy(left, page.get_y() + LINE)


def _warnings(page: Paper, statement: pb.Statement) -> None:
    """12 CFR 1026.7(b)(11) and (12), in the words of the model forms."""
    if statement.disputed.amount_minor:
        page.paragraph(
            f"**In dispute:** Of the new balance you dispute {_money(statement.disputed)}. You do"
            " not have to pay it, nor interest or fees on it, while we look into it.",
        )
    if statement.minimum_payment.amount_minor:
        page.paragraph(
            "**Late payment warning:** If we do not receive your minimum payment by the date listed"
            " above, you may have to pay a late fee, and your annual rates may be increased.",
        )
    if not statement.HasField("payoff_warning"):
        return
    warning = statement.payoff_warning
    page.paragraph(
        "**Minimum payment warning:** If you make only the minimum payment each period, you will"
        " pay more in interest and it will take you longer to pay off your balance. For example:",
    )
    months = warning.minimum_months
    rows: Rows = [
        (
            "Only the minimum payment",
            _span(months) if months else "never: it does not cover the interest",
            _money(warning.minimum_total) if months else "",
        )
    ]
    if warning.payment_36_months.amount_minor:
        total = _money(warning.total_36_months)
        if warning.savings.amount_minor:
            total += f"\n(savings: {_money(warning.savings)})"
        rows.append((_money(warning.payment_36_months), "3 years", total))
    head = (
        "If you make no additional charges and each month you pay ...",
        "you will pay off the balance shown on this statement in about ...",
        "and you will end up paying an estimated total of ...",
    )
    page.grid(head, rows, (58, 64, 58), aligns=("LEFT", "LEFT", "LEFT"), ruled=True)
    page.ln(3)


def _transactions(page: Paper, statement: pb.Statement, lines: Sequence[pb.StatementLine]) -> None:
    """The lines by kind, with the totals that 12 CFR 1026.7(b)(6) asks for."""
    totals = statement.totals
    page.title_of("Transactions")
    rows: Rows = []
    heads: list[int] = []

    def section(title: str, found: Iterable[pb.StatementLine]) -> bool:
        chosen = list(found)
        if chosen:
            heads.append(len(rows))
            rows.append(("", title, ""))
            rows.extend((_day(one.date), one.description, _money(one.amount)) for one in chosen)
        return bool(chosen)

    def kind(*names: str) -> list[pb.StatementLine]:
        return [one for one in lines if one.type in names and one.amount.amount_minor >= 0]

    credits_ = [one for one in lines if one.amount.amount_minor < 0]
    section("Payments and credits", [*credits_, *kind("PAYMENT_RETURN", "PAYMENT_REFUND")])
    apart = ("PAYMENT_RETURN", "PAYMENT_REFUND", "FEE", "INTEREST")
    others = [one for one in lines if one.amount.amount_minor >= 0 and one.type not in apart]
    section("Purchases and cash advances", others)
    for title, name, total in (
        ("Fees", "FEE", totals.fees),
        ("Interest charged", "INTEREST", totals.interest),
    ):
        if section(title, kind(name)):
            heads.append(len(rows))
            rows.append(("", f"Total {title.lower()} for this period", _money(total)))
    if not rows:
        rows.append(("", "There were none.", ""))
    page.grid(("Date", "Description", "Amount"), rows, (28, 118, 34), bold=heads)
    page.ln(4)


def _year_to_date(page: Paper, statement: pb.Statement) -> None:
    year = statement.year_to_date
    page.title_of(f"{year.year} totals year-to-date")
    rows: Rows = [
        (f"Total fees charged in {year.year}", _money(year.fees)),
        (f"Total interest charged in {year.year}", _money(year.interest)),
    ]
    page.grid(None, rows, (146, 34), aligns=("LEFT", "RIGHT"))
    page.ln(4)


def _interest(page: Paper, statement: pb.Statement) -> None:
    page.title_of("Interest charge calculation")
    rows: Rows = [
        (
            _CATEGORIES.get(one.category, one.category),
            f"{one.annual_percentage_rate}%",
            _money(one.amount),
        )
        for one in statement.interest_charges
    ]
    head = ("Type of balance", "Annual percentage rate (APR)", "Interest charge")
    page.grid(head, rows, (80, 66, 34), aligns=("LEFT", "LEFT", "RIGHT"))
    if statement.grace:
        page.ln(1)
        page.paragraph(
            "Your purchases of this period bear no interest, because the statement before was paid"
            " in full by its due date.",
        )


def _span(months: int) -> str:
    """Years from two on, as the model form has it."""
    return f"{months} months" if months < _YEARS_FROM_MONTHS else f"{round(months / 12)} years"


def _ending(statement: pb.Statement) -> str:
    return statement.account_id[-_SHOWN_DIGITS:]


def _day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day:%b} {day.day}, {day.year}"


def _money(amount: Money) -> str:
    return format_minor(amount.amount_minor, amount.currency_code).partition(" ")[0]


def _signed(amount: Money, sign: str) -> str:
    return f"{sign}{_money(amount)}" if amount.amount_minor else _money(amount)
