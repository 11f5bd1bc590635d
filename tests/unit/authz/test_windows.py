"""The arithmetic of windows: tables of days that are not like others, and what always holds."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.windows import (
    DAY_MS,
    MARGIN_MS,
    ROLLING_MS_MAX,
    ROLLING_MS_MIN,
    SLOTS_MAX,
    Calendar,
    Rolling,
    Slots,
    Unit,
    Window,
    freed_at_ms,
    lifetime_ms,
    slots_of,
)

HOUR_MS = 3_600_000
#: Since 2011 no zone's clocks fall back over midnight into the day before.
MOMENTS = st.integers(1_330_000_000_000, 4_000_000_000_000)
ZONES = ("UTC", "Europe/Madrid", "America/New_York", "Asia/Kolkata", "America/Sao_Paulo")
CALENDARS = st.builds(
    Calendar,
    unit=st.sampled_from([unit for unit in Unit if unit is not Unit.LIFETIME]),
    timezone=st.sampled_from(ZONES),
    week_start=st.integers(1, 7),
)
ROLLINGS = st.builds(Rolling, duration_ms=st.integers(ROLLING_MS_MIN, ROLLING_MS_MAX))


def ms(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


@pytest.mark.parametrize(
    ("unit", "zone", "now", "start", "end"),
    [
        (Unit.DAY, "UTC", "2026-05-04T23:59:59", "2026-05-04", "2026-05-05"),
        # Clocks jump: days of 23 and of 25 hours.
        (Unit.DAY, "Europe/Madrid", "2026-03-29T12:00", "2026-03-29", "2026-03-30"),
        (Unit.DAY, "Europe/Madrid", "2026-10-25T12:00", "2026-10-25", "2026-10-26"),
        # Midnight itself is skipped.
        (Unit.DAY, "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T01:00", "2018-11-05"),
        (Unit.DAY, "UTC", "2028-02-29T00:00", "2028-02-29", "2028-03-01"),
        (Unit.WEEK, "UTC", "2026-05-10T23:00", "2026-05-04", "2026-05-11"),
        (Unit.MONTH, "UTC", "2028-02-29T12:00", "2028-02-01", "2028-03-01"),
        (Unit.MONTH, "UTC", "2026-01-31T12:00", "2026-01-01", "2026-02-01"),
        (Unit.MONTH, "Asia/Kolkata", "2026-12-31T23:59", "2026-12-01", "2027-01-01"),
        (Unit.YEAR, "America/New_York", "2028-12-31T23:59", "2028-01-01", "2029-01-01"),
    ],
)
def test_calendar_periods(unit: Unit, zone: str, now: str, start: str, end: str) -> None:
    slots = slots_of(Calendar(unit=unit, timezone=zone), now_ms=ms(now, zone))
    assert (slots.start_ms, slots.end_ms) == (ms(start, zone), ms(end, zone))
    assert slots.current == slots.oldest == slots.start_ms // 1000


def test_days_of_changing_clocks_are_shorter_and_longer() -> None:
    day = Calendar(unit=Unit.DAY, timezone="Europe/Madrid")
    for now, hours in (("2026-03-29T12:00", 23), ("2026-10-25T12:00", 25)):
        slots = slots_of(day, now_ms=ms(now, "Europe/Madrid"))
        assert slots.end_ms - slots.start_ms == hours * HOUR_MS


@pytest.mark.parametrize(
    ("week_start", "start"), [(1, "2026-05-04"), (7, "2026-05-10"), (3, "2026-05-06")]
)
def test_weeks_begin_on_the_chosen_day(week_start: int, start: str) -> None:
    window = Calendar(unit=Unit.WEEK, week_start=week_start)
    slots = slots_of(window, now_ms=ms("2026-05-10T12:00", "UTC"))
    assert (slots.start_ms, slots.end_ms - slots.start_ms) == (ms(start, "UTC"), 7 * DAY_MS)


def test_a_lifetime_is_one_slot_for_ever() -> None:
    slots = slots_of(Calendar(unit=Unit.LIFETIME), now_ms=1)
    assert slots == Slots(oldest=0, current=0, keep=0, start_ms=0, end_ms=0)
    assert lifetime_ms(slots, now_ms=1) == 0


@given(CALENDARS, MOMENTS)
def test_calendar_slots_follow_one_another_without_gaps(window: Calendar, now_ms: int) -> None:
    slots = slots_of(window, now_ms=now_ms)
    assert slots.start_ms <= now_ms < slots.end_ms
    assert slots_of(window, now_ms=slots.start_ms) == slots
    assert slots_of(window, now_ms=slots.end_ms - 1) == slots
    after = slots_of(window, now_ms=slots.end_ms)
    assert (after.start_ms, after.keep) == (slots.end_ms, slots.current)
    assert after.current > slots.current


@given(ROLLINGS, MOMENTS, st.integers(0, ROLLING_MS_MAX))
def test_a_rolling_window_counts_all_that_it_covers(
    window: Rolling, now_ms: int, ago_ms: int
) -> None:
    """What was spent within the duration is in a slot that counts: it cannot overspend."""
    slots = slots_of(window, now_ms=now_ms)
    assert slots.current - slots.oldest < SLOTS_MAX
    assert slots.start_ms == slots.oldest * window.slot_ms
    then = slots_of(window, now_ms=now_ms - ago_ms)
    counted = then.current >= slots.oldest
    assert counted or ago_ms > window.duration_ms
    # And it stops to count once it is a slot too old.
    assert not counted or ago_ms <= window.duration_ms + window.slot_ms


@given(st.one_of(CALENDARS, ROLLINGS), MOMENTS)
def test_what_is_counted_is_kept_until_it_is_freed(window: Window, now_ms: int) -> None:
    slots = slots_of(window, now_ms=now_ms)
    freed_ms = freed_at_ms(window, slots.current)
    assert freed_ms == slots.end_ms
    assert slots_of(window, now_ms=freed_ms - 1).oldest <= slots.current
    assert slots_of(window, now_ms=freed_ms).oldest > slots.current
    assert now_ms + lifetime_ms(slots, now_ms=now_ms) == freed_ms + MARGIN_MS
    # The scripts compare and print them: 1.0 is another slot than 1.
    assert {type(getattr(slots, field.name)) for field in fields(slots)} == {int}


@given(st.one_of(CALENDARS, ROLLINGS), MOMENTS, st.integers(0, MARGIN_MS))
def test_a_worker_whose_clock_is_behind_finds_what_it_counts(
    window: Window, now_ms: int, behind_ms: int
) -> None:
    """What a worker drops as too old, one whose clock is a little behind does not ask for."""
    assert (
        slots_of(window, now_ms=now_ms).keep <= slots_of(window, now_ms=now_ms - behind_ms).oldest
    )
