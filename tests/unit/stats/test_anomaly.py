"""What is unusual about a day: one row for each side of each rule."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.events.catalogue import fault_of
from stats.anomaly import (
    DAYS_MIN,
    AccountDay,
    Finding,
    Habit,
    Kind,
    findings,
    first_day,
    habit_of,
    may_be_unusual,
)
from stats.happenings import event_of

TODAY = date(2026, 3, 2)
ACCOUNT, ANOMALY = "acct_0a" + "4" * 32, "anom_0a" + "1" * 32


def a_day(
    spent_minor: int = 0, *, approved: int = 1, declined: int = 0, ago: int = 0
) -> AccountDay:
    return AccountDay(
        day=TODAY - timedelta(days=ago),
        spent_minor=spent_minor,
        approved_count=approved,
        declined_count=declined,
    )


def habit(*amounts: int, declined: int = 0) -> Habit:
    days = [a_day(amount, ago=number + 1) for number, amount in enumerate(amounts)]
    return habit_of([*days, a_day(approved=0, declined=declined, ago=1)])


#: 45 days, alternately 60.00 and 100.00.
STEADY = habit(*(6_000 if number % 2 else 10_000 for number in range(45)))


def test_the_sentence_says_what_it_follows_from() -> None:
    (found,) = findings(STEADY, a_day(124_000), currency="USD")
    assert found == Finding(
        kind=Kind.SPEND,
        day=TODAY,
        currency="USD",
        explanation=(
            "spent 1,240.00 USD on 2026-03-02: 57.3 deviations above the mean 80.44 USD of 45 days"
            " with purchases, of which the largest was 100.00 USD"
        ),
        history_days=45,
        spent_minor=124_000,
        usual_minor=8_044,
        # A quarter of the mean is more than the deviation of 20.22.
        deviation_minor=2_022,
    )


@pytest.mark.parametrize(
    ("before", "spent_minor", "is_unusual"),
    [
        pytest.param([10_000] * DAYS_MIN, 50_000, True, id="the same every day, then five times"),
        pytest.param([10_000] * DAYS_MIN, 30_000, False, id="8 quarters of the mean above it"),
        pytest.param([10_000] * DAYS_MIN, 30_001, True, id="a cent more"),
        pytest.param([10_000] * (DAYS_MIN - 1), 50_000, False, id="too few days"),
        pytest.param([10_000] * 19 + [0] * 30, 50_000, False, id="days of nothing do not count"),
        pytest.param([1_000] * 40 + [5_000], 9_999, False, id="less than twice the largest"),
        pytest.param([1_000] * 40 + [5_000], 10_000, True, id="twice the largest"),
        pytest.param([100] * 40, 4_999, False, id="small change"),
        pytest.param([100] * 40, 5_000, True, id="no small change"),
        pytest.param([1, 900_000] * 20, 1_900_000, False, id="who varies much"),
        pytest.param([10_000] * 40, -50_000, False, id="more was given back"),
    ],
)
def test_spend(before: list[int], spent_minor: int, *, is_unusual: bool) -> None:
    found = findings(habit(*before), a_day(spent_minor), currency="USD")
    assert [one.kind for one in found] == [Kind.SPEND] * is_unusual


@pytest.mark.parametrize(
    ("declined_before", "approved", "declined", "is_unusual"),
    [
        pytest.param(0, 0, 5, True, id="never before, now five"),
        pytest.param(0, 0, 4, False, id="four"),
        pytest.param(0, 5, 5, True, id="half of them"),
        pytest.param(0, 6, 5, False, id="less than half"),
        pytest.param(40, 2, 6, False, id="who is declined often"),
        pytest.param(40, 0, 60, True, id="and now all the time"),
    ],
)
def test_declines(declined_before: int, approved: int, declined: int, *, is_unusual: bool) -> None:
    before = habit(*([10_000] * 40), declined=declined_before)
    today = a_day(1_000, approved=approved, declined=declined)
    found = findings(before, today, currency="USD")
    assert [one.kind for one in found] == [Kind.DECLINES] * is_unusual


def test_declines_are_explained() -> None:
    before = habit(*([10_000] * 49), declined=1)
    (found,) = findings(before, a_day(0, approved=2, declined=7), currency="USD")
    assert found.explanation == (
        "7 of 9 purchases declined on 2026-03-02: before, 1 of 50 on 49 days with purchases"
    )
    assert (found.declined_count, found.decided_count) == (7, 9)
    assert found.usual_decline_basis_points == 200


@pytest.mark.parametrize(
    ("attempts", "country"),
    [
        ({}, ""),
        ({"FRA": 2}, ""),
        ({"FRA": 3}, "FRA"),
        ({"FRA": 1, "ESP": 2}, "ESP"),
        ({"FRA": 2, "ESP": 2}, "ESP"),
    ],
)
def test_countries(attempts: dict[str, int], country: str) -> None:
    found = findings(STEADY, a_day(1_000), currency="USD", new_countries=attempts)
    assert [one.country_code for one in found] == ([country] if country else [])
    assert not findings(Habit(), a_day(1_000), currency="USD", new_countries=attempts)


@given(
    before=st.lists(st.integers(-(10**6), 10**9), max_size=60),
    today=st.integers(-(10**6), 10**12),
    declined=st.integers(0, 200),
    approved=st.integers(0, 200),
)
def test_a_usual_day_is_never_looked_at_closely(
    before: list[int], today: int, declined: int, approved: int
) -> None:
    """Goal: what is passed over at once has nothing unusual; more spend is never less unusual."""
    known = habit(*before)
    day = a_day(today, approved=approved, declined=declined)
    found = findings(known, day, currency="USD")
    if not may_be_unusual(day, "USD"):
        assert not found
    kinds = {one.kind for one in found}
    more = findings(known, a_day(today + 1, approved=approved, declined=declined), currency="USD")
    assert kinds <= {one.kind for one in more}


@pytest.mark.parametrize(
    ("spent_minor", "declined", "countries"),
    [(500_000, 0, {}), (0, 9, {}), (0, 0, {"FRA": 3}), (0, 0, {"§": 3})],
)
def test_what_is_told_is_in_the_catalogue(
    spent_minor: int, declined: int, countries: dict[str, int]
) -> None:
    today = a_day(spent_minor, declined=declined)
    (found,) = findings(STEADY, today, currency="USD", new_countries=countries)
    told = event_of(ANOMALY, ACCOUNT, found, today=TODAY, now_ms=1)
    assert told is not None
    assert told.type == f"account.{found.kind.lower()}_unusual"
    assert not fault_of(told)


@pytest.mark.parametrize(("ago", "is_told"), [(-1, True), (0, True), (2, True), (3, False)])
def test_what_was_long_ago_is_told_nobody(ago: int, *, is_told: bool) -> None:
    (found,) = findings(STEADY, a_day(500_000), currency="USD")
    today = TODAY + timedelta(days=ago)
    told = event_of(ANOMALY, ACCOUNT, found, today=today, now_ms=1)
    assert (told is not None) == is_told
    assert first_day(TODAY) == date(2025, 9, 3)
