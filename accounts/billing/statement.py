"""Statements on the wire: from what the rules made to what the contract says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from accounts.billing.account import BillingAccount, Booked, Posting
from accounts.billing.advance import Made
from accounts.billing.balances import Change
from accounts.billing.calendar import day_of
from accounts.billing.delinquency import standing, still_demanded
from accounts.billing.product import Product
from accounts.billing.recompute import paid
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
    "INTEREST": "Interest",
    "FEE": "Fee",
    "REFUND": "Refund",
    "REFUND_REVERSAL": "Refund taken back",
    "ADJUSTMENT_DEBIT": "Adjustment",
    "ADJUSTMENT_CREDIT": "Adjustment",
}
_BALANCES = {Category.PURCHASE: "purchases", Category.CASH: "cash advances"}
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
_TOTALS = (*_DEBITS.values(), *_OTHERS.values())

Amount = Callable[[int], Money]
Share = tuple[Change, Category, int]


def statement_id(account_id: str, number: int) -> str:
    """Follows from the account and the number."""
    return ids.derived(ids.STATEMENT, ids.tag_of(account_id), account_id, str(number))


def statement_of(made: Made, postings: Sequence[Posting], product: Product) -> pb.Statement:
    """All that a statement says, but for its lines and when it was issued."""
    account, closed = made.before, made.closed

    def money(amount_minor: int) -> Money:
        return Money(currency_code=account.currency_code, amount_minor=amount_minor)

    shares = [(one.change, one.category, one.amount_minor) for one in made.entries]
    shares += [(one.change, one.category, one.amount_minor) for one in postings]
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
        totals=_totals(shares, money),
        interest_charges=[
            _interest(category, made, product, money) for category in sorted(product.terms.apr_bp)
        ],
        grace=closed.grace,
        year_to_date=pb.YearToDate(
            year=year.year, fees=money(year.fees_minor), interest=money(year.interest_minor)
        ),
        card_totals=_cards(made.entries, money),
        terms_version=product.version,
        time_zone=str(product.zone),
    )
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

    received = paid(tuple(entries), product)
    credited = received + sum(one.amount_minor for one in entries if one.change is Change.CREDIT)
    found = standing(account.demands, paid_minor=received, today=product.day(now_ms))
    left = sum(one.amount_minor for one in still_demanded(account.demands, paid_minor=received))
    return pb.BillingSummary(
        account_id=account.account_id,
        cycle_start_date=str(account.cycle.start),
        cycle_end_date=str(account.cycle.end),
        last_statement_number=account.number,
        statement_balance=money(account.opening.statement_minor),
        statement_balance_due=money(max(account.opening.statement_minor - credited, 0)),
        due_date=str(account.opening.due or ""),
        minimum_payment_due=money(left),
        past_due=money(found.past_due_minor),
        days_past_due=found.days_past_due,
        bucket=pb.DelinquencyBucket.Value(f"DELINQUENCY_BUCKET_{found.bucket}"),
    )


def _description(entry: Booked, charged: Charged | None) -> str:
    if charged is None:
        return entry.descriptor or _DESCRIPTIONS.get(entry.type, entry.type)
    charge, category = charged
    if category is not None:
        return f"Interest on {_BALANCES[category]}"
    return charge.replace("_", " ").capitalize()


def _totals(shares: Iterable[Share], money: Amount) -> pb.StatementTotals:
    found = dict.fromkeys(_TOTALS, 0)
    for change, category, amount_minor in shares:
        if change is Change.DEBIT:
            found[_DEBITS[category]] += amount_minor
        else:
            found[_OTHERS[change]] += amount_minor
    return pb.StatementTotals(**{name: money(amount) for name, amount in found.items()})


def _cards(entries: Iterable[Booked], money: Amount) -> list[pb.CardTotals]:
    shares: dict[tuple[str, str], list[Share]] = {}
    for one in entries:
        if one.card_id:
            share = (one.change, one.category, one.amount_minor)
            shares.setdefault((one.card_id, one.user_id), []).append(share)
    return [
        pb.CardTotals(card_id=card_id, user_id=user_id, totals=_totals(found, money))
        for (card_id, user_id), found in sorted(shares.items())
    ]


def _interest(category: Category, made: Made, product: Product, money: Amount) -> pb.InterestCharge:
    opening = made.before.opening
    rate_bp = product.terms.rate_bp(
        category,
        made.closed.cycle.end,
        promotions=opening.promotions,
        penalty=opening.penalty,
    )
    return pb.InterestCharge(
        category=category,
        annual_percentage_rate=f"{rate_bp // 100}.{rate_bp % 100:02}",
        amount=money(made.closed.interest[category]),
    )
