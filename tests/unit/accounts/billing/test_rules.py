"""Fees, minimum payments, the warning, lateness, and days."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.billing import fees
from accounts.billing.balances import Balances
from accounts.billing.calendar import day_of, ends_ms
from accounts.billing.delinquency import (
    Bucket,
    Demand,
    blocks_spending,
    bucket_of,
    settle,
    standing,
)
from accounts.billing.minimum import level_payment, minimum_payment, past_due, payoff_warning
from accounts.billing.terms import (
    Category,
    Fees,
    MinimumRule,
)

FEES = Fees(
    late_minor=3_000,
    late_again_minor=4_100,
    returned_minor=3_000,
    returned_again_minor=4_100,
    cash_floor_minor=1_000,
    cash_share_bp=500,
    foreign_share_bp=300,
    annual_minor=9_500,
)
RULE = MinimumRule(floor_minor=3_500, share_bp=100)


@pytest.mark.parametrize(
    ("minimum", "paid", "last", "fee"),
    [
        (5_000, 0, None, 3_000),
        (5_000, 4_999, None, 3_000),
        (5_000, 5_000, None, 0),
        (0, 0, None, 0),
        (5_000, 0, 6, 4_100),
        (5_000, 0, 7, 3_000),
        (2_000, 0, 1, 2_000),
    ],
)
def test_late_fees(minimum: int, paid: int, last: int | None, fee: int) -> None:
    """Two tiers; never more than the minimum; none for who paid it."""
    found = fees.late_fee(
        FEES, minimum_minor=minimum, paid_by_due_minor=paid, cycles_since_last=last
    )
    assert found == fee


def test_one_event_has_one_penalty() -> None:
    """A returned payment that was late, too, costs what is dearer of both."""
    returned = fees.returned_fee(FEES, minimum_minor=5_000, cycles_since_last=2)
    assert fees.heavier(3_000, returned) == (3_000, 1_100)
    assert fees.heavier(4_100, 3_000) == (4_100, 0)
    assert fees.returned_fee(FEES, minimum_minor=500, cycles_since_last=None) == 500


@pytest.mark.parametrize(
    ("amount", "fee"), [(0, 0), (1, 1_000), (20_000, 1_000), (20_030, 1_002), (100_000, 5_000)]
)
def test_cash_fees(amount: int, fee: int) -> None:
    """5 %, at least 10.00, rounded half to even (1,001.5 is 1,002)."""
    assert fees.cash_fee(FEES, amount) == fee


def test_annual_fees_fall_due_in_the_cycle_of_their_day() -> None:
    """The opening and its anniversaries, each once; 29 February clamps."""
    opened = date(2024, 2, 29)

    def due(start: date, end: date) -> bool:
        return fees.annual_fee_due(opened, start=start, end=end)

    assert due(opened, date(2024, 3, 15))
    assert not due(date(2024, 3, 16), date(2024, 4, 15))
    assert due(date(2025, 2, 16), date(2025, 3, 15))
    assert not due(date(2025, 3, 16), date(2025, 4, 15))
    assert not due(date(2024, 12, 16), date(2025, 1, 15))
    late = date(2023, 12, 31)
    assert fees.annual_fee_due(late, start=date(2025, 12, 16), end=date(2026, 1, 15))


@given(
    balance=st.integers(-10_000, 10_000_000),
    fee=st.integers(0, 10_000),
    interest=st.integers(0, 100_000),
    due=st.integers(0, 100_000),
)
def test_a_minimum_is_never_more_than_the_balance(
    balance: int, fee: int, interest: int, due: int
) -> None:
    """And asks for all that is past due, if there is as much."""
    found = minimum_payment(
        balance, RULE, fees_minor=fee, interest_minor=interest, past_due_minor=due
    )
    assert 0 <= found <= max(balance, 0)
    assert found == max(balance, 0) or found >= due + max(3_500, fee + interest)


def test_what_is_left_of_a_minimum_is_past_due() -> None:
    """Never less than nothing."""
    assert (past_due(3_500, 1_000), past_due(3_500, 9_000)) == (2_500, 0)


def test_the_warning_says_what_minimum_payments_cost() -> None:
    """1,000.00 at 12 %: 35.00 a month pay 1 % each month and more: 34 months, so no example. At 0 %
    and a floor of 5.00 it takes 200 months, and 36 payments of 27.78 are the example.
    """
    quick = payoff_warning({Category.PURCHASE: 100_000}, RULE, rates=[{Category.PURCHASE: 1_200}])
    assert quick is not None
    assert quick.minimum_months == 34
    assert quick.example_payment_minor == 0
    low = MinimumRule(floor_minor=500, share_bp=0)
    slow = payoff_warning({Category.PURCHASE: 100_000}, low, rates=[{Category.PURCHASE: 0}])
    assert slow is not None
    assert (slow.minimum_months, slow.minimum_total_minor) == (200, 100_000)
    assert slow.example_payment_minor == 2_778
    assert payoff_warning({Category.PURCHASE: 0}, RULE, rates=[{Category.PURCHASE: 1_200}]) is None


@given(
    balance=st.integers(1, 10_000_000),
    apr_bp=st.integers(0, 3_600),
    months=st.integers(1, 60),
)
def test_a_level_payment_pays_off(balance: int, apr_bp: int, months: int) -> None:
    """In just that many months, and one unit less does not."""
    monthly = Fraction(apr_bp, 120_000)
    payment = level_payment(balance, monthly, months)
    for amount, paid_off in ((payment, True), (payment - 1, False)):
        left = Fraction(balance)
        for _ in range(months):
            left = left * (1 + monthly) - amount
        assert (left <= 0) is paid_off


@pytest.mark.parametrize(
    ("days", "bucket"),
    [
        (0, Bucket.CURRENT),
        (1, Bucket.DAYS_1_29),
        (29, Bucket.DAYS_1_29),
        (30, Bucket.DAYS_30),
        (60, Bucket.DAYS_60),
        (90, Bucket.DAYS_90),
        (149, Bucket.DAYS_120),
        (150, Bucket.DAYS_150),
        (179, Bucket.DAYS_150),
        (180, Bucket.CHARGED_OFF),
    ],
)
def test_buckets(days: int, bucket: Bucket) -> None:
    """Each begins on its day."""
    assert bucket_of(days) is bucket


def test_an_account_is_as_late_as_its_oldest_unpaid_demand() -> None:
    """Payments pay the oldest first; the due date itself is in time."""
    demands = (
        Demand(due=date(2026, 3, 12), amount_minor=3_500),
        Demand(due=date(2026, 2, 12), amount_minor=3_500),
    )
    left, _ = settle(demands, (), paid_minor=2_000)
    found = standing(left, today=date(2026, 3, 13))
    assert (found.oldest_due, found.days_past_due) == (date(2026, 2, 12), 29)
    assert found.past_due_minor == 1_500 + 3_500
    left, _ = settle(demands, (), paid_minor=3_500)
    cured = standing(left, today=date(2026, 3, 12))
    assert (cured.days_past_due, cured.bucket) == (0, Bucket.CURRENT)


def test_spending_is_blocked_from_a_bucket_on() -> None:
    """Never of a current account."""
    assert blocks_spending(Bucket.DAYS_60, blocked_from=Bucket.DAYS_30)
    assert not blocks_spending(Bucket.DAYS_1_29, blocked_from=Bucket.DAYS_30)
    assert not blocks_spending(Bucket.CURRENT, blocked_from=Bucket.CURRENT)


@given(
    debits=st.lists(st.tuples(st.sampled_from(list(Category)), st.integers(1, 100_000))),
    paid=st.integers(0, 500_000),
    minimum=st.integers(0, 100_000),
)
def test_a_payment_uses_every_cent(
    debits: list[tuple[Category, int]], paid: int, minimum: int
) -> None:
    """What is owed falls by what was paid, or becomes the issuer's debt."""
    balances = Balances()
    for category, amount in debits:
        balances = balances.debited(category, amount)
    after = balances.paid(paid, minimum_left_minor=minimum, rate=lambda one: len(one.value))
    assert after.total == balances.total - paid
    assert after.surplus == max(paid - balances.total, 0)


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 7, 1), 24)]
)
def test_days_have_23_to_25_hours(day: date, hours: int) -> None:
    """Where clocks change, a day of the account ends with its own midnight."""
    berlin = ZoneInfo("Europe/Berlin")
    length = ends_ms(day, berlin) - ends_ms(day - timedelta(days=1), berlin)
    assert length == hours * 3_600_000
    assert day_of(ends_ms(day, berlin) - 1, berlin) == day
    assert day_of(ends_ms(day, berlin), berlin) == day + timedelta(days=1)
