"""The arithmetic of windows: which slots of time a limit counts in now. Pure: `now_ms` is given.

A limit's use is kept per slot, a number that grows with time. A calendar window is one slot, named
by the second in which its period begins in the control's timezone. A rolling window is at most 60
slots, the oldest counted whole: it may refuse early and never overspends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from runtime.record import record

MINUTE_MS = 60_000
DAY_MS = 86_400_000
#: Slots of a rolling window at most, the running and the oldest included.
SLOTS_MAX = 60
#: Shortest and longest rolling window.
ROLLING_MS_MIN = MINUTE_MS
ROLLING_MS_MAX = 366 * DAY_MS
#: Workers' clocks may differ by less than this: a slot that has just ended is kept as long.
MARGIN_MS = 10 * MINUTE_MS


class Unit(IntEnum):
    """Numbers of the contract's `CalendarWindow.Unit`."""

    DAY = 1
    WEEK = 2
    MONTH = 3
    YEAR = 4
    LIFETIME = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Begins anew at midnight of a day, week, month or year of a timezone; or never."""

    unit: Unit
    timezone: str = "UTC"
    #: ISO weekday, 1 is Monday.
    week_start: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """Looks back from each moment."""

    duration_ms: int

    @property
    def slot_ms(self) -> int:
        """Length of a slot: the shortest with which all of them are at most SLOTS_MAX."""
        return -(-self.duration_ms // (SLOTS_MAX - 1))


Window: TypeAlias = Calendar | Rolling


@record
class Slots:
    """What counts at one moment: every slot from `oldest` on; new use goes to `current`."""

    oldest: int
    current: int
    #: Slots below this number can no longer matter to anybody.
    keep: int
    #: When what is counted began.
    start_ms: int
    #: When everything counted now will have stopped to count; 0: never.
    end_ms: int


class Used(NamedTuple):
    """What was counted in one slot."""

    amount_minor: int
    purchases: int


def slots_of(window: Window, *, now_ms: int) -> Slots:
    """The slots of a window at a moment."""
    if isinstance(window, Rolling):
        return _rolling(window, now_ms)
    if window.unit is Unit.LIFETIME:
        return Slots(oldest=0, current=0, keep=0, start_ms=0, end_ms=0)
    start_ms, end_ms = _period(window, now_ms)
    keep_ms, _ = _period(window, start_ms - MARGIN_MS)
    current = start_ms // 1000
    return Slots(
        oldest=current, current=current, keep=keep_ms // 1000, start_ms=start_ms, end_ms=end_ms
    )


def freed_at_ms(window: Window, slot: int) -> int:
    """When what was counted in a slot stops to count; 0: never."""
    if isinstance(window, Rolling):
        return (slot + 1) * window.slot_ms + window.duration_ms
    return slots_of(window, now_ms=slot * 1000).end_ms


def lifetime_ms(slots: Slots, *, now_ms: int) -> int:
    """How long from now what is counted must be kept; 0: for ever."""
    return slots.end_ms - now_ms + MARGIN_MS if slots.end_ms else 0


def _rolling(window: Rolling, now_ms: int) -> Slots:
    slot_ms, since_ms = window.slot_ms, now_ms - window.duration_ms
    oldest, current = since_ms // slot_ms, now_ms // slot_ms
    return Slots(
        oldest=oldest,
        current=current,
        keep=(since_ms - MARGIN_MS) // slot_ms,
        start_ms=oldest * slot_ms,
        end_ms=(current + 1) * slot_ms + window.duration_ms,
    )


def _period(window: Calendar, now_ms: int) -> tuple[int, int]:
    """First moment of the period, and of the next one."""
    zone = ZoneInfo(window.timezone)
    first = _first_day(window, datetime.fromtimestamp(now_ms / 1000, zone).date())
    return _midnight_ms(first, zone), _midnight_ms(_next(window.unit, first), zone)


def _first_day(window: Calendar, day: date) -> date:
    match window.unit:
        case Unit.WEEK:
            return day - timedelta(days=(day.isoweekday() - window.week_start) % 7)
        case Unit.MONTH:
            return day.replace(day=1)
        case Unit.YEAR:
            return day.replace(month=1, day=1)
    return day


def _next(unit: Unit, first: date) -> date:
    match unit:
        case Unit.WEEK:
            return first + timedelta(days=7)
        case Unit.MONTH:
            return (first.replace(day=28) + timedelta(days=4)).replace(day=1)
        case Unit.YEAR:
            return first.replace(year=first.year + 1)
    return first + timedelta(days=1)


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    """The day's first moment. Where clocks skip midnight, that is the moment they jump."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(local.astimezone(UTC).timestamp()) * 1000
