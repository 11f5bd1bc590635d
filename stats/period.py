"""Days, weeks and months. No I/O, no clock, no grpc."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from runtime.record import record

#: `date.weekday()` of the first day of a week.
MONDAY, SATURDAY, SUNDAY = 0, 5, 6

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
#: The last timezone to see a day end is 12 hours behind UTC.
_LAST_ZONE_MS = 12 * 3_600_000


class PeriodType(StrEnum):
    """Length of a period."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@record
class Period:
    """Some days, from the first to the last."""

    type: PeriodType
    start: date
    end: date

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end

    @property
    def label(self) -> str:
        """What people call it: `2026-11-21`, `2026-W47`, `2026-11`; weeks that do not begin on
        Monday have no number.
        """
        if self.type is PeriodType.MONTH:
            return f"{self.start:%Y-%m}"
        if self.type is PeriodType.WEEK and self.start.weekday() == MONDAY:
            year, week, _ = self.start.isocalendar()
            return f"{year}-W{week:02}"
        return self.start.isoformat()


def period_of(kind: PeriodType, day: date, *, week_start: int = MONDAY) -> Period:
    """The period that a day is in."""
    if kind is PeriodType.DAY:
        return Period(type=kind, start=day, end=day)
    if kind is PeriodType.WEEK:
        start = day - timedelta(days=(day.weekday() - week_start) % 7)
        return Period(type=kind, start=start, end=start + _WEEK - _DAY)
    days = monthrange(day.year, day.month)[1]
    return Period(type=kind, start=day.replace(day=1), end=day.replace(day=days))


def after(period: Period) -> Period:
    """The next one."""
    return period_of(period.type, period.end + _DAY, week_start=period.start.weekday())


def before(period: Period) -> Period:
    """The one before."""
    week_start = period.start.weekday()
    return period_of(period.type, period.start - _DAY, week_start=week_start)


def periods(
    kind: PeriodType, first: date, last: date, *, week_start: int = MONDAY, limit: int
) -> list[Period]:
    """Those from the one that has the first day to the one that has the last; at most `limit`."""
    found, period = list[Period](), period_of(kind, first, week_start=week_start)
    while period.start <= last and len(found) < limit:
        found.append(period)
        period = after(period)
    return found


def day_of(instant_ms: int, zone: ZoneInfo) -> date:
    """The day that an instant is in."""
    return datetime.fromtimestamp(instant_ms / 1000, UTC).astimezone(zone).date()


def over_everywhere_ms(day: date) -> int:
    """When a day has ended in every timezone."""
    midnight = datetime.combine(day + _DAY, time(), UTC)
    return int(midnight.timestamp()) * 1000 + _LAST_ZONE_MS
