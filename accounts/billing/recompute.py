"""What payments that came in late would have saved, had they come in when they were received. No
I/O, no clock, no grpc.

The cycles from the first receipt on are closed again, twice: with every payment that is on a
statement on the day of its receipt, and with those that came in now besides. What earlier late
payments saved was given back then, and is in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from accounts.billing.account import BillingAccount, Booked
from accounts.billing.balances import Change, Event
from accounts.billing.calendar import Cycle
from accounts.billing.closing import Closed, close
from accounts.billing.demanded import asked, paid
from accounts.billing.disputed import CREDITS, Disputed, as_known
from accounts.billing.interest import Opening
from accounts.billing.product import Product


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


def backdated(cycle: Cycle, entries: tuple[Booked, ...], product: Product) -> tuple[Booked, ...]:
    """Payments that were received before the cycle in which they came in."""
    return tuple(
        one
        for one in entries
        if one.change is Change.PAYMENT and product.day(one.value_ms) < cycle.start
    )


def saved_interest(
    past: tuple[Past, ...], late: tuple[Booked, ...], ended: tuple[Disputed, ...] = ()
) -> tuple[int, Opening | None]:
    """By how much interest would have been lower: negative if disputes were lost. `ended`: disputes
    as is known now. Also what the cycle after these would have started with; None: what it did.
    """
    if not past or not (late or ended):
        return 0, None
    before, after = _closed_again(past, (), ()), _closed_again(past, late, ended)
    saved = sum(one.interest_minor for one in before) - sum(one.interest_minor for one in after)
    return saved, after[-1].carried


def ended_now(account: BillingAccount) -> tuple[Disputed, ...]:
    """Disputes that have ended, and whose earlier cycles have not been made good."""
    return tuple(one for one in account.disputes if one.settled and not one.corrected)


def unearned_late_fees(past: tuple[Past, ...], late: tuple[Booked, ...]) -> int:
    """Late fees of minimum payments that were in time, as is known now, but was not before."""
    known = tuple(entry for one in past for entry in one.entries)
    return sum(
        one.account.late_fee_minor
        for one in past
        if one.account.late_fee_minor
        and paid_in_time(one.account, known + late, one.product)
        and not paid_in_time(one.account, known, one.product)
    )


def paid_in_time(account: BillingAccount, entries: tuple[Booked, ...], product: Product) -> bool:
    """Whether the last statement's minimum was received after its cycle and by its due date."""
    due, cycle = account.opening.due, account.cycle
    assert cycle is not None, "it has begun"
    if due is None:
        return True
    received = paid(entries, product, since=cycle.start, until=due)
    return received >= asked(account, entries, product, since=cycle.start, until=due)


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


def _closed_again(
    past: tuple[Past, ...], late: tuple[Booked, ...], ended: tuple[Disputed, ...]
) -> list[Closed]:
    found, carried = list[Closed](), None
    first = past[0].cycle.start if past else date.max
    moved = late + tuple(
        entry
        for one in past
        for entry in backdated(one.cycle, one.entries, one.product)
        if one.product.day(entry.value_ms) >= first
    )
    for one in past:
        cycle, product, opening = one.cycle, one.product, one.account.opening
        # Interest is what comes out, and no event.
        stay = tuple(
            entry for entry in one.entries if entry.type != "INTEREST" and entry not in moved
        )
        came = tuple(
            entry for entry in moved if cycle.start <= product.day(entry.value_ms) <= cycle.end
        )
        if carried is not None:
            opening = _carried(carried, opening)
        found.append(
            close(
                cycle,
                opening,
                events_of(cycle, stay + came, product),
                product.terms,
                disputes=as_known(one.account.disputes, ended),
            )
        )
        carried = found[-1].carried
    return found


def _carried(carried: Opening, stood: Opening) -> Opening:
    """What the next cycle would have started with; its penalty and offers stand."""
    return replace(
        carried,
        penalty=stood.penalty,
        promotions=stood.promotions,
        due=stood.due,
        issued_on=stood.issued_on,
    )
