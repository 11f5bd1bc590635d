"""Days of accounts: when a payment begins, is released, and comes again. No I/O, no clock, no grpc.

Days are those of the account's timezone. What is due on a day is due at six in the morning: no
timezone turns its clocks then, so that the hour is there on every day, and once.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from payments.payment import Interval

DUE_HOUR = 6
_DAYS = {Interval.WEEKLY: 7, Interval.BIWEEKLY: 14}
_MONTHS_PER_YEAR = 12


def day_of(instant_ms: int, time_zone: str) -> date:
    """The day on which something happens, for the account."""
    instant = datetime.fromtimestamp(instant_ms / 1000, UTC)
    return instant.astimezone(ZoneInfo(time_zone)).date()


def due_ms(day: date, time_zone: str) -> int:
    """When what is due on a day begins."""
    morning = datetime(day.year, day.month, day.day, DUE_HOUR, tzinfo=ZoneInfo(time_zone))
    return int(morning.timestamp() * 1000)


def release_ms(receive_ms: int, hold_days: int, time_zone: str) -> int:
    """When a payment is released: at once, or in the morning after so many days."""
    if hold_days == 0:
        return receive_ms
    return due_ms(day_of(receive_ms, time_zone) + timedelta(days=hold_days), time_zone)


def occurrence(first: date, interval: Interval, number: int) -> date:
    """A date of a series, counted from its first, which is number 0. The 31st stays the 31st: a
    short month does not move the months after it.
    """
    if interval in _DAYS:
        return first + timedelta(days=_DAYS[interval] * number)
    assert interval is Interval.MONTHLY, "a payment that comes once has no series"
    years, month = divmod(first.month - 1 + number, _MONTHS_PER_YEAR)
    year = first.year + years
    return date(year, month + 1, min(first.day, calendar.monthrange(year, month + 1)[1]))


def next_date(
    first: date, interval: Interval, *, after: date, end: date | None = None
) -> date | None:
    """The first date of a series after a day; None if it has ended."""
    if interval in _DAYS:
        number = max((after - first).days // _DAYS[interval], 0)
    else:
        number = max(_MONTHS_PER_YEAR * (after.year - first.year) + after.month - first.month, 0)
    found = occurrence(first, interval, number)
    while found <= after:
        number += 1
        found = occurrence(first, interval, number)
    return None if end is not None and found > end else found
