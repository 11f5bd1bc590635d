"""Random years: what closing cycles says agrees with the plain computation, and with itself."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from accounts.billing.balances import Change, Event
from accounts.billing.calendar import Cycle, Rhythm, first_cycle, next_cycle
from accounts.billing.closing import FIRST, Closed, close
from accounts.billing.interest import Opening
from accounts.billing.terms import Category, MinimumRule, Terms
from tests.unit.accounts.billing.plain import PlainAccount, PlainStatement

APR = {Category.PURCHASE: 2199, Category.CASH: 2999, Category.FEE: 2199, Category.INTEREST: 2199}
TERMS = Terms(
    effective_from=date(2020, 1, 1),
    apr_bp=APR,
    minimum=MinimumRule(floor_minor=3500, share_bp=100),
)
#: Day of a cycle as a share of it, what, of which category, how much; and a payment that is a share
#: of the last statement.
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.sampled_from(["debit", "debit", "credit", "payment", "return"]),
        st.sampled_from(list(APR)),
        st.integers(1, 200_000),
    ),
    max_size=6,
)
PAYMENTS = st.sampled_from(["nothing", "minimum", "half", "all", "late", "more"])
YEARS = st.lists(st.tuples(EVENTS, PAYMENTS), min_size=1, max_size=12)


def events_of(
    drawn: list[tuple[int, str, Category, int]], payment: str, cycle: Cycle, opening: Opening
) -> tuple[Event, ...]:
    """The events of one cycle; the payment follows from what the statement before asked for."""
    found = [
        Event(
            on=cycle.start + timedelta(days=day % cycle.days),
            change=Change(what.upper()),
            category=category if what in ("debit", "credit") else Category.PURCHASE,
            amount_minor=amount,
        )
        for day, what, category, amount in drawn
    ]
    owed = opening.statement_minor
    amount = {
        "nothing": 0,
        "minimum": opening.minimum_minor,
        "half": owed // 2,
        "all": owed,
        "late": owed,
        "more": owed + 777,
    }[payment]
    if amount and opening.due is not None:
        on = opening.due + timedelta(days=1) if payment == "late" else opening.due
        found.append(Event(on=min(on, cycle.end), change=Change.PAYMENT, amount_minor=amount))
    return tuple(found)


def run_year(
    opened_on: date,
    closing_day: int,
    drawn: list[tuple[list[tuple[int, str, Category, int]], str]],
) -> list[tuple[Closed, PlainStatement, tuple[Event, ...]]]:
    """Both computations, cycle by cycle."""
    plain = PlainAccount(
        rates={category.value: f"{bp // 100}.{bp % 100:02d}" for category, bp in APR.items()},
        floor=3500,
        share="1.00",
    )
    rhythm = Rhythm(closing_day=closing_day)
    cycle, opening = first_cycle(opened_on, rhythm), FIRST
    found = []
    for events, payment in drawn:
        happened = events_of(events, payment, cycle, opening)
        closed = close(cycle, opening, happened, TERMS)
        said = plain.cycle(
            cycle.start,
            cycle.end,
            cycle.due,
            [
                (one.on, one.change.value.lower(), one.category.value, one.amount_minor)
                for one in happened
            ],
        )
        found.append((closed, said, happened))
        cycle, opening = next_cycle(cycle, rhythm), closed.carried
    return found


@given(
    opened_on=st.dates(date(2023, 1, 1), date(2025, 12, 31)),
    closing_day=st.integers(1, 31),
    drawn=YEARS,
)
def test_a_year_agrees_with_the_plain_computation(
    opened_on: date,
    closing_day: int,
    drawn: list[tuple[list[tuple[int, str, Category, int]], str]],
) -> None:
    """To the cent: closing balance, interest, minimum."""
    for closed, plain, _ in run_year(opened_on, closing_day, drawn):
        assert closed.interest_minor == plain.interest
        assert closed.closing_minor == plain.closing
        assert closed.minimum_minor == plain.minimum


@given(
    opened_on=st.dates(date(2023, 1, 1), date(2025, 12, 31)),
    closing_day=st.integers(1, 31),
    drawn=YEARS,
)
def test_what_must_hold_of_every_statement(
    opened_on: date,
    closing_day: int,
    drawn: list[tuple[list[tuple[int, str, Category, int]], str]],
) -> None:
    """The lines of a statement add up to the change of the balance; nothing is negative that must
    not be; the minimum is never more than the balance.
    """
    balance = 0
    for closed, _, events in run_year(opened_on, closing_day, drawn):
        signed = sum(
            one.amount_minor if one.change in (Change.DEBIT, Change.RETURN) else -one.amount_minor
            for one in events
        )
        assert closed.opening_minor == balance
        assert closed.closing_minor == balance + signed + closed.interest_minor
        assert all(amount >= 0 for amount in closed.interest.values())
        assert 0 <= closed.minimum_minor <= max(closed.closing_minor, 0)
        carried = closed.carried.balances
        assert carried.surplus == 0 or sum(carried.old.values()) == 0
        assert min(carried.old.values()) >= 0
        balance = closed.closing_minor


@given(
    opened_on=st.dates(date(2023, 1, 1), date(2032, 12, 31)),
    rhythm=st.builds(Rhythm, closing_day=st.integers(1, 31), due_days=st.integers(22, 28)),
)
def test_cycles_follow_each_other_without_a_gap(opened_on: date, rhythm: Rhythm) -> None:
    """Due enough days after closing, on one day of the month, within the next cycle."""
    cycle = first_cycle(opened_on, rhythm)
    assert cycle.start == opened_on < cycle.end
    days = set()
    for _ in range(30):
        after = next_cycle(cycle, rhythm)
        assert after.start == cycle.end + timedelta(days=1)
        assert rhythm.due_days <= (cycle.due - cycle.end).days <= 31
        assert after.start <= cycle.due <= after.end
        assert 28 <= after.days <= 31
        days.add(cycle.due.day)
        cycle = after
    assert len(days) == 1
