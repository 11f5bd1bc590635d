"""Closes a cycle: interest, what the statement says, and what the next cycle starts with. No I/O,
no clock, no grpc.

The same events give the same statement, whenever it is made. What arrives later for a cycle that
has closed is an event of a later one, or (a payment that was received earlier) a correction: the
cycle is computed again, and the difference is posted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from accounts.billing.balances import Balances, Change, Event
from accounts.billing.calendar import Cycle, months_after
from accounts.billing.disputed import Disputed, set_aside
from accounts.billing.interest import Opening, has_grace, interest_of, protected, walk
from accounts.billing.minimum import PayoffWarning, minimum_payment, past_due, payoff_warning
from accounts.billing.terms import Category, Terms, standard

#: An account's first cycle starts with nothing, and with grace.
FIRST = Opening(balances=Balances(), due=None, statement_minor=0, minimum_minor=0, grace=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a cycle's events add up to."""

    purchases_minor: int
    cash_minor: int
    fees_minor: int
    #: Part of the credits.
    waived_fees_minor: int
    credits_minor: int
    payments_minor: int
    returned_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """One closed cycle, as its statement says it."""

    cycle: Cycle
    opening_minor: int
    closing_minor: int
    totals: Totals
    #: Of this cycle, posted on its last day.
    interest: dict[Category, int]
    #: What bore it, on the average of the cycle's days, and the rates of its last day.
    averages: dict[Category, int]
    rates_bp: dict[Category, int]
    minimum_minor: int
    past_due_minor: int
    #: Of the closing balance: disputed, and not asked for.
    disputed_minor: int
    warning: PayoffWarning | None
    #: Whether this cycle's purchases were free of interest.
    grace: bool
    #: What the next cycle starts with.
    carried: Opening

    @property
    def interest_minor(self) -> int:
        """Interest of all categories."""
        return sum(self.interest.values())


def close(
    cycle: Cycle,
    opening: Opening,
    events: tuple[Event, ...],
    terms: Terms,
    *,
    overdue_minor: int | None = None,
    disputes: tuple[Disputed, ...] = (),
    known: Opening | None = None,
    accrued: dict[Category, int] | None = None,
    warned: bool = True,
) -> Closed:
    """Closes a cycle with everything that took effect in it. `overdue_minor`: what is past due of
    all earlier statements; None: what is left of the last one's minimum. `known`: what it would
    have started with, had it been known how disputes end; `accrued`: interest of earlier cycles
    that is charged with this one's; `warned`: with the payoff warning.
    """
    begins = opening if known is None else _begins(opening, known)
    opening, begins = protected(opening, terms), protected(begins, terms)
    walked = walk(cycle, opening, events, terms)
    asked, grace, bears = walked, has_grace(opening, walked, terms), (opening, walked)
    if disputes:
        aside = set_aside(cycle, begins, events, terms, disputes, bearing=False)
        asked = walk(cycle, *aside, terms)
        grace = has_grace(aside[0], asked, terms)
        aside = set_aside(cycle, begins, events, terms, disputes, bearing=True)
        bears = aside[0], walk(cycle, *aside, terms)
    found = interest_of(cycle, *bears, terms, grace_now=grace)
    interest = {one: found.amounts[one] + (accrued or {}).get(one, 0) for one in Category}
    # Whatever it came of, interest is one category of the balance.
    balances = walked.days[-1].debited(Category.INTEREST, sum(interest.values())).carried()
    asked_minor = asked.days[-1].debited(Category.INTEREST, sum(interest.values())).total
    totals = _totals(events)
    late = overdue_minor
    if late is None:
        late = past_due(opening.minimum_minor, walked.paid_minor) if opening.due else 0
    minimum = minimum_payment(
        min(balances.total, asked_minor),
        terms.minimum,
        fees_minor=max(totals.fees_minor - totals.waived_fees_minor, 0),
        interest_minor=sum(interest.values()),
        past_due_minor=late,
    )
    return Closed(
        cycle=cycle,
        opening_minor=opening.balances.total,
        closing_minor=balances.total,
        totals=totals,
        interest=interest,
        averages=found.averages,
        rates_bp=_rates(opening, cycle.end, terms),
        minimum_minor=minimum,
        past_due_minor=min(late, minimum),
        disputed_minor=max(min(balances.total - asked_minor, balances.total), 0),
        warning=_warning(balances, opening, cycle.end, terms) if warned else None,
        grace=grace,
        carried=replace(
            opening,
            balances=balances,
            due=cycle.due,
            statement_minor=max(balances.total, 0),
            minimum_minor=minimum,
            grace=grace,
            rates_bp=dict(terms.apr_bp),
            issued_on=None,
        ),
    )


def _warning(balances: Balances, opening: Opening, on: date, terms: Terms) -> PayoffWarning | None:
    return payoff_warning(
        {category: balances.of(category) for category in Category},
        terms.minimum,
        rates=_coming_rates(opening, on, terms),
    )


def _begins(opening: Opening, known: Opening) -> Opening:
    """What a cycle started with, but for what is known better now."""
    return replace(
        opening,
        balances=known.balances,
        statement_minor=known.statement_minor,
        grace=known.grace,
        kept_bp=known.kept_bp,
    )


def correction(before: Closed, after: Closed) -> dict[Category, int]:
    """What a cycle that was computed again must give back (negative) or charge, by category."""
    found = {one: after.interest[one] - before.interest[one] for one in Category}
    return {category: amount for category, amount in found.items() if amount}


def _rates(opening: Opening, on: date, terms: Terms) -> dict[Category, int]:
    """What each category bears on a day, if it bears anything."""
    return {
        one: opening.rate_bp(one, on, terms) if standard(one) in terms.apr_bp else 0
        for one in Category
    }


def _coming_rates(opening: Opening, day: date, terms: Terms) -> list[dict[Category, int]]:
    """Rates of the months from a day on, until the last promotion is over."""
    found = [_rates(opening, day, terms)]
    last = max((one.until for one in opening.promotions), default=date.min)
    while months_after(day, len(found) - 1) <= last:
        found.append(_rates(opening, months_after(day, len(found)), terms))
    return found


def _totals(events: tuple[Event, ...]) -> Totals:
    def total(change: Change, category: Category | None = None) -> int:
        return sum(
            one.amount_minor
            for one in events
            if one.change is change and category in (None, one.category)
        )

    return Totals(
        purchases_minor=total(Change.DEBIT, Category.PURCHASE),
        cash_minor=total(Change.DEBIT, Category.CASH),
        fees_minor=total(Change.DEBIT, Category.FEE),
        waived_fees_minor=total(Change.CREDIT, Category.FEE),
        credits_minor=total(Change.CREDIT),
        payments_minor=total(Change.PAYMENT),
        returned_minor=total(Change.RETURN),
    )
