"""Interest of one cycle. No I/O, no clock, no grpc.

A purchase costs no interest in a cycle in which the statement before was paid in full by its due
date; and a statement that bore none costs nothing but on the part that was not paid by then, and
only from the first day after it closed: never for the days of an earlier cycle (12 CFR 1026.54).
Cash advances have no such grace. Who carried a balance pays for it until the day it was paid, also
in the cycle that pays it off (trailing interest).

Sums are exact fractions; each category is rounded once per cycle, half to even.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from accounts.billing.balances import Balances, Change, Event, Parts
from accounts.billing.calendar import Cycle
from accounts.billing.rounding import half_even
from accounts.billing.terms import (
    CASH,
    DUE_AFTER_DAYS,
    KEPT,
    WHOLE_BP,
    Category,
    Method,
    Promotion,
    Terms,
    standard,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a cycle starts with, all of it from the statement before."""

    balances: Balances
    #: Its statement's due date; None in the first cycle.
    due: date | None
    #: What the statement said: its balance and its minimum payment.
    statement_minor: int
    minimum_minor: int
    #: Whether purchases of the cycle before were free of interest.
    grace: bool
    #: Whether the penalty rate applies.
    penalty: bool = False
    promotions: tuple[Promotion, ...] = ()
    #: Rates of the cycle before, and those that older balances have kept when rates rose.
    rates_bp: Mapping[Category, int] = field(default_factory=dict)
    kept_bp: Mapping[Category, int] = field(default_factory=dict)
    #: When its statement was issued; None: not yet, or there is none.
    issued_on: date | None = None

    @property
    def untimely(self) -> bool:
        """Its statement was issued too late before its due date: whoever has not paid by then is
        not late, and loses no grace (12 CFR 1026.5(b)(2)(ii)).
        """
        if self.due is None or self.issued_on is None:
            return False
        return self.issued_on > self.due - timedelta(days=DUE_AFTER_DAYS)

    def rate_bp(self, category: Category, on: date, terms: Terms) -> int:
        """The annual rate of a category on a day; a penalty ends what was kept."""
        found = terms.rate_bp(
            standard(category), on, promotions=self.promotions, penalty=self.penalty
        )
        if self.penalty and terms.penalty is not None:
            return found
        return min(found, self.kept_bp.get(category, found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """A cycle day by day."""

    #: End-of-day balances, one for each day of the cycle.
    days: tuple[Balances, ...]
    #: Payments and credits up to the due date, and payments of the whole cycle, less returns.
    settled_by_due_minor: int
    paid_minor: int
    paid_by_due_minor: int


def walk(cycle: Cycle, opening: Opening, events: tuple[Event, ...], terms: Terms) -> Walked:
    """Applies a cycle's events in order of days; on one day what is owed comes before what pays."""
    balances, days = opening.balances, list[Balances]()
    settled = paid = paid_by_due = 0
    waiting = sorted(events, key=lambda one: (one.on, _LAST.index(one.change)))
    assert all(cycle.start <= one.on <= cycle.end for one in waiting), "of this cycle only"
    position = 0
    for day in cycle.dates():
        in_time = opening.due is None or day <= opening.due
        while position < len(waiting) and waiting[position].on == day:
            event = waiting[position]
            position += 1
            balances = _applied(balances, event, opening, terms, opening.minimum_minor - paid)
            amount = -event.amount_minor if event.change is Change.RETURN else event.amount_minor
            if event.change in (Change.PAYMENT, Change.RETURN):
                paid += amount
                paid_by_due += amount if in_time else 0
            if event.change is not Change.DEBIT:
                settled += amount if in_time else 0
        days.append(balances)
    return Walked(
        days=tuple(days),
        settled_by_due_minor=settled,
        paid_minor=paid,
        paid_by_due_minor=paid_by_due,
    )


_LAST = [Change.RETURN, Change.DEBIT, Change.CREDIT, Change.PAYMENT]


def _applied(
    balances: Balances, event: Event, opening: Opening, terms: Terms, minimum_left: int
) -> Balances:
    def rate(category: Category) -> int:
        return opening.rate_bp(category, event.on, terms)

    match event.change:
        case Change.DEBIT | Change.RETURN:
            return balances.debited(event.category, event.amount_minor)
        case Change.CREDIT:
            return balances.credited(event.category, event.amount_minor, rate)
        case Change.PAYMENT:
            return balances.paid(event.amount_minor, minimum_left_minor=minimum_left, rate=rate)


def has_grace(opening: Opening, walked: Walked, terms: Terms) -> bool:
    """Whether this cycle's purchases are free of interest: the statement before was paid in full by
    its due date. Refunds count as much as payments: what was given back is not owed. Who was not
    told in time what to pay by when does not lose it.
    """
    settled = walked.settled_by_due_minor >= opening.statement_minor
    return terms.grace and (settled or opening.untimely)


def protected(opening: Opening, terms: Terms) -> Opening:
    """Terms whose rates are higher than those of the cycle before are for what is new: all that is
    owed as they begin keeps its rate, the lowest it ever had (12 CFR 1026.55(b)(3)).
    """
    balances, kept_bp = opening.balances, dict(opening.kept_bp)
    for category, kept in KEPT.items():
        before, now = opening.rates_bp.get(category), terms.apr_bp.get(category, 0)
        if before is not None and now > before and balances.old[category]:
            balances = balances.moved(category, kept)
            kept_bp[kept] = min(before, kept_bp.get(kept, before))
        if kept in kept_bp and (now <= kept_bp[kept] or not balances.old[kept]):
            balances = balances.moved(kept, category)
            del kept_bp[kept]
    return replace(opening, balances=balances, kept_bp=kept_bp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """Interest of a cycle by category of balance."""

    amounts: dict[Category, int]
    #: Average of the daily balances that bore it (12 CFR 1026.7(b)(5)).
    averages: dict[Category, int]


def interest_of(
    cycle: Cycle, opening: Opening, walked: Walked, terms: Terms, *, grace_now: bool
) -> Interest:
    """Interest, each category rounded once; the minimum charge tops up the dearest. `grace_now`:
    this cycle's purchases are free of it (`has_grace`).
    """
    # Of what had grace, only what was not paid by the due date bears interest, and from the first
    # day on.
    unpaid = None
    if opening.grace:
        unpaid = dict.fromkeys(Category, 0) if grace_now else _at_due(cycle, opening, walked).old
    bearing = [_bearing(day, unpaid, grace_now=grace_now) for day in walked.days]
    dates = cycle.dates()
    found = {category: _rounded(category, dates, bearing, opening, terms) for category in Category}
    total = sum(found.values())
    if 0 < total < terms.interest_minimum_minor:
        most = max(found, key=lambda category: found[category])
        found[most] += terms.interest_minimum_minor - total
    averages = {
        category: half_even(sum(parts[category] for parts in bearing), cycle.days)
        for category in Category
    }
    return Interest(amounts=found, averages=averages)


def _bearing(day: Balances, unpaid: Parts | None, *, grace_now: bool) -> Parts:
    """What bears interest of the balance at the end of a day."""
    found = dict[Category, int]()
    for category in Category:
        old, new = day.old[category], day.new[category]
        if category in CASH:
            found[category] = old + new
            continue
        if unpaid is not None:
            old = min(old, unpaid[category])
        found[category] = old + (0 if grace_now else new)
    return found


def _at_due(cycle: Cycle, opening: Opening, walked: Walked) -> Balances:
    if opening.due is None:
        return opening.balances
    return walked.days[min((opening.due - cycle.start).days, cycle.days - 1)]


def _rounded(
    category: Category, dates: list[date], bearing: list[Parts], opening: Opening, terms: Terms
) -> int:
    """Balance times days times rate, exactly, then rounded."""
    if standard(category) not in terms.apr_bp or not any(parts[category] for parts in bearing):
        return 0
    if terms.method is Method.AVERAGE_DAILY:
        last_bp = opening.rate_bp(category, dates[-1], terms)
        points = sum(parts[category] for parts in bearing) * last_bp
    else:
        points = sum(
            parts[category] * opening.rate_bp(category, on, terms)
            for parts, on in zip(bearing, dates, strict=True)
        )
    return half_even(points, WHOLE_BP * terms.year_days)
