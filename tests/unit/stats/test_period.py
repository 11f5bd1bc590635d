"""Days, weeks and months, where calendars are odd."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.period import (
    MONDAY,
    SATURDAY,
    SUNDAY,
    PeriodType,
    after,
    before,
    day_of,
    over_everywhere_ms,
    period_of,
    periods,
)

DAY, WEEK, MONTH = PeriodType.DAY, PeriodType.WEEK, PeriodType.MONTH
DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31))
ZONES = ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati")


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("kind", "of", "week_start", "start", "end", "label"),
    [
        (DAY, "2026-11-21", MONDAY, "2026-11-21", "2026-11-21", "2026-11-21"),
        (WEEK, "2026-11-21", MONDAY, "2026-11-16", "2026-11-22", "2026-W47"),
        (WEEK, "2026-11-22", MONDAY, "2026-11-16", "2026-11-22", "2026-W47"),
        (WEEK, "2026-11-22", SUNDAY, "2026-11-22", "2026-11-28", "2026-11-22"),
        (WEEK, "2026-11-20", SATURDAY, "2026-11-14", "2026-11-20", "2026-11-14"),
        # A year with 53 weeks; its last one lies in two years.
        (WEEK, "2026-12-31", MONDAY, "2026-12-28", "2027-01-03", "2026-W53"),
        (WEEK, "2027-01-03", MONDAY, "2026-12-28", "2027-01-03", "2026-W53"),
        (WEEK, "2027-01-04", MONDAY, "2027-01-04", "2027-01-10", "2027-W01"),
        # The first days of a year may be in the last week of the one before, and the other way.
        (WEEK, "2023-01-01", MONDAY, "2022-12-26", "2023-01-01", "2022-W52"),
        (WEEK, "2024-12-30", MONDAY, "2024-12-30", "2025-01-05", "2025-W01"),
        (MONTH, "2024-02-29", MONDAY, "2024-02-01", "2024-02-29", "2024-02"),
        (MONTH, "2023-02-01", MONDAY, "2023-02-01", "2023-02-28", "2023-02"),
        (MONTH, "2026-12-31", MONDAY, "2026-12-01", "2026-12-31", "2026-12"),
    ],
)
def test_the_period_of_a_day(
    *, kind: PeriodType, of: str, week_start: int, start: str, end: str, label: str
) -> None:
    found = period_of(kind, day(of), week_start=week_start)
    assert (found.start, found.end, found.label) == (day(start), day(end), label)


@given(
    day=DAYS,
    kind=st.sampled_from(PeriodType),
    week_start=st.sampled_from([MONDAY, SATURDAY, SUNDAY]),
)
def test_periods_leave_no_day_out_and_take_none_twice(
    day: date, kind: PeriodType, week_start: int
) -> None:
    found = period_of(kind, day, week_start=week_start)
    assert day in found
    assert after(found).start == found.end + timedelta(days=1)
    assert before(found).end == found.start - timedelta(days=1)
    assert after(before(found)) == found
    assert all(
        period_of(kind, found.start + timedelta(days=number), week_start=week_start) == found
        for number in range((found.end - found.start).days + 1)
    )


@given(first=DAYS, days=st.integers(0, 200), kind=st.sampled_from(PeriodType))
def test_a_range_is_whole(first: date, days: int, kind: PeriodType) -> None:
    last = first + timedelta(days=days)
    found = periods(kind, first, last, limit=1_000)
    assert first in found[0]
    assert last in found[-1]
    assert all(after(one) == two for one, two in pairwise(found))


def test_a_range_has_a_bound() -> None:
    assert len(periods(DAY, date(2000, 1, 1), date(2099, 1, 1), limit=7)) == 7
    assert periods(DAY, date(2026, 1, 2), date(2026, 1, 1), limit=7) == []


@pytest.mark.parametrize(
    ("zone", "of", "hours"),
    [
        ("Europe/London", "2026-03-29", 23),
        ("Europe/London", "2026-10-25", 25),
        ("Europe/London", "2026-06-01", 24),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        # Clocks there are turned by half an hour, and at midnight.
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("America/Havana", "2026-03-08", 23),
        ("Asia/Kolkata", "2026-03-29", 24),
    ],
)
def test_a_day_has_as_many_hours_as_its_timezone_says(zone: str, of: str, hours: float) -> None:
    minute_ms = 60_000
    noon = datetime.fromisoformat(f"{of}T12:00:00").replace(tzinfo=UTC)
    from_ms = int(noon.timestamp() * 1000) - 36 * 60 * minute_ms
    instants = range(from_ms, from_ms + 72 * 60 * minute_ms, minute_ms)
    inside = [one for one in instants if day_of(one, ZoneInfo(zone)) == day(of)]
    assert len(inside) == hours * 60
    # One after the other: none of another day is among them.
    assert inside[-1] - inside[0] == (len(inside) - 1) * minute_ms


@given(day=DAYS, zone=st.sampled_from([*ZONES, "Etc/GMT+12", "Etc/GMT-14"]))
def test_a_day_is_over_everywhere(day: date, zone: str) -> None:
    end_ms = over_everywhere_ms(day)
    assert day_of(end_ms, ZoneInfo(zone)) > day
    assert day_of(end_ms - 1, ZoneInfo("Etc/GMT+12")) == day
