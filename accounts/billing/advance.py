"""What is to be done with an account now, and when to look again. No I/O, no clock, no grpc.

One step at a time, each by itself repeatable: the first cycle begins; a due date has passed; an
account has become later or caught up; a cycle closes. Who looks late does the steps one after the
other, as if each had been done in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

from accounts.billing import charges, unearned
from accounts.billing.account import BillingAccount, Booked, Charge, Phase, Posting
from accounts.billing.balances import Change, Event
from accounts.billing.calendar import Cycle, ends_ms, first_cycle, next_cycle
from accounts.billing.chargeoff import (
    charged_off,
    evened,
    how_late,
    on_statement,
    without_charges,
)
from accounts.billing.closing import Closed, close
from accounts.billing.delinquency import (
    Bucket,
    Demand,
    Standing,
    next_boundary,
    no_more_than,
    standing,
)
from accounts.billing.demanded import asked, demanded, paid
from accounts.billing.disputed import carried_on
from accounts.billing.product import Product
from accounts.billing.recompute import (
    Again,
    Recalled,
    again,
    backdated,
    ended_now,
    events_of,
    in_time_after_all,
)
from accounts.billing.terms import DUE_AFTER_DAYS, Category
from accounts.programme import NOTICE_DAYS

#: Nothing has changed what earlier statements said.
NOTHING = Recalled()
_CORRECTION = Charge.FEE_CORRECTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A statement, as far as rules make it; its lines are `entries` and the postings."""

    number: int
    closed: Closed
    entries: tuple[Booked, ...]
    #: The account as it was: what the cycle can be computed from again.
    before: BillingAccount
    #: Notice of the penalty rate that the statement gives.
    penalty_from: date | None = None


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
    recalled: Recalled = NOTHING,
) -> Step:
    """The next step of an account. `entries` are on no statement yet. A day is over `delay_ms`
    after its end: what was posted on it has come in by then.
    """
    if account.phase is Phase.NEW:
        return Step(account=_timed(_begun(account, product), (), product, delay_ms))
    assert account.phase is Phase.RUNNING, "what is being posted is waited for"
    assert account.cycle is not None, "a running account has a cycle"
    today = product.day(now_ms - delay_ms)
    found = how_late(account, entries, product, today=today)
    if not account.late_checked and account.opening.due and today > account.opening.due:
        step = _after_due(account, entries, product, now_ms=now_ms)
    elif found.bucket is not account.bucket:
        step = _changed(account, entries, product, found, today=today, now_ms=now_ms)
    elif account.charged_off_on and (even := evened(account, entries, now_ms=now_ms))[1]:
        step = Step(account=even[0], postings=even[1])
    elif today > account.cycle.end:
        # What came in after the cycle should have closed is for the next one, whenever it closes.
        closes_ms = ends_ms(account.cycle.end, product.zone) + delay_ms
        mine = tuple(
            one
            for one in entries
            if one.post_ms < closes_ms and product.day(one.value_ms) <= account.cycle.end
        )
        step = _close(account, account.cycle, mine, product, recalled)
        if step.made is None and account.closed and len(mine) == len(entries):
            return Step(account=replace(step.account, phase=Phase.ENDED, work_ms=None))
    else:
        step = Step(account=account)
    return replace(step, account=_timed(step.account, entries, product, delay_ms))


def issued(account: BillingAccount, *, ended: bool, on: date) -> BillingAccount:
    """The account once everything that its statement states is in the ledger, on a day; `ended`:
    nothing is owed, nothing waits for another statement, and the account is closed. Whose statement
    came too late for its due date has the whole time from then on, and no late fee.
    """
    assert account.phase is Phase.POSTING, "a statement was made"
    opening = replace(account.opening, issued_on=on)
    after = replace(account, phase=Phase.ENDED if ended else Phase.RUNNING, opening=opening)
    if not opening.untimely:
        return after
    given = on + timedelta(days=DUE_AFTER_DAYS)
    demands = tuple(
        replace(one, due=given) if one.due == opening.due else one for one in account.demands
    )
    return replace(after, late_checked=True, demands=demands)


def _begun(account: BillingAccount, product: Product) -> BillingAccount:
    """The first cycle; an account that is older than its programme's terms begins with them."""
    opened_on = product.day(account.opened_ms)
    begins = max(opened_on, product.terms.effective_from)
    cycle = first_cycle(begins, product.rhythm(opened_on))
    opening = replace(account.opening, promotions=product.promotions(opened_on))
    return replace(account, phase=Phase.RUNNING, cycle=cycle, opening=opening)


def _changed(
    account: BillingAccount,
    entries: tuple[Booked, ...],
    product: Product,
    found: Standing,
    *,
    today: date,
    now_ms: int,
) -> Step:
    """The account is in another bucket."""
    after = replace(account, bucket=found.bucket)
    if found.bucket is not Bucket.CHARGED_OFF:
        return Step(account=after, changed=found)
    after, postings = charged_off(after, entries, product, today=today, now_ms=now_ms)
    return Step(account=after, changed=found, postings=postings)


def _after_due(
    account: BillingAccount, entries: tuple[Booked, ...], product: Product, *, now_ms: int
) -> Step:
    """The due date of the last statement has passed."""
    due = account.opening.due
    assert due is not None, "there is a statement"
    received = paid(entries, product, until=due)
    asked_minor = asked(account, entries, product, until=due)
    late = received < asked_minor
    fee = charges.late_fee(account, asked_minor=asked_minor, paid_minor=received, product=product)
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
        late_cycle=account.cycles if late else account.late_cycle,
        late_cycle_before=account.late_cycle,
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
    recalled: Recalled,
) -> Step:
    """The cycle has ended: its statement, and the account in its next cycle."""
    if account.charged_off_on is not None:
        product = without_charges(product)
    redone = again(recalled, backdated(cycle, mine, product), ended_now(account))
    saved = recalled.not_given_back(redone.saved_minor)
    charged = (
        *charges.of_entries(account, cycle, mine, product),
        *charges.annual(account, cycle, product),
        *_given_back(
            account, cycle, mine, product, recalled=recalled, redone=redone, saved_minor=saved
        ),
    )
    left, settled = demanded(account, mine, product)
    # What is not due yet is asked for anew by this statement.
    overdue = tuple(one for one in left if one.due <= cycle.end)
    closed = close(
        cycle,
        account.opening,
        events_of(cycle, mine, product) + _own(charged, product),
        product.terms,
        overdue_minor=sum(one.amount_minor for one in overdue),
        disputes=account.disputes,
        known=redone.carried,
        accrued=_accrued(account, saved),
    )
    after = _judged_again(account, mine, product, redone)
    following = next_cycle(cycle, product.rhythm(product.day(account.opened_ms)))
    after = replace(after, cycle=following, cycles=account.cycles + 1, settled=settled)
    after = replace(on_statement(after, mine), disputes=carried_on(account.disputes, mine))
    if not mine and not charged and not account.opening.balances.total:
        # Nothing to tell (12 CFR 1026.5(b)(2)(i)): no statement, and nothing is due.
        opening = replace(closed.carried, due=None, penalty=account.opening.penalty)
        return Step(account=replace(after, opening=opening))
    fresh_minor = closed.minimum_minor
    if product.terms.minimum.plus_past_due:
        fresh_minor -= closed.past_due_minor
    fresh = (Demand(due=cycle.due, amount_minor=fresh_minor),) if fresh_minor > 0 else ()
    returned = any(one.charge is Charge.RETURNED_PAYMENT_FEE for one in charged)
    penalty, penalty_from = _penalty(after, overdue, product, cycle.end)
    after = replace(
        after,
        phase=Phase.POSTING,
        number=account.number + 1,
        opening=replace(closed.carried, penalty=penalty),
        penalty_from=penalty_from,
        demands=no_more_than((*overdue, *fresh), closed.closing_minor),
        late_checked=closed.minimum_minor == 0,
        late_fee_minor=0,
        penalty_fee_minor=0,
        returned_cycle=account.cycles if returned else account.returned_cycle,
        year=account.year.plus(
            cycle.end.year,
            fees_minor=closed.totals.fees_minor,
            interest_minor=closed.interest_minor,
        ),
    )
    made = Made(number=after.number, closed=closed, entries=mine, before=account)
    return Step(
        account=after,
        postings=(*charged, *charges.interest(account, closed, product)),
        made=replace(made, penalty_from=penalty_from),
    )


def _judged_again(
    account: BillingAccount, mine: tuple[Booked, ...], product: Product, redone: Again
) -> BillingAccount:
    """What was called late, and was in time as is known now, was never late."""
    in_time = in_time_after_all(account, mine, product, redone.last)
    if account.late_number != account.number or not in_time:
        return account
    return replace(
        account,
        late_number=None,
        late_cycle=account.late_cycle_before,
        in_time=account.in_time_before + 1,
    )


def _given_back(
    account: BillingAccount,
    cycle: Cycle,
    mine: tuple[Booked, ...],
    product: Product,
    *,
    recalled: Recalled,
    redone: Again,
    saved_minor: int,
) -> tuple[Posting, ...]:
    """For payments that were received earlier than they came in: interest that they would have
    saved, and late fees if they were in time. For disputes that were won: interest on them, their
    fees, and late fees that they have caused.
    """

    def credit(charge: Charge, amount_minor: int, about: str = "") -> tuple[Posting, ...]:
        return charges.credit(account, cycle, product, charge, amount_minor, about=about)

    late_minor = unearned.late_fees(account, mine, product, redone)
    corrections = unearned.charge_fees(redone, recalled)
    return (
        *credit(Charge.LATE_FEE_WAIVER, late_minor),
        *(one for name in corrections for one in credit(_CORRECTION, corrections[name], name)),
        *credit(Charge.INTEREST_CORRECTION, saved_minor),
    )


def _accrued(account: BillingAccount, saved_minor: int) -> dict[Category, int]:
    """Interest that lost disputes would have borne, with the interest of their charges."""
    ended = ended_now(account)
    if saved_minor >= 0 or not ended or account.charged_off_on is not None:
        return {}
    return {ended[0].category: -saved_minor}


def _penalty(
    account: BillingAccount, overdue: tuple[Demand, ...], product: Product, on: date
) -> tuple[bool, date | None]:
    """Whether the next cycle has the penalty rate, and from when on a later one has it: cardholders
    are told 45 days before (12 CFR 1026.9(g)(2)), with the statement of the day after. Who has paid
    everything that is past due by then is spared.
    """
    penalty, begins = product.terms.penalty, account.penalty_from
    if penalty is None:
        return False, None
    if account.opening.penalty:
        return account.in_time < penalty.cure_payments, None
    days = standing(overdue, today=on).days_past_due
    if begins is None and days >= penalty.days_late:
        begins = on + timedelta(days=1 + NOTICE_DAYS)
    if begins is None or not days:
        return False, None
    return (True, None) if on + timedelta(days=1) >= begins else (False, begins)


def _own(postings: tuple[Posting, ...], product: Product) -> tuple[Event, ...]:
    return tuple(
        Event(
            on=product.day(one.value_ms),
            change=one.change,
            amount_minor=one.amount_minor,
            category=one.category,
        )
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
    later = next_boundary(demanded(account, entries, product)[0], bucket=account.bucket)
    if later is not None:
        days.append(later - timedelta(days=1))
    return replace(account, work_ms=ends_ms(min(days), product.zone) + delay_ms)
