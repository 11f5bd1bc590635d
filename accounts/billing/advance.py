"""What is to be done with an account now, and when to look again. No I/O, no clock, no grpc.

One step at a time, each by itself repeatable: the first cycle begins; a due date has passed; an
account has become later or caught up; a cycle closes. Who looks late does the steps one after the
other, as if each had been done in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

from accounts.billing import charges
from accounts.billing.account import BillingAccount, Booked, Charge, Phase, Posting
from accounts.billing.balances import Change, Event
from accounts.billing.calendar import Cycle, ends_ms, first_cycle, next_cycle
from accounts.billing.closing import Closed, close
from accounts.billing.delinquency import (
    Demand,
    Standing,
    next_boundary,
    standing,
    still_demanded,
)
from accounts.billing.product import Product
from accounts.billing.recompute import (
    Past,
    backdated,
    events_of,
    paid,
    paid_in_time,
    saved_interest,
    unearned_late_fees,
)
from accounts.billing.terms import Category


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A statement, as far as rules make it; its lines are `entries` and the postings."""

    number: int
    closed: Closed
    entries: tuple[Booked, ...]
    #: The account as it was: what the cycle can be computed from again.
    before: BillingAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one look comes to."""

    account: BillingAccount
    postings: tuple[Posting, ...] = ()
    made: Made | None = None
    #: How late it is now, if that is another bucket than before.
    changed: Standing | None = None


def advance(
    account: BillingAccount,
    entries: tuple[Booked, ...],
    product: Product,
    *,
    now_ms: int,
    delay_ms: int,
    past: tuple[Past, ...] = (),
) -> Step:
    """The next step of an account. `entries` are on no statement yet; `past` has the statements
    from the cycle of the earliest `backdated` payment on. A day is over `delay_ms` after its end:
    what was posted on it has come in by then.
    """
    if account.phase is Phase.NEW:
        return Step(account=_timed(_begun(account, product), (), product, delay_ms))
    assert account.phase is Phase.RUNNING, "what is being posted is waited for"
    assert account.cycle is not None, "a running account has a cycle"
    today = product.day(now_ms - delay_ms)
    found = standing(account.demands, paid_minor=paid(entries, product), today=today)
    if not account.late_checked and account.opening.due and today > account.opening.due:
        step = _after_due(account, entries, product, now_ms=now_ms)
    elif found.bucket is not account.bucket:
        step = Step(account=replace(account, bucket=found.bucket), changed=found)
    elif today > account.cycle.end:
        # What came in after the cycle should have closed is for the next one, whenever it closes.
        closes_ms = ends_ms(account.cycle.end, product.zone) + delay_ms
        mine = tuple(
            one
            for one in entries
            if one.post_ms < closes_ms and product.day(one.value_ms) <= account.cycle.end
        )
        step = _close(account, account.cycle, mine, product, past)
        if step.made is None and account.closed and len(mine) == len(entries):
            return Step(account=replace(step.account, phase=Phase.ENDED, work_ms=None))
    else:
        step = Step(account=account)
    return replace(step, account=_timed(step.account, entries, product, delay_ms))


def issued(account: BillingAccount, *, ended: bool) -> BillingAccount:
    """The account once everything that its statement states is in the ledger; `ended`: nothing is
    owed, nothing waits for another statement, and the account is closed.
    """
    assert account.phase is Phase.POSTING, "a statement was made"
    return replace(account, phase=Phase.ENDED if ended else Phase.RUNNING)


def _begun(account: BillingAccount, product: Product) -> BillingAccount:
    """The first cycle; an account that is older than its programme's terms begins with them."""
    opened_on = product.day(account.opened_ms)
    begins = max(opened_on, product.terms.effective_from)
    cycle = first_cycle(begins, product.rhythm(opened_on))
    opening = replace(account.opening, promotions=product.promotions(opened_on))
    return replace(account, phase=Phase.RUNNING, cycle=cycle, opening=opening)


def _after_due(
    account: BillingAccount, entries: tuple[Booked, ...], product: Product, *, now_ms: int
) -> Step:
    """The due date of the last statement has passed."""
    due, asked = account.opening.due, account.opening.minimum_minor
    assert due is not None, "there is a statement"
    received = paid(entries, product, until=due)
    late = received < asked
    fee = charges.late_fee(account, paid_minor=received, product=product)
    posting = Posting(
        account_id=account.account_id,
        request_id=f"{account.account_id}:{account.number}:late_fee",
        charge=Charge.LATE_FEE,
        change=Change.DEBIT,
        category=Category.FEE,
        amount_minor=fee,
        currency_code=account.currency_code,
        value_ms=now_ms,
    )
    after = replace(
        account,
        late_checked=True,
        late_number=account.number if late else account.late_number,
        late_number_before=account.late_number,
        in_time_before=account.in_time,
        late_fee_minor=fee,
        penalty_fee_minor=account.penalty_fee_minor + fee,
        in_time=0 if late else account.in_time + 1,
    )
    return Step(account=after, postings=(posting,) if fee else ())


def _close(
    account: BillingAccount,
    cycle: Cycle,
    mine: tuple[Booked, ...],
    product: Product,
    past: tuple[Past, ...],
) -> Step:
    """The cycle has ended: its statement, and the account in its next cycle."""
    charged = (
        *charges.of_entries(account, cycle, mine, product),
        *charges.annual(account, cycle, product),
        *_given_back(account, cycle, mine, product, past),
    )
    closed = close(
        cycle,
        account.opening,
        events_of(cycle, mine, product) + _own(cycle, charged),
        product.terms,
    )
    after = _judged_again(account, mine, product)
    after = replace(after, cycle=next_cycle(cycle, product.rhythm(product.day(account.opened_ms))))
    if not mine and not charged and not account.opening.balances.total:
        # Nothing to tell (12 CFR 1026.5(b)(2)(i)): no statement, and nothing is due.
        opening = replace(closed.carried, due=None, penalty=account.opening.penalty)
        return Step(account=replace(after, opening=opening))
    demanded = still_demanded(account.demands, paid_minor=paid(mine, product))
    asked = closed.minimum_minor
    if product.terms.minimum.plus_past_due:
        asked -= closed.past_due_minor
    fresh = (Demand(due=cycle.due, amount_minor=asked),) if asked > 0 else ()
    returned = any(one.charge is Charge.RETURNED_PAYMENT_FEE for one in charged)
    after = replace(
        after,
        phase=Phase.POSTING,
        number=account.number + 1,
        opening=replace(closed.carried, penalty=_penalty(after, demanded, product, cycle.end)),
        demands=(*demanded, *fresh),
        late_checked=closed.minimum_minor == 0,
        late_fee_minor=0,
        penalty_fee_minor=0,
        returned_number=account.number if returned else account.returned_number,
        year=account.year.plus(
            cycle.end.year,
            fees_minor=closed.totals.fees_minor,
            interest_minor=closed.interest_minor,
        ),
    )
    made = Made(number=after.number, closed=closed, entries=mine, before=account)
    return Step(
        account=after, postings=(*charged, *charges.interest(account, closed, product)), made=made
    )


def _judged_again(
    account: BillingAccount, mine: tuple[Booked, ...], product: Product
) -> BillingAccount:
    """What was called late, and was in time as is known now, was never late."""
    if account.late_number != account.number or not paid_in_time(account, mine, product):
        return account
    return replace(
        account, late_number=account.late_number_before, in_time=account.in_time_before + 1
    )


def _given_back(
    account: BillingAccount,
    cycle: Cycle,
    mine: tuple[Booked, ...],
    product: Product,
    past: tuple[Past, ...],
) -> tuple[Posting, ...]:
    """For payments that were received earlier than they came in: interest that they would have
    saved, and late fees if they were in time.
    """
    late = backdated(cycle, mine, product)
    waived = unearned_late_fees(past, late)
    if account.late_fee_minor and paid_in_time(account, mine, product):
        waived += account.late_fee_minor
    saved = saved_interest(past, late)
    return (
        *charges.credit(account, cycle, product, Charge.LATE_FEE_WAIVER, waived),
        *charges.credit(account, cycle, product, Charge.INTEREST_CORRECTION, saved),
    )


def _penalty(
    account: BillingAccount, demanded: tuple[Demand, ...], product: Product, on: date
) -> bool:
    """Whether the next cycle has the penalty rate."""
    penalty = product.terms.penalty
    if penalty is None:
        return False
    if account.opening.penalty and account.in_time >= penalty.cure_payments:
        return False
    late = standing(demanded, paid_minor=0, today=on).days_past_due >= penalty.days_late
    return account.opening.penalty or late


def _own(cycle: Cycle, postings: tuple[Posting, ...]) -> tuple[Event, ...]:
    return tuple(
        Event(on=cycle.end, change=one.change, amount_minor=one.amount_minor, category=one.category)
        for one in postings
    )


def _timed(
    account: BillingAccount, entries: tuple[Booked, ...], product: Product, delay_ms: int
) -> BillingAccount:
    """When to look again: after the last day on which nothing has to be done."""
    if account.phase is Phase.POSTING:
        return replace(account, work_ms=0)
    assert account.cycle is not None, "it has begun"
    days = [account.cycle.end]
    if not account.late_checked and account.opening.due is not None:
        days.append(account.opening.due)
    later = next_boundary(account.demands, paid_minor=paid(entries, product), bucket=account.bucket)
    if later is not None:
        days.append(later - timedelta(days=1))
    return replace(account, work_ms=ends_ms(min(days), product.zone) + delay_ms)
