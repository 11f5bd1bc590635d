"""Spend controls as random traffic carries them: every kind of window, and a merchant lock."""

from __future__ import annotations

from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls, SpendLimit
from tests.authz_messages import money


def calendar(
    name: str,
    unit: CalendarWindow.Unit.ValueType,
    minor: int | None,
    *,
    count: int = 0,
    timezone: str = "",
    since_ms: int = 1,
) -> SpendLimit:
    """A limit of a day, a month, or for ever."""
    window = CalendarWindow(unit=unit, timezone=timezone)
    return _limit(SpendLimit(control_id=name, calendar=window, count=count), minor, since_ms)


def rolling(
    name: str, seconds: int, minor: int | None, *, count: int = 0, since_ms: int = 1
) -> SpendLimit:
    """A limit that looks back."""
    limit = SpendLimit(control_id=name, count=count)
    limit.rolling.FromSeconds(seconds)
    return _limit(limit, minor, since_ms)


def _limit(limit: SpendLimit, minor: int | None, since_ms: int) -> SpendLimit:
    if minor is not None:
        limit.amount.CopyFrom(money(minor))
    limit.counting_since.FromMilliseconds(since_ms)
    return limit


def of_account(since_ms: int = 1) -> SpendControls:
    """A month of some timezone, and a minute with slots of a second."""
    month = calendar(
        "month", CalendarWindow.UNIT_MONTH, 40_000, timezone="Asia/Tokyo", since_ms=since_ms
    )
    return SpendControls(limits=(month, rolling("minute", 60, None, count=40, since_ms=since_ms)))


def of_user() -> list[SpendLimit]:
    """A year: counted over all cards of a user on an account."""
    return [calendar("year", CalendarWindow.UNIT_YEAR, 60_000)]


def of_programme() -> list[SpendLimit]:
    """A week, and ten minutes with a currency that no account has: the latter binds nobody."""
    elsewhere = rolling("elsewhere", 600, 1)
    elsewhere.amount.currency_code = "EUR"
    week = CalendarWindow.UNIT_WEEK
    return [calendar("week", week, 50_000, count=90, timezone="America/Lima"), elsewhere]


def of_card(number: int, since_ms: int = 1) -> SpendControls | None:
    """By turns: a rolling and a daily limit; locked, with a limit for ever; none."""
    day = calendar("day", CalendarWindow.UNIT_DAY, None, count=25, since_ms=since_ms)
    ever = calendar("ever", CalendarWindow.UNIT_LIFETIME, 50_000, since_ms=since_ms)
    rush = rolling("rush", 60, 20_000, since_ms=since_ms)
    ever.categories.append("5000-5999")
    kinds = (
        SpendControls(limits=(rush, day)),
        SpendControls(limits=(ever,), merchant_lock=True),
        None,
    )
    return kinds[number % len(kinds)]
