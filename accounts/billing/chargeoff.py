"""Charge-off: what an account owes leaves the book, and what comes in afterwards is recovered. No
I/O, no clock, no grpc.

The debt itself stays: the customer still owes it. The book of a charged-off account is kept at
nothing: what is posted later (a payment that comes back, a clearing) is charged off, too, and what
is paid is recovered, up to what was charged off. It bears no interest and no fees any more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from accounts.billing.account import BillingAccount, Booked, Charge, Posting
from accounts.billing.balances import Change
from accounts.billing.delinquency import CHARGE_OFF_DAYS, Standing, standing
from accounts.billing.demanded import demanded
from accounts.billing.interest import protected, walk
from accounts.billing.product import Product
from accounts.billing.recompute import events_of
from accounts.billing.terms import Category, Fees, MinimumRule, standard

#: Types of the entries that this module has posted.
TYPES = frozenset({Charge.CHARGE_OFF.value, Charge.RECOVERY.value})
_NOTHING_ASKED = MinimumRule(floor_minor=0, share_bp=0, plus_charges=False, plus_past_due=False)


def how_late(
    account: BillingAccount, entries: tuple[Booked, ...], product: Product, *, today: date
) -> Standing:
    """How late an account is; who was charged off stays so."""
    if account.charged_off_on is None:
        return standing(demanded(account, entries, product)[0], today=today)
    return Standing(
        days_past_due=CHARGE_OFF_DAYS + (today - account.charged_off_on).days,
        past_due_minor=max(account.charged_off_now_minor, 0),
        oldest_due=None,
    )


def charged_off(
    account: BillingAccount,
    entries: tuple[Booked, ...],
    product: Product,
    *,
    today: date,
    now_ms: int,
) -> tuple[BillingAccount, tuple[Posting, ...]]:
    """The account as it is charged off, and what has its book say so, by category."""
    owed = _book_minor(account, entries)
    after = replace(account, charged_off_on=today, late_checked=True)
    if owed <= 0:
        return after, ()
    parts, left = list[tuple[Category, int]](), owed
    for category, amount_minor in _owed_by_category(account, entries, product).items():
        part = min(amount_minor, left)
        left -= part
        parts.append((category, part))
    # Of what came in since the cycle's end nobody has said yet what it is.
    parts.append((Category.PURCHASE, left))
    return _posted(after, Charge.CHARGE_OFF, _merged(parts), now_ms)


def evened(
    account: BillingAccount, entries: tuple[Booked, ...], *, now_ms: int
) -> tuple[BillingAccount, tuple[Posting, ...]]:
    """A charged-off account whose book is to say nothing again, and what has it do so."""
    owed = _book_minor(account, entries)
    if owed > 0:
        return _posted(account, Charge.CHARGE_OFF, {Category.PURCHASE: owed}, now_ms)
    # What is paid beyond that belongs to the customer.
    recovered = min(-owed, account.charged_off_now_minor)
    return _posted(account, Charge.RECOVERY, {Category.PURCHASE: recovered}, now_ms)


def on_statement(account: BillingAccount, entries: tuple[Booked, ...]) -> BillingAccount:
    """The account once these entries stand on a statement."""
    moved = sum(one.signed_minor for one in entries if one.type in TYPES)
    return replace(
        account,
        charged_off_minor=account.charged_off_minor - moved,
        off_minor=account.off_minor - moved,
    )


def without_charges(product: Product) -> Product:
    """The same terms, as far as they are left to a charged-off account."""
    terms = replace(
        product.terms,
        apr_bp={},
        fees=Fees(),
        penalty=None,
        minimum=_NOTHING_ASKED,
        interest_minimum_minor=0,
    )
    return replace(product, terms=terms)


def _book_minor(account: BillingAccount, entries: tuple[Booked, ...]) -> int:
    """What the book will say once everything that was posted for it has come back."""
    others = sum(one.signed_minor for one in entries if one.type not in TYPES)
    return account.opening.balances.total + others + account.off_minor


def _owed_by_category(
    account: BillingAccount, entries: tuple[Booked, ...], product: Product
) -> dict[Category, int]:
    cycle = account.cycle
    assert cycle is not None, "it is late"
    mine = tuple(one for one in entries if product.day(one.value_ms) <= cycle.end)
    opening = protected(account.opening, product.terms)
    walked = walk(cycle, opening, events_of(cycle, mine, product), product.terms)
    return {one: walked.days[-1].of(one) for one in Category}


def _merged(parts: list[tuple[Category, int]]) -> dict[Category, int]:
    found = dict[Category, int]()
    for category, amount_minor in parts:
        found[standard(category)] = found.get(standard(category), 0) + amount_minor
    return found


def _posted(
    account: BillingAccount, charge: Charge, parts: dict[Category, int], now_ms: int
) -> tuple[BillingAccount, tuple[Posting, ...]]:
    credit = charge is Charge.CHARGE_OFF
    amounts = {category: amount for category, amount in parts.items() if amount > 0}
    if not amounts:
        return account, ()
    number = account.off_number + 1
    postings = tuple(
        Posting(
            account_id=account.account_id,
            request_id=f"{account.account_id}:off.{number}.{category}",
            charge=charge,
            change=Change.CREDIT if credit else Change.DEBIT,
            category=category,
            amount_minor=amount_minor,
            currency_code=account.currency_code,
            value_ms=now_ms,
        )
        for category, amount_minor in amounts.items()
    )
    total = sum(amounts.values())
    after = replace(
        account,
        off_number=number,
        off_minor=account.off_minor + (-total if credit else total),
    )
    return after, postings
