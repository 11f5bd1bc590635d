"""Billing cycles: when they close and when payment is due. No I/O, no clock, no grpc.

Days are those of the account's timezone. A cycle closes on the same day of each month, on the last
one where a month is too short. Payment is due on the same day of each month, whatever its length
(12 CFR 1026.7(b)(11)), at least 21 days after the day on which the statement is issued.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from accounts.billing.terms import DUE_AFTER_DAYS

CLOSING_DAYS = range(1, 32)
#: Days from closing to the due date, in the shortest month. Statements are issued on the day after
#: closing at the earliest.
DUE_DAYS = range(DUE_AFTER_DAYS + 1, 29)
_SHORTEST_MONTH = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One billing cycle: `start` to `end`, both included."""

    start: date
    end: date
    due: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days + 1

    def dates(self) -> list[date]:
        """Each of its days."""
        return [self.start + timedelta(days=number) for number in range(self.days)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When an account's cycles close and payments are due."""

    closing_day: int
    #: Never fewer days from closing to the due date.
    due_days: int = 25

    def __post_init__(self) -> None:
        assert self.closing_day in CLOSING_DAYS, "checked with the product's terms"
        assert self.due_days in DUE_DAYS, "checked with the product's terms"

    @property
    def due_day(self) -> int:
        """The day of the month on which payments are due, 1 to 28."""
        day = min(self.closing_day, _SHORTEST_MONTH) + self.due_days
        return day - _SHORTEST_MONTH if day > _SHORTEST_MONTH else day


def closing_date(year: int, month: int, closing_day: int) -> date:
    """The day on which that month's cycle closes."""
    return date(year, month, min(closing_day, calendar.monthrange(year, month)[1]))


def first_cycle(opened_on: date, rhythm: Rhythm) -> Cycle:
    """From the opening to the first closing day after it."""
    end = closing_date(opened_on.year, opened_on.month, rhythm.closing_day)
    if end <= opened_on:
        end = _closing_after(end, rhythm)
    return Cycle(start=opened_on, end=end, due=due_date(end, rhythm))


def next_cycle(before: Cycle, rhythm: Rhythm) -> Cycle:
    """The cycle after one that has closed; it ends in the next month, or in the one after if the
    closing day was moved to before the due date: who pays by then must be in time.
    """
    end = _closing_after(before.end, rhythm)
    while end < before.due:
        end = _closing_after(end, rhythm)
    return Cycle(start=before.end + timedelta(days=1), end=end, due=due_date(end, rhythm))


def due_date(closed_on: date, rhythm: Rhythm) -> date:
    """When a statement's payment is due: the first due day that leaves time enough."""
    year, month = closed_on.year, closed_on.month
    while (found := date(year, month, rhythm.due_day)) < closed_on + timedelta(
        days=rhythm.due_days
    ):
        year, month = _month_after(year, month)
    return found


def day_of(instant_ms: int, timezone: ZoneInfo) -> date:
    """The day on which something happened, for the account."""
    return datetime.fromtimestamp(instant_ms / 1000, UTC).astimezone(timezone).date()


def ends_ms(day: date, timezone: ZoneInfo) -> int:
    """The first millisecond after a day of the account: 23, 24 or 25 hours after it began."""
    after = day + timedelta(days=1)
    return int(datetime(after.year, after.month, after.day, tzinfo=timezone).timestamp() * 1000)


def months_after(day: date, months: int) -> date:
    """The same day of a later month, the last one where that month is shorter."""
    years, month = divmod(day.month - 1 + months, 12)
    return closing_date(day.year + years, month + 1, day.day)


def _closing_after(closed_on: date, rhythm: Rhythm) -> date:
    year, month = _month_after(closed_on.year, closed_on.month)
    return closing_date(year, month, rhythm.closing_day)


def _month_after(year: int, month: int) -> tuple[int, int]:
    return (year + month // 12, month % 12 + 1)
