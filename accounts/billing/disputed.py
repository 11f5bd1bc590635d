"""Disputed charges, as far as bills go. No I/O, no clock, no grpc.

While a dispute is open its amount is set aside: it bears no interest, no minimum payment asks for
it, and withholding it costs nobody the grace period (12 CFR 1026.13(d)(1)). What was lost bears the
interest after all that it would have borne, but what is not disputed keeps what it had; what was
won never was (1026.13(e), (g)). Provisional credits move the balance only: what bears interest is
counted as if there were none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from accounts.billing.balances import Balances, Change, Event, Rate
from accounts.billing.calendar import Cycle
from accounts.billing.delinquency import Demand
from accounts.billing.fees import share_of
from accounts.billing.interest import Opening
from accounts.billing.terms import Category, Terms

#: Entries that a dispute has posted on the customer's balance.
CREDIT, REVERSAL = "PROVISIONAL_CREDIT", "PROVISIONAL_CREDIT_REVERSAL"
CREDITS = frozenset({CREDIT, REVERSAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """One dispute about a charge."""

    dispute_id: str
    #: The charge: a ledger entry.
    entry_id: str
    category: Category
    amount_minor: int
    #: The day from which on the charge counted.
    on: date
    #: The day on which the dispute came in.
    since: date
    #: The day on which it ended; None: it is open.
    settled: date | None = None
    #: What of the amount need not be paid, once it has ended.
    won_minor: int = 0
    #: Provisional credit, less what was taken back, that is on statements.
    credited_minor: int = 0
    #: Whether the cycles before its end have been made good.
    corrected: bool = False
    #: What was asked for before it came in, and the last statement's minimum; None: the same.
    demands_before: tuple[Demand, ...] | None = None
    minimum_before_minor: int = 0

    @property
    def lost_minor(self) -> int:
        """What of the amount is owed after all."""
        return 0 if self.settled is None else self.amount_minor - self.won_minor

    def shifts(self, *, bearing: bool) -> tuple[tuple[date, int], ...]:
        """How it moves what counts, from which day on. Of what bears interest (`bearing`), what was
        lost is no part; of what is asked for, it was until it was lost.
        """
        if self.settled is None:
            return ((self.since, -self.amount_minor),)
        lost = 0 if bearing else self.lost_minor
        found = ((self.on, -self.won_minor), (self.since, -lost), (self.settled, lost))
        return tuple(one for one in found if one[1])


class Entry(Protocol):
    """What is read of a ledger entry."""

    @property
    def type(self) -> str:
        """Of the ledger."""
        ...

    @property
    def related_entry_id(self) -> str:
        """What it is about."""
        ...

    @property
    def signed_minor(self) -> int:
        """What it adds to what is owed."""
        ...


def set_aside(
    cycle: Cycle,
    opening: Opening,
    events: Sequence[Event],
    terms: Terms,
    disputes: Sequence[Disputed],
    *,
    bearing: bool,
) -> tuple[Opening, tuple[Event, ...]]:
    """A cycle as it counts: opening and events with the disputed amounts set aside, and without
    what was credited for them.
    """
    charges = {one.entry_id for one in disputes}
    found = [one for one in events if one.credits not in charges]
    balances, statement_minor = opening.balances, opening.statement_minor

    def rate(category: Category) -> int:
        return opening.rate_bp(category, cycle.start, terms)

    for dispute in disputes:
        before = dispute.credited_minor
        for day, amount_minor in dispute.shifts(bearing=bearing):
            on = day
            if dispute.settled is None and dispute.on <= cycle.end < day:
                # It came in before this cycle's statement was made.
                on = cycle.end
            if on < cycle.start:
                before += amount_minor
            elif dispute.settled is not None and day == dispute.on:
                found = [_lowered(one, dispute.entry_id, -amount_minor) for one in found]
            elif on <= cycle.end:
                found.append(_event(on, amount_minor, dispute.category))
                in_time = opening.due is None or on <= opening.due
                if amount_minor < 0 and in_time and dispute.on >= cycle.start:
                    # It is no part of the last statement: setting it aside pays nothing of that.
                    statement_minor -= amount_minor
        balances = _shifted(balances, before, dispute.category, rate)
        statement_minor += before
    shifted = replace(opening, balances=balances.carried(), statement_minor=max(statement_minor, 0))
    return shifted, tuple(found)


def carried_on(disputes: Sequence[Disputed], entries: Iterable[Entry]) -> tuple[Disputed, ...]:
    """Disputes once a cycle is closed that has these entries: those that ended are made good, and
    forgotten as soon as what was credited for their charge is what was won of it.
    """
    found = [replace(one, corrected=one.settled is not None) for one in disputes]
    for entry in entries:
        if entry.type not in CREDITS:
            continue
        about = [n for n, one in enumerate(found) if one.entry_id == entry.related_entry_id]
        if about:
            last = found[about[-1]]
            credited_minor = last.credited_minor - entry.signed_minor
            found[about[-1]] = replace(last, credited_minor=credited_minor)
    waiting = {
        charge
        for charge in {one.entry_id for one in found}
        if any(one.settled is None for one in found if one.entry_id == charge)
        or sum(one.credited_minor - one.won_minor for one in found if one.entry_id == charge) != 0
    }
    return tuple(one for one in found if one.entry_id in waiting)


def as_known(
    stood: Sequence[Disputed], known: Sequence[Disputed], *, until: date
) -> tuple[Disputed, ...]:
    """Disputes of an earlier cycle as is known now; what was credited by then stays. Those that
    came in after its last day (`until`) count as well; those that had been made good by then, and
    forgotten, are in its balances.
    """
    credited = {one.dispute_id: one.credited_minor for one in stood}
    counts = [one for one in known if one.dispute_id in credited or one.since > until]
    now = {one.dispute_id for one in counts}
    return (
        *(one for one in stood if one.dispute_id not in now),
        *(replace(one, credited_minor=credited.get(one.dispute_id, 0)) for one in counts),
    )


def as_of(disputes: Iterable[Disputed], day: date) -> tuple[Disputed, ...]:
    """Disputes as they were at the end of a day."""
    return tuple(
        replace(one, settled=None, won_minor=0) if one.settled and one.settled > day else one
        for one in disputes
        if one.since <= day
    )


def withheld_minor(disputes: Iterable[Disputed], entries: Iterable[Entry] = ()) -> int:
    """What is owed, disputed, and not credited yet; `entries` are on no statement yet."""
    found = list(disputes)
    open_ = {one.entry_id for one in found if one.settled is None}
    known = sum(one.amount_minor - one.credited_minor for one in found if one.settled is None)
    came = sum(
        one.signed_minor for one in entries if one.type in CREDITS and one.related_entry_id in open_
    )
    return max(known + came, 0)


def relieved(
    demands: Sequence[Demand],
    *,
    minimum_minor: int,
    statement_minor: int,
    amount_minor: int,
    withheld_before_minor: int,
    shown_due: date,
    terms: Terms,
) -> tuple[tuple[Demand, ...], int]:
    """What earlier statements still ask for, and the last one's minimum, once part of them is
    disputed: each that showed the charge (the first was due on `shown_due`) asks for the rule's
    share of the amount less, and all together for no more than is not disputed.
    """
    share = share_of(amount_minor, terms.minimum.share_bp)
    most = max(statement_minor - withheld_before_minor - amount_minor, 0)
    found, left = list[Demand](), most
    for demand in sorted(demands, key=lambda one: one.due):
        less = share if demand.due >= shown_due else 0
        asked = min(max(demand.amount_minor - less, 0), left)
        left -= asked
        if asked:
            found.append(Demand(due=demand.due, amount_minor=asked))
    lowered = sum(one.amount_minor for one in demands) - sum(one.amount_minor for one in found)
    return tuple(found), min(max(minimum_minor - lowered, 0), most)


def _lowered(event: Event, entry_id: str, amount_minor: int) -> Event:
    """A charge less what was won of it."""
    if event.entry_id != entry_id:
        return event
    return replace(event, amount_minor=event.amount_minor - amount_minor)


def _event(on: date, amount_minor: int, category: Category) -> Event:
    change = Change.DEBIT if amount_minor > 0 else Change.CREDIT
    return Event(on=on, change=change, amount_minor=abs(amount_minor), category=category)


def _shifted(balances: Balances, amount_minor: int, category: Category, rate: Rate) -> Balances:
    if amount_minor > 0:
        return balances.debited(category, amount_minor)
    return balances.credited(category, -amount_minor, rate)
