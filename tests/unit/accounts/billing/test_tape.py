"""The loan tape of accounts with disputes: a row is the same whenever it is made, and what is
disputed bears nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.billing.account import Phase
from accounts.billing.calendar import ends_ms
from accounts.billing.tape import Source, TapeRow, tape_row
from accounts.billing.terms import Fees
from tests.unit.accounts.billing.disputing import DisputingLife
from tests.unit.accounts.billing.life import DELAY_MS, OPENED, PRODUCT, at_ms
from tests.unit.accounts.billing.test_random_lives import HAPPENS, happens, pays

DAYS = 200
#: Every purchase bears interest from its day on, and there are no fees.
NO_GRACE = replace(PRODUCT, terms=replace(PRODUCT.terms, grace=False, penalty=None, fees=Fees()))


def row_of(life: DisputingLife, day: date) -> TapeRow | None:
    """The row of a day, from what there is now (accounts/billing/tape_store.py)."""
    end_ms = ends_ms(day, life.product.zone)
    made = next((one for one in life.made if one.closed.cycle.end >= day), None)
    before = [one.closed.cycle for one in life.made if one.closed.cycle.end < day]
    number = made.number if made else None
    return tape_row(
        Source(
            account=replace(made.before, phase=Phase.RUNNING) if made else life.account,
            entries=tuple(
                one
                for one in life.entries.values()
                if one.number == number and one.post_ms < end_ms + DELAY_MS
            ),
            previous=before[-1] if before else None,
        ),
        lambda _: life.product,
        day,
    )


@settings(deadline=None, max_examples=25)
@given(drawn=HAPPENS, months=st.sampled_from(["-", "M", "A", "ML-", "A-"]))
def test_a_row_is_the_same_whenever_it_is_made(
    drawn: list[tuple[int, str, int, int, int]], months: str
) -> None:
    life, written = DisputingLife(), dict[date, TapeRow | None]()
    for number in range(DAYS):
        day = OPENED + timedelta(days=number)
        life.looked_at(at_ms(day, 11))
        if number:
            written[day - timedelta(days=1)] = row_of(life, day - timedelta(days=1))
        pays(life, number, months)
        for one in drawn:
            if one[0] == number:
                happens(life, number, one)
    for day, row in written.items():
        assert row_of(life, day) == row


@settings(deadline=None, max_examples=25)
@given(
    purchases=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 50_000)), max_size=6),
    charged=st.integers(0, 40),
    waits=st.integers(0, 20),
)
def test_what_is_disputed_accrues_nothing(
    purchases: list[tuple[int, int]], charged: int, waits: int
) -> None:
    """From the dispute on, the tape says what it would without the charge, but for the balance."""
    life, never = DisputingLife(NO_GRACE), DisputingLife(NO_GRACE)
    for number in range(110):
        day = OPENED + timedelta(days=number)
        for one in (life, never):
            for _, amount in (found for found in purchases if found[0] == number):
                one.happens(day, "purchase", amount, 0)
        if number == charged:
            life.happens(day, "purchase", 70_000, 0)
            charge = life.charges[-1]
        for one in (life, never):
            one.looked_at(at_ms(day, 11))
        if number == charged + waits:
            life.dispute(day, charge)
        row, bare = row_of(life, day), row_of(never, day)
        if row is None or bare is None or number < charged + waits:
            continue
        assert row.balance_minor >= bare.balance_minor + 70_000
        before = OPENED + timedelta(days=charged + waits)
        if row.cycle_start_date > before.isoformat():
            assert row.interest_accrued_minor == bare.interest_accrued_minor


def test_what_is_disputed_later_was_asked_for_until_then() -> None:
    """Billed on 15 February with a minimum of 35.00, disputed on 5 March."""
    life, charged = DisputingLife(NO_GRACE), date(2027, 2, 1)
    for number in range((date(2027, 3, 8) - OPENED).days):
        day = OPENED + timedelta(days=number)
        if day == charged:
            life.happens(day, "purchase", 100_000, 0)
        life.looked_at(at_ms(day, 11))
        if day == date(2027, 3, 5):
            life.dispute(day, life.charges[0])
    asked = [row_of(life, date(2027, 3, day)) for day in (4, 5)]
    # Of the statement nothing but the interest of 15 days is left undisputed.
    assert [one.minimum_due_minor for one in asked if one] == [3_500, 750]
