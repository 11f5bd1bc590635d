"""Statements on the wire: from what the rules made to what the contract says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from accounts.billing.account import BillingAccount, Booked, Posting
from accounts.billing.advance import Made
from accounts.billing.balances import Change
from accounts.billing.calendar import day_of
from accounts.billing.chargeoff import TYPES as OFF
from accounts.billing.chargeoff import how_late
from accounts.billing.closing import Closed
from accounts.billing.demanded import PAID_BACK, credited, demanded, paid
from accounts.billing.disputed import withheld_minor
from accounts.billing.product import Product
from accounts.billing.store import Charged
from accounts.billing.terms import Category
from holdfast.accounts.v1 import statement_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import ms_of
from runtime.validate import timestamp

#: What lines say that have no merchant.
_DESCRIPTIONS = {
    "PAYMENT_CREDIT": "Payment",
    "PAYMENT_RETURN": "Payment returned",
    "PAYMENT_REFUND": "Credit balance paid back",
    "PAYMENT_REFUND_REVERSAL": "Credit balance not paid back",
    "INTEREST": "Interest",
    "FEE": "Fee",
    "REFUND": "Refund",
    "REFUND_REVERSAL": "Refund taken back",
    "ADJUSTMENT_DEBIT": "Adjustment",
    "ADJUSTMENT_CREDIT": "Adjustment",
    "PROVISIONAL_CREDIT": "Credit for a disputed charge",
    "PROVISIONAL_CREDIT_REVERSAL": "Credit for a disputed charge taken back",
}
_BALANCES = {
    Category.PURCHASE: "purchases",
    Category.CASH: "cash advances",
    Category.KEPT_PURCHASE: "purchases from before the rate rose",
    Category.KEPT_CASH: "cash advances from before the rate rose",
}
_DEBITS = {
    Category.PURCHASE: "purchases",
    Category.CASH: "cash_advances",
    Category.FEE: "fees",
    Category.INTEREST: "interest",
}
_OTHERS = {
    Change.CREDIT: "credits",
    Change.PAYMENT: "payments",
    Change.RETURN: "returned_payments",
}
_CHARGED_OFF = "charged_off"
_PAID_BACK = "credit_refunds"
_TOTALS = (*_DEBITS.values(), *_OTHERS.values(), _CHARGED_OFF, _PAID_BACK)

Amount = Callable[[int], Money]
#: Type or reason of an entry, and what it does.
Share = tuple[str, Change, Category, int]


def statement_id(account_id: str, number: int) -> str:
    """Follows from the account and the number."""
    return ids.derived(ids.STATEMENT, ids.tag_of(account_id), account_id, str(number))


def statement_of(made: Made, postings: Sequence[Posting], product: Product) -> pb.Statement:
    """All that a statement says, but for its lines and when it was issued."""
    account, closed = made.before, made.closed

    def money(amount_minor: int) -> Money:
        return Money(currency_code=account.currency_code, amount_minor=amount_minor)

    shares: list[Share] = list(map(_share, made.entries))
    shares += [(one.charge, one.change, one.category, one.amount_minor) for one in postings]
    year = account.year.plus(
        closed.cycle.end.year,
        fees_minor=closed.totals.fees_minor,
        interest_minor=closed.interest_minor,
    )
    found = pb.Statement(
        id=statement_id(account.account_id, made.number),
        account_id=account.account_id,
        number=made.number,
        cycle_start_date=str(closed.cycle.start),
        cycle_end_date=str(closed.cycle.end),
        due_date=str(closed.cycle.due),
        opening_balance=money(closed.opening_minor),
        closing_balance=money(closed.closing_minor),
        minimum_payment=money(closed.minimum_minor),
        past_due=money(closed.past_due_minor),
        disputed=money(closed.disputed_minor),
        totals=_totals(shares, money),
        interest_charges=[
            _interest(category, closed, money)
            for category in sorted((*product.terms.apr_bp, *closed.carried.kept_bp))
        ],
        grace=closed.grace,
        year_to_date=pb.YearToDate(
            year=year.year, fees=money(year.fees_minor), interest=money(year.interest_minor)
        ),
        card_totals=_cards(made.entries, money),
        terms_version=product.version,
        time_zone=str(product.zone),
    )
    fees, penalty = product.terms.fees, product.terms.penalty
    if late_minor := min(max(fees.late_minor, fees.late_again_minor), closed.minimum_minor):
        found.late_fee.CopyFrom(money(late_minor))
    if penalty is not None:
        found.penalty_annual_percentage_rate = _percent(penalty.apr_bp)
        found.penalty_from_date = str(made.penalty_from or "")
    if (warning := closed.warning) is not None:
        found.payoff_warning.CopyFrom(
            pb.PayoffWarning(
                minimum_months=warning.minimum_months or 0,
                minimum_total=money(warning.minimum_total_minor),
                payment_36_months=money(warning.example_payment_minor),
                total_36_months=money(warning.example_total_minor),
                savings=money(warning.example_savings_minor),
            )
        )
    return found


def issued(row: Any) -> pb.Statement:
    """An issued statement from its row."""
    found = pb.Statement.FromString(row["body"])
    found.issue_time.CopyFrom(timestamp(ms_of(row["issue_time"])))
    return found


def lines_of(
    statement: pb.Statement, entries: Iterable[Booked], charges: dict[str, Charged]
) -> list[pb.StatementLine]:
    """The lines of a statement."""
    zone, currency = ZoneInfo(statement.time_zone), statement.closing_balance.currency_code
    return [
        pb.StatementLine(
            entry_id=one.entry_id,
            date=str(day_of(one.value_ms, zone)),
            type=one.type,
            amount=Money(currency_code=currency, amount_minor=one.signed_minor),
            description=_description(one, charges.get(one.entry_id)),
            category_code=one.category_code,
            card_id=one.card_id,
            user_id=one.user_id,
            authorization_id=one.authorization_id,
            payment_id=one.payment_id,
            related_entry_id=one.related_entry_id,
        )
        for one in entries
    ]


def summary_of(
    account: BillingAccount, entries: Sequence[Booked], product: Product, *, now_ms: int
) -> pb.BillingSummary:
    """Where an account stands now."""
    assert account.cycle is not None, "its first cycle has begun"

    def money(amount_minor: int) -> Money:
        return Money(currency_code=account.currency_code, amount_minor=amount_minor)

    lines = tuple(entries)
    settled_minor = paid(lines, product) + credited(lines, product)
    left, _ = demanded(account, lines, product)
    found = how_late(account, lines, product, today=product.day(now_ms))
    disputed_minor = withheld_minor(account.disputes, lines)
    return pb.BillingSummary(
        account_id=account.account_id,
        cycle_start_date=str(account.cycle.start),
        cycle_end_date=str(account.cycle.end),
        last_statement_number=account.number,
        statement_balance=money(account.opening.statement_minor),
        statement_balance_due=money(
            max(account.opening.statement_minor - settled_minor - disputed_minor, 0)
        ),
        due_date=str(account.opening.due or ""),
        minimum_payment_due=money(sum(one.amount_minor for one in left)),
        past_due=money(found.past_due_minor),
        days_past_due=found.days_past_due,
        disputed=money(disputed_minor),
        bucket=pb.DelinquencyBucket.Value(f"DELINQUENCY_BUCKET_{found.bucket}"),
        charged_off=money(account.charged_off_now_minor),
    )


def _description(entry: Booked, charged: Charged | None) -> str:
    if charged is None:
        return entry.descriptor or _DESCRIPTIONS.get(entry.type, entry.type)
    charge, category = charged
    if category is not None:
        return f"Interest on {_BALANCES[category]}"
    return charge.replace("_", " ").capitalize()


def _share(entry: Booked) -> Share:
    return (entry.type, entry.change, entry.category, entry.amount_minor)


def _totals(shares: Iterable[Share], money: Amount) -> pb.StatementTotals:
    found = dict.fromkeys(_TOTALS, 0)
    for name, change, category, amount_minor in shares:
        if name in OFF:
            found[_CHARGED_OFF] += amount_minor if change is Change.CREDIT else -amount_minor
        elif name in PAID_BACK:
            found[_PAID_BACK] += amount_minor if change is Change.DEBIT else -amount_minor
        elif change is Change.DEBIT:
            found[_DEBITS[category]] += amount_minor
        else:
            found[_OTHERS[change]] += amount_minor
    return pb.StatementTotals(**{name: money(amount) for name, amount in found.items()})


def _cards(entries: Iterable[Booked], money: Amount) -> list[pb.CardTotals]:
    shares: dict[tuple[str, str], list[Share]] = {}
    for one in entries:
        if one.card_id:
            shares.setdefault((one.card_id, one.user_id), []).append(_share(one))
    return [
        pb.CardTotals(card_id=card_id, user_id=user_id, totals=_totals(found, money))
        for (card_id, user_id), found in sorted(shares.items())
    ]


def _interest(category: Category, closed: Closed, money: Amount) -> pb.InterestCharge:
    return pb.InterestCharge(
        category=category,
        annual_percentage_rate=_percent(closed.rates_bp[category]),
        amount=money(closed.interest[category]),
        daily_balance=money(closed.averages[category]),
    )


def _percent(rate_bp: int) -> str:
    return f"{rate_bp // 100}.{rate_bp % 100:02}"
