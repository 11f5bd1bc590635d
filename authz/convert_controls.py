"""Spend controls from the wire, which the accounts service has checked, to what decides."""

from __future__ import annotations

from collections.abc import Iterable

from authz.controls import DAY_MINUTES, NO_CONTROLS, Channel, Controls, Hours, Limit, Ranges
from authz.windows import Calendar, Rolling, Unit, Window
from holdfast.type.v1 import spend_controls_pb2 as pb
from runtime.spend_controls import WEEKDAYS, minute_of
from runtime.validate import milliseconds


def controls_of(raw: bytes) -> Controls:
    """Controls from the bytes in which they are kept."""
    if not raw:
        return NO_CONTROLS
    message = pb.SpendControls.FromString(raw)
    maximum = message.transaction_maximum.amount_minor
    return Controls(
        maximum_minor=maximum if message.HasField("transaction_maximum") else None,
        limits=tuple(_limit(limit) for limit in message.limits),
        allowed_categories=_ranges(message.allowed_categories),
        blocked_categories=_ranges(message.blocked_categories),
        allowed_countries=frozenset(message.allowed_countries),
        blocked_countries=frozenset(message.blocked_countries),
        allowed_merchants=_names(message.allowed_merchants),
        blocked_merchants=_names(message.blocked_merchants),
        merchant_lock=message.merchant_lock,
        blocked_channels=frozenset(Channel(one) for one in message.blocked_channels),
        active_hours=tuple(_hours(one) for one in message.active_hours),
        address_match=message.address_match_required,
    )


def _names(entries: Iterable[str]) -> frozenset[str]:
    names = tuple(entries)
    return frozenset(names) | frozenset(name.casefold() for name in names)


def _ranges(texts: Iterable[str]) -> Ranges:
    pairs = [text.partition("-") for text in texts]
    return tuple((int(low), int(high or low)) for low, _, high in pairs)


def _hours(message: pb.ActiveHours) -> Hours:
    return Hours(
        timezone=message.timezone or "UTC",
        weekdays=frozenset(message.weekdays or WEEKDAYS),
        start=minute_of(message.start or "00:00"),
        end=minute_of(message.end) if message.end else DAY_MINUTES,
    )


def _limit(message: pb.SpendLimit) -> Limit:
    return Limit(
        control_id=message.control_id,
        amount_minor=message.amount.amount_minor if message.HasField("amount") else None,
        count=message.count or None,
        window=_window(message),
        categories=_ranges(message.categories),
        counting_since_ms=milliseconds(message.counting_since),
    )


def _window(message: pb.SpendLimit) -> Window:
    if message.WhichOneof("window") == "rolling":
        length = message.rolling
        return Rolling(duration_ms=length.seconds * 1000 + length.nanos // 1_000_000)
    return Calendar(
        unit=Unit(message.calendar.unit),
        timezone=message.calendar.timezone or "UTC",
        week_start=message.calendar.week_start or 1,
    )
