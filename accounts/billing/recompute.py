"""What payments that came in late would have saved, had they come in when they were received. No
I/O, no clock, no grpc.

The cycles from the first receipt on are closed again, twice: with every payment that is on a
statement on the day of its receipt, and with those that came in now besides. What earlier late
payments saved was given back then, and is in both. The same goes for disputes that have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accounts.billing import charges
from accounts.billing.account import BillingAccount, Booked
from accounts.billing.balances import Change, Event
from accounts.billing.calendar import Cycle
from accounts.billing.closing import Closed, close
from accounts.billing.demanded import asked, paid
from accounts.billing.disputed import CREDITS, Disputed, as_known
from accounts.billing.interest import Opening
from accounts.billing.product import Product
from accounts.billing.terms import Category


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A statement that was made: everything that it can be computed from again."""

    #: As it was when the cycle closed.
    account: BillingAccount
    entries: tuple[Booked, ...]
    product: Product

    @property
    def cycle(self) -> Cycle:
        """The cycle that it closed."""
        assert self.account.cycle is not None, "it was closed"
        return self.account.cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What earlier statements are computed from again; nothing, if nothing has changed them."""

    #: The statements from the cycle of the earliest `backdated` payment, or ended dispute, on.
    past: tuple[Past, ...] = ()
    #: Disputes that ended and were made good before.
    made_good: tuple[Disputed, ...] = ()
    #: How much of all interest has not been given back; None: all of it.
    uncredited_minor: int | None = None
    #: The same of the fees that a charge has caused, by its entry.
    fees_left: Mapping[str, int] = field(default_factory=dict)

    def not_given_back(self, saved_minor: int) -> int:
        """Of interest that would have been saved: what staff has not given back before."""
        most = self.uncredited_minor
        return saved_minor if most is None else min(saved_minor, most)


def backdated(cycle: Cycle, entries: tuple[Booked, ...], product: Product) -> tuple[Booked, ...]:
    """Payments that were received before the cycle in which they came in."""
    return tuple(
        one
        for one in entries
        if one.change is Change.PAYMENT and product.day(one.value_ms) < cycle.start
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redone:
    """A statement made again."""

    closed: Closed
    #: What the late fee in its cycle should have been.
    late_fee_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Statements as was known, and as is known now; none if nothing has changed them."""

    before: tuple[Redone, ...] = ()
    after: tuple[Redone, ...] = ()
    #: Disputes of which something is known.
    known: tuple[Disputed, ...] = ()

    @property
    def saved_minor(self) -> int:
        """By how much interest would have been lower: negative if disputes were lost."""
        before = sum(one.closed.interest_minor for one in self.before)
        return before - sum(one.closed.interest_minor for one in self.after)

    @property
    def carried(self) -> Opening | None:
        """What the cycle after these would have started with; None: what it did."""
        return self.after[-1].closed.carried if self.after else None

    @property
    def last(self) -> Closed | None:
        """The last statement, if disputes have changed it."""
        return self.after[-1].closed if self.after and self.known else None


def again(recalled: Recalled, late: tuple[Booked, ...], ended: tuple[Disputed, ...]) -> Again:
    """Earlier statements again: with payments that came in late, and disputes that have ended."""
    past, made_good = recalled.past, recalled.made_good
    if not past or not (late or ended):
        return Again()
    return Again(
        before=_redone(past, (), made_good),
        after=_redone(past, late, (*made_good, *ended)),
        known=(*made_good, *ended),
    )


def ended_now(account: BillingAccount) -> tuple[Disputed, ...]:
    """Disputes that have ended, and whose earlier cycles have not been made good."""
    return tuple(one for one in account.disputes if one.settled and not one.corrected)


def paid_in_time(account: BillingAccount, entries: tuple[Booked, ...], product: Product) -> bool:
    """Whether the last statement's minimum was received after its cycle and by its due date."""
    due, cycle = account.opening.due, account.cycle
    assert cycle is not None, "it has begun"
    if due is None:
        return True
    received = paid(entries, product, since=cycle.start, until=due)
    return received >= asked(account, entries, product, since=cycle.start, until=due)


def fair_late_fee(
    account: BillingAccount, entries: tuple[Booked, ...], product: Product, stated: Closed | None
) -> int:
    """What an account's late fee should have been; `stated`: its last statement, if disputes have
    changed it since.
    """
    if not account.late_fee_minor or in_time_after_all(account, entries, product, stated):
        return 0
    most = account.late_fee_minor if stated is None else stated.minimum_minor
    return min(account.late_fee_minor, most)


def in_time_after_all(
    account: BillingAccount, entries: tuple[Booked, ...], product: Product, stated: Closed | None
) -> bool:
    """Whether the last statement's minimum was paid in time, without what was credited for disputed
    charges: the statement as it is known now has not asked for them.
    """
    if stated is None:
        return paid_in_time(account, entries, product)
    opening, owed_minor = account.opening, stated.closing_minor - stated.disputed_minor
    fair = replace(
        opening,
        minimum_minor=min(opening.minimum_minor, stated.minimum_minor),
        statement_minor=min(opening.statement_minor, max(owed_minor, 0)),
    )
    others = tuple(one for one in entries if one.type not in CREDITS)
    return paid_in_time(replace(account, opening=fair), others, product)


def unearned_charge_fees(
    past: tuple[Past, ...], known: tuple[Disputed, ...]
) -> dict[str, tuple[int, int]]:
    """Of charges that were disputed: what their fees came to, and what they should have."""
    shown = {entry.entry_id: (entry, one.product) for one in past for entry in one.entries}
    found = dict[str, tuple[int, int]]()
    for charge_id in dict.fromkeys(one.entry_id for one in known):
        if charge_id in shown:
            charge, product = shown[charge_id]
            won = sum(one.won_minor for one in known if one.entry_id == charge_id)
            whole = charges.caused_by(charge, product.terms.fees, owed_minor=charge.amount_minor)
            left = charge.amount_minor - won
            fair = charges.caused_by(charge, product.terms.fees, owed_minor=left)
            found[charge_id] = sum(whole.values()), sum(fair.values())
    return found


def events_of(cycle: Cycle, entries: tuple[Booked, ...], product: Product) -> tuple[Event, ...]:
    """What comes late counts from the cycle's first day."""
    return tuple(
        Event(
            on=max(product.day(one.value_ms), cycle.start),
            change=one.change,
            amount_minor=one.amount_minor,
            category=one.category,
            entry_id=one.entry_id,
            credits=one.related_entry_id if one.type in CREDITS else "",
        )
        for one in entries
    )


def _redone(
    past: tuple[Past, ...], late: tuple[Booked, ...], known: tuple[Disputed, ...]
) -> tuple[Redone, ...]:
    found, first = list[Redone](), past[0].cycle.start
    entries = tuple(entry for one in past for entry in one.entries) + late
    moved = late + tuple(
        entry
        for one in past
        for entry in backdated(one.cycle, one.entries, one.product)
        if one.product.day(entry.value_ms) >= first
    )
    fees = unearned_charge_fees(past, known)
    for one in past:
        cycle, product, opening = one.cycle, one.product, one.account.opening
        before = found[-1].closed if found else None
        fair = fair_late_fee(one.account, entries, product, before if known else None)
        unearned = one.account.late_fee_minor - fair + _unearned_of(one, fees)
        # Interest is what comes out, and no event.
        stay = tuple(
            entry for entry in one.entries if entry.type != "INTEREST" and entry not in moved
        )
        came = tuple(
            entry for entry in moved if cycle.start <= product.day(entry.value_ms) <= cycle.end
        )
        closed = close(
            cycle,
            opening if before is None else _carried(before.carried, opening),
            events_of(cycle, stay + came, product) + _never_charged(cycle, unearned),
            product.terms,
            disputes=as_known(one.account.disputes, known, until=cycle.end),
            warned=False,
        )
        found.append(Redone(closed=closed, late_fee_minor=fair))
    return tuple(found)


def _unearned_of(past: Past, fees: dict[str, tuple[int, int]]) -> int:
    """Fees on a statement that its charges should not have caused."""
    mine = {one.entry_id for one in past.entries}
    return sum(caused - fair for name, (caused, fair) in fees.items() if name in mine)


def _never_charged(cycle: Cycle, amount_minor: int) -> tuple[Event, ...]:
    """Fees that a cycle should not have had."""
    if amount_minor <= 0:
        return ()
    event = Event(
        on=cycle.end, change=Change.CREDIT, amount_minor=amount_minor, category=Category.FEE
    )
    return (event,)


def _carried(carried: Opening, stood: Opening) -> Opening:
    """What the next cycle would have started with; its penalty and offers stand."""
    return replace(
        carried,
        penalty=stood.penalty,
        promotions=stood.promotions,
        due=stood.due,
        issued_on=stood.issued_on,
    )
