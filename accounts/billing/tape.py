"""The loan tape: where an account stood at the end of a day. No I/O, no clock, no grpc.

A row follows from what never changes any more: the ledger's entries up to the end of the day, the
statement before the day and what its cycle started with, and the terms. So it can be made again at
any time, with the same result.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date

from accounts.billing.account import BillingAccount, Booked
from accounts.billing.balances import Balances, Change, Event
from accounts.billing.calendar import Cycle, ends_ms, first_cycle, next_cycle
from accounts.billing.chargeoff import TYPES, how_late, without_charges
from accounts.billing.closing import FIRST
from accounts.billing.demanded import demanded
from accounts.billing.disputed import Disputed, as_of, set_aside
from accounts.billing.interest import (
    Interest,
    Opening,
    Walked,
    has_grace,
    interest_of,
    protected,
    walk,
)
from accounts.billing.product import Product
from accounts.billing.recompute import events_of
from accounts.billing.terms import KEPT, Category, Terms

#: The terms of a cycle by its first day.
ProductOn = Callable[[date], Product]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a row is made of."""

    #: As the cycle of the day, or a later one, began; `before` cycles of which there is nothing.
    account: BillingAccount
    #: The entries of its cycle, whether they are on a statement or not.
    entries: tuple[Booked, ...]
    #: Cycle of the last statement before the day; None: there is none.
    previous: Cycle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeRow:
    """One account at the end of one of its days. Amounts are minor units, dates ISO 8601."""

    day: str
    account_id: str
    programme_id: str
    terms_version: int
    currency_code: str
    cycle_start_date: str
    cycle_end_date: str
    statement_number: int
    statement_balance_minor: int
    due_date: str
    minimum_due_minor: int
    past_due_minor: int
    days_past_due: int
    bucket: str
    balance_minor: int
    credit_balance_minor: int
    purchases_minor: int
    cash_advances_minor: int
    fees_minor: int
    interest_minor: int
    interest_accrued_minor: int
    rate_state: str
    purchase_rate_bp: int
    cycle_purchases_minor: int
    cycle_cash_advances_minor: int
    cycle_fees_minor: int
    cycle_interest_minor: int
    cycle_credits_minor: int
    cycle_payments_minor: int
    year_fees_minor: int
    year_interest_minor: int
    charged_off_minor: int

    def body(self) -> str:
        """The row as it is kept: the same for the same row."""
        return json.dumps(asdict(self), separators=(",", ":"))


def _accrued(
    cycle: Cycle,
    opening: Opening,
    walked: Walked,
    terms: Terms,
    *,
    events: tuple[Event, ...],
    disputes: tuple[Disputed, ...],
) -> Interest:
    """Interest of the days so far, without what was disputed by their end."""
    stood = _not_lost_yet(opening, cycle.end)
    grace, bears = has_grace(stood, walked, terms), (stood, walked)
    known = as_of(disputes, cycle.end)
    if known:
        asked = set_aside(cycle, stood, events, terms, known, bearing=False)
        grace = has_grace(asked[0], walk(cycle, *asked, terms), terms)
        aside = set_aside(cycle, stood, events, terms, known, bearing=True)
        bears = aside[0], walk(cycle, *aside, terms)
    return interest_of(cycle, *bears, _exact(terms), grace_now=grace)


def tape_row(source: Source, product_on: ProductOn, day: date) -> TapeRow | None:
    """The row of a day; None before the account's first cycle."""
    cycle = _cycle_on(source, product_on, day)
    if cycle is None:
        return None
    account, product = _as_of(source.account, cycle, day), product_on(cycle.start)
    end_ms = ends_ms(day, product.zone)
    known = source.entries if account.cycle == source.account.cycle else ()
    entries = tuple(one for one in known if one.post_ms < end_ms)
    opening = protected(account.opening, product.terms)
    so_far = Cycle(start=cycle.start, end=day, due=cycle.due)
    events = events_of(so_far, entries, product)
    walked = walk(so_far, opening, events, product.terms)
    balances = walked.days[-1]
    late = how_late(account, entries, product, today=day)
    off_minor = sum(one.signed_minor for one in entries if one.type in TYPES)
    in_force = product if account.charged_off_on is None else without_charges(product)
    accrued = _accrued(
        so_far, opening, walked, in_force.terms, events=events, disputes=account.disputes
    )
    left, _ = demanded(account, entries, product)
    return TapeRow(
        day=day.isoformat(),
        account_id=account.account_id,
        programme_id=account.programme_id,
        terms_version=product.version,
        currency_code=account.currency_code,
        cycle_start_date=cycle.start.isoformat(),
        cycle_end_date=cycle.end.isoformat(),
        statement_number=account.number,
        statement_balance_minor=opening.statement_minor,
        due_date=opening.due.isoformat() if opening.due and opening.statement_minor else "",
        minimum_due_minor=sum(one.amount_minor for one in left),
        past_due_minor=late.past_due_minor,
        days_past_due=late.days_past_due,
        bucket=late.bucket,
        balance_minor=balances.total,
        credit_balance_minor=balances.surplus,
        purchases_minor=_of(balances, Category.PURCHASE),
        cash_advances_minor=_of(balances, Category.CASH),
        fees_minor=balances.of(Category.FEE),
        interest_minor=balances.of(Category.INTEREST),
        interest_accrued_minor=sum(accrued.amounts.values()),
        rate_state=_rate_state(opening, product.terms, day),
        purchase_rate_bp=opening.rate_bp(Category.PURCHASE, day, in_force.terms),
        cycle_purchases_minor=_debits(entries, Category.PURCHASE),
        cycle_cash_advances_minor=_debits(entries, Category.CASH),
        cycle_fees_minor=_debits(entries, Category.FEE),
        cycle_interest_minor=_debits(entries, Category.INTEREST),
        cycle_credits_minor=-_signed(entries, Change.CREDIT),
        cycle_payments_minor=-_signed(entries, Change.PAYMENT, Change.RETURN),
        year_fees_minor=account.year.fees_minor if account.year.year == day.year else 0,
        year_interest_minor=account.year.interest_minor if account.year.year == day.year else 0,
        charged_off_minor=account.charged_off_minor - off_minor,
    )


def _cycle_on(source: Source, product_on: ProductOn, day: date) -> Cycle | None:
    """The cycle of a day; None before the first one."""
    account = source.account
    assert account.cycle is not None, "it has begun"
    cycle = account.cycle
    if day < cycle.start:
        # Nothing happened in the cycles in between: there is no statement of them.
        cycle = source.previous or _first(account, product_on)
    if day < cycle.start:
        return None
    while cycle.end < day:
        product = product_on(cycle.start)
        cycle = next_cycle(cycle, product.rhythm(product.day(account.opened_ms)))
    return cycle


def _first(account: BillingAccount, product_on: ProductOn) -> Cycle:
    product = product_on(date.min)
    opened_on = product.day(account.opened_ms)
    begins = max(opened_on, product.terms.effective_from)
    return first_cycle(begins, product_on(begins).rhythm(opened_on))


def _as_of(account: BillingAccount, cycle: Cycle, day: date) -> BillingAccount:
    """The account without what it became known of it after the day."""
    opening = account.opening
    if cycle != account.cycle:
        nothing = replace(FIRST, promotions=opening.promotions, penalty=opening.penalty)
        account = replace(account, cycle=cycle, opening=nothing, demands=())
        opening = nothing
    if opening.issued_on is not None and day < opening.issued_on:
        account = replace(account, opening=replace(opening, issued_on=None))
    if account.charged_off_on is not None and day < account.charged_off_on:
        account = replace(account, charged_off_on=None)
    later = [one for one in account.disputes if one.since > day]
    first = next((one for one in later if one.demands_before is not None), None)
    if first is not None and first.demands_before is not None:
        # It was still asked for on that day.
        opening = replace(account.opening, minimum_minor=first.minimum_before_minor)
        account = replace(account, demands=first.demands_before, opening=opening)
    return replace(account, off_minor=0)


def _not_lost_yet(opening: Opening, day: date) -> Opening:
    """Until its due date, a statement may still be paid in full and in time."""
    if opening.due is None or day > opening.due:
        return opening
    return replace(opening, issued_on=opening.due)


def _exact(terms: Terms) -> Terms:
    return replace(terms, interest_minimum_minor=0)


def _rate_state(opening: Opening, terms: Terms, day: date) -> str:
    if opening.penalty and terms.penalty is not None:
        return "PENALTY"
    return "PROMOTION" if any(day <= one.until for one in opening.promotions) else "STANDARD"


def _of(balances: Balances, category: Category) -> int:
    return balances.of(category) + balances.of(KEPT[category])


def _debits(entries: tuple[Booked, ...], category: Category) -> int:
    return sum(
        one.amount_minor
        for one in entries
        if one.change is Change.DEBIT and one.category is category and one.type not in TYPES
    )


def _signed(entries: tuple[Booked, ...], *changes: Change) -> int:
    return sum(
        one.signed_minor for one in entries if one.change in changes and one.type not in TYPES
    )
