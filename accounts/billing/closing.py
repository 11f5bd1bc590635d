"""Closes a cycle: interest, what the statement says, and what the next cycle starts with. No I/O,
no clock, no grpc.

The same events give the same statement, whenever it is made. What arrives later for a cycle that
has closed is an event of a later one, or (a payment that was received earlier) a correction: the
cycle is computed again, and the difference is posted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from accounts.billing.balances import Balances, Change, Event
from accounts.billing.calendar import Cycle
from accounts.billing.interest import Opening, has_grace, interest_of, walk
from accounts.billing.minimum import PayoffWarning, minimum_payment, past_due, payoff_warning
from accounts.billing.terms import Category, Terms

#: An account's first cycle starts with nothing, and with grace.
FIRST = Opening(balances=Balances(), due=None, statement_minor=0, minimum_minor=0, grace=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a cycle's events add up to."""

    purchases_minor: int
    cash_minor: int
    fees_minor: int
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
    minimum_minor: int
    past_due_minor: int
    warning: PayoffWarning | None
    #: Whether this cycle's purchases were free of interest.
    grace: bool
    #: What the next cycle starts with.
    carried: Opening

    @property
    def interest_minor(self) -> int:
        """Interest of all categories."""
        return sum(self.interest.values())


def close(cycle: Cycle, opening: Opening, events: tuple[Event, ...], terms: Terms) -> Closed:
    """Closes a cycle with everything that took effect in it."""
    walked = walk(cycle, opening, events, terms)
    interest = interest_of(cycle, opening, walked, terms)
    # Whatever it came of, interest is one category of the balance.
    balances = walked.days[-1].debited(Category.INTEREST, sum(interest.values())).carried()
    totals = _totals(events)
    # A statement before whose due date lies ahead (a first, short cycle) has nothing past due.
    overdue = opening.due is not None and opening.due <= cycle.end
    late = past_due(opening.minimum_minor, walked.paid_minor) if overdue else 0
    minimum = minimum_payment(
        balances.total,
        terms.minimum,
        fees_minor=totals.fees_minor,
        interest_minor=sum(interest.values()),
        past_due_minor=late,
    )
    grace = has_grace(opening, walked, terms)
    return Closed(
        cycle=cycle,
        opening_minor=opening.balances.total,
        closing_minor=balances.total,
        totals=totals,
        interest=interest,
        minimum_minor=minimum,
        past_due_minor=min(late, minimum),
        warning=payoff_warning(
            balances.total, terms.minimum, apr_bp=terms.apr_bp.get(Category.PURCHASE, 0)
        ),
        grace=grace,
        carried=replace(
            opening,
            balances=balances,
            due=cycle.due,
            statement_minor=max(balances.total, 0),
            minimum_minor=minimum,
            grace=grace,
        ),
    )


def correction(before: Closed, after: Closed) -> dict[Category, int]:
    """What a cycle that was computed again must give back (negative) or charge, by category."""
    found = {one: after.interest[one] - before.interest[one] for one in Category}
    return {category: amount for category, amount in found.items() if amount}


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
        credits_minor=total(Change.CREDIT),
        payments_minor=total(Change.PAYMENT),
        returned_minor=total(Change.RETURN),
    )
