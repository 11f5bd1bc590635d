"""Interest of one cycle. No I/O, no clock, no grpc.

A purchase costs no interest in a cycle in which the statement before was paid in full by its due
date; and a statement that bore none costs nothing but on the part that was not paid by then, and
only from the first day after it closed: never for the days of an earlier cycle (12 CFR 1026.54).
Cash advances have no such grace. Who carried a balance pays for it until the day it was paid, also
in the cycle that pays it off (trailing interest).

Sums are exact fractions; each category is rounded once per cycle, half to even.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from accounts.billing.balances import Balances, Change, Event, Parts
from accounts.billing.calendar import Cycle
from accounts.billing.rounding import half_even
from accounts.billing.terms import WHOLE_BP, Category, Method, Promotion, Terms


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
        return terms.rate_bp(
            category, event.on, promotions=opening.promotions, penalty=opening.penalty
        )

    match event.change:
        case Change.DEBIT | Change.RETURN:
            return balances.debited(event.category, event.amount_minor)
        case Change.CREDIT:
            return balances.credited(event.category, event.amount_minor, rate)
        case Change.PAYMENT:
            return balances.paid(event.amount_minor, minimum_left_minor=minimum_left, rate=rate)


def has_grace(opening: Opening, walked: Walked, terms: Terms) -> bool:
    """Whether this cycle's purchases are free of interest: the statement before was paid in full by
    its due date. Refunds count as much as payments: what was given back is not owed.
    """
    return terms.grace and walked.settled_by_due_minor >= opening.statement_minor


def interest_of(
    cycle: Cycle, opening: Opening, walked: Walked, terms: Terms
) -> dict[Category, int]:
    """Minor units of interest by category; the minimum charge tops up the dearest."""
    grace_now = has_grace(opening, walked, terms)
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
    return found


def _bearing(day: Balances, unpaid: Parts | None, *, grace_now: bool) -> Parts:
    """What bears interest of the balance at the end of a day."""
    found = dict[Category, int]()
    for category in Category:
        old, new = day.old[category], day.new[category]
        if category is Category.CASH:
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
    if category not in terms.apr_bp:
        return 0

    def rate_bp(on: date) -> int:
        return terms.rate_bp(category, on, promotions=opening.promotions, penalty=opening.penalty)

    if terms.method is Method.AVERAGE_DAILY:
        points = sum(parts[category] for parts in bearing) * rate_bp(dates[-1])
    else:
        points = sum(
            parts[category] * rate_bp(on) for parts, on in zip(bearing, dates, strict=True)
        )
    return half_even(points, WHOLE_BP * terms.year_days)
