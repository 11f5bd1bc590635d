"""What is still asked of an account: what statements demanded, less what was paid and refunded. No
I/O, no clock, no grpc.
"""

from __future__ import annotations

from datetime import date

from accounts.billing.account import BillingAccount, Booked
from accounts.billing.balances import Change
from accounts.billing.delinquency import Demand, Settled, no_more_than, settle
from accounts.billing.product import Product

_PAYMENTS = (Change.PAYMENT, Change.RETURN)
#: A credit balance that was paid back, and that came back: neither has paid any demand.
PAID_BACK = frozenset({"PAYMENT_REFUND", "PAYMENT_REFUND_REVERSAL"})


def paid(
    entries: tuple[Booked, ...],
    product: Product,
    *,
    since: date = date.min,
    until: date = date.max,
) -> int:
    """Payments less returns, by the day of their receipt."""
    return sum(
        -one.signed_minor
        for one in entries
        if one.change in _PAYMENTS and since <= product.day(one.value_ms) <= until
    )


def asked(
    account: BillingAccount,
    entries: tuple[Booked, ...],
    product: Product,
    *,
    since: date = date.min,
    until: date = date.max,
) -> int:
    """The last statement's minimum, but no more than refunds have left of its balance."""
    opening = account.opening
    owed = opening.statement_minor - credited(entries, product, since=since, until=until)
    return max(min(opening.minimum_minor, owed), 0)


def credited(
    entries: tuple[Booked, ...],
    product: Product,
    *,
    since: date = date.min,
    until: date = date.max,
) -> int:
    """What lowered the balance and was no payment."""
    return sum(
        one.amount_minor
        for one in entries
        if one.change is Change.CREDIT
        and one.type not in PAID_BACK
        and since <= product.day(one.value_ms) <= until
    )


def demanded(
    account: BillingAccount, entries: tuple[Booked, ...], product: Product
) -> tuple[tuple[Demand, ...], tuple[Settled, ...]]:
    """What is left of the demands, oldest first, and what payments came to. A refund is no payment;
    but what it has settled is not asked for, nor is what was charged off.
    """
    if account.charged_off_on is not None:
        return (), account.settled
    received = paid(entries, product)
    left, settled = settle(account.demands, account.settled, paid_minor=received)
    # Payments have been taken off the demands, so of the statement's balance, too.
    met = sum(one.amount_minor for one in account.demands) - sum(one.amount_minor for one in left)
    owed = account.opening.statement_minor - credited(entries, product) - met
    return no_more_than(left, owed), settled
