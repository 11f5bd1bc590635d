"""Days of accounts: month ends, leap days, clocks that are turned."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import calendar
from payments.payment import Interval

NEW_YORK = "America/New_York"
#: Clocks are turned at midnight, by half an hour, twice around Ramadan, or never.
ZONES = (
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/New_York",
    "America/Santiago",
    "Asia/Beirut",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Europe/London",
    "Pacific/Apia",
    "UTC",
)
DAYS = st.dates(date(2020, 1, 1), date(2040, 12, 31))
REPEATING = st.sampled_from([Interval.WEEKLY, Interval.BIWEEKLY, Interval.MONTHLY])


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("day", "instant"),
    [
        # Clocks go forward on 14 March 2027 and back on 7 November.
        (date(2027, 3, 13), "2027-03-13T11:00"),
        (date(2027, 3, 14), "2027-03-14T10:00"),
        (date(2027, 11, 6), "2027-11-06T10:00"),
        (date(2027, 11, 7), "2027-11-07T11:00"),
        (date(2028, 2, 29), "2028-02-29T11:00"),
    ],
)
def test_what_is_due_on_a_day_is_due_at_six_in_the_morning(day: date, instant: str) -> None:
    assert calendar.due_ms(day, NEW_YORK) == ms(instant)


@pytest.mark.parametrize("zone", ZONES)
def test_six_in_the_morning_is_there_on_every_day_and_once(zone: str) -> None:
    """Goal: clocks that are turned neither skip nor repeat the hour."""
    for number in range(4 * 366):
        day = date.fromordinal(date(2026, 1, 1).toordinal() + number)
        instant_ms = calendar.due_ms(day, zone)
        assert calendar.day_of(instant_ms, zone) == day
        local = datetime.fromtimestamp(instant_ms / 1000, ZoneInfo(zone))
        assert (local.hour, local.minute) == (calendar.DUE_HOUR, 0)


@pytest.mark.parametrize(
    ("received", "days", "released"),
    [
        ("2027-01-10T15:00", 0, "2027-01-10T15:00"),
        ("2027-01-10T15:00", 2, "2027-01-12T11:00"),
        # It is still the 9th in New York.
        ("2027-01-10T03:00", 1, "2027-01-10T11:00"),
        # Over the day that has 23 hours, and the one that has 25.
        ("2027-03-13T15:00", 1, "2027-03-14T10:00"),
        ("2027-11-06T15:00", 1, "2027-11-07T11:00"),
        ("2028-02-28T15:00", 1, "2028-02-29T11:00"),
        ("2027-12-31T15:00", 30, "2028-01-30T11:00"),
    ],
)
def test_release(received: str, days: int, released: str) -> None:
    assert calendar.release_ms(ms(received), days, NEW_YORK) == ms(released)


def test_the_31st_stays_the_31st() -> None:
    """Goal: a short month does not move the months after it."""
    first = date(2027, 10, 31)
    found = [calendar.occurrence(first, Interval.MONTHLY, number) for number in range(7)]
    assert [str(one) for one in found] == [
        "2027-10-31",
        "2027-11-30",
        "2027-12-31",
        "2028-01-31",
        "2028-02-29",
        "2028-03-31",
        "2028-04-30",
    ]


@given(first=DAYS, interval=REPEATING, after=DAYS)
def test_the_next_date_is_the_first_one_after(first: date, interval: Interval, after: date) -> None:
    """Goal: none is skipped, none comes again, however late somebody looks."""
    found = calendar.next_date(first, interval, after=after)
    assert found is not None
    dates = [first]
    while dates[-1] <= after:
        dates.append(calendar.occurrence(first, interval, len(dates)))
    assert found == next(one for one in dates if one > after)


def test_a_series_ends() -> None:
    first, end = date(2027, 1, 15), date(2027, 2, 15)
    next_date = calendar.next_date
    assert next_date(first, Interval.MONTHLY, after=first, end=end) == end
    assert next_date(first, Interval.MONTHLY, after=end, end=end) is None
    assert next_date(first, Interval.WEEKLY, after=date(2027, 2, 12), end=end) is None
