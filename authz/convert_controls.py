"""Spend controls from the wire, which the accounts service has checked, to what decides."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from authz.controls import DAY_MINUTES, NO_CONTROLS, Channel, Controls, Hours, Limit, Ranges
from authz.fraud import (
    ABROAD_MS_DEFAULT,
    DECLINES_DEFAULT,
    REPETITION_MS_DEFAULT,
    TESTING_MS_DEFAULT,
    CardTesting,
    FirstAbroad,
    FraudChecks,
)
from authz.snapshot import RulesSnapshot
from authz.windows import Calendar, Rolling, Unit, Window
from holdfast.type.v1 import spend_controls_pb2 as pb
from holdfast.type.v1.default_rules_pb2 import DefaultRules
from holdfast.type.v1.default_rules_pb2 import FraudChecks as FraudChecksMessage
from holdfast.type.v1.money_pb2 import Money
from runtime.spend_controls import WEEKDAYS, minute_of
from runtime.validate import milliseconds

#: Rules that are kept in the form in which they decide: many cards have the same ones.
RULES_KEPT = 1_024


def controls_of(raw: bytes, currency_code: str) -> Controls:
    """Controls from the bytes in which they are kept, as they bind an account of a currency."""
    return _controls(pb.SpendControls.FromString(raw), currency_code) if raw else NO_CONTROLS


@lru_cache(maxsize=RULES_KEPT)
def rules_of(version: int, raw: bytes, currency_code: str, *, of_programme: bool) -> RulesSnapshot:
    """Rules from the bytes in which they are kept, as they bind an account of a currency. What they
    do not say of fraud is on as by default in a programme, and off in a company.
    """
    message = DefaultRules.FromString(raw)
    return RulesSnapshot(
        version=version,
        card_controls=_controls(message.card_controls, currency_code),
        account_controls=_controls(message.account_controls, currency_code),
        fraud=_fraud_checks(message.fraud_checks, of_programme=of_programme),
    )


def _fraud_checks(message: FraudChecksMessage, *, of_programme: bool) -> FraudChecks:
    testing, abroad, repetition = message.card_testing, message.first_abroad, message.repetition
    tested = message.HasField("card_testing") or of_programme
    return FraudChecks(
        card_testing=CardTesting(
            declines=testing.declines or DECLINES_DEFAULT,
            window_ms=_ms(testing, "window") or TESTING_MS_DEFAULT,
        )
        if tested and not testing.disabled
        else None,
        first_abroad=FirstAbroad(
            home_country=abroad.home_country,
            wait_ms=_ms(abroad, "wait") if abroad.HasField("wait") else ABROAD_MS_DEFAULT,
        )
        if message.HasField("first_abroad")
        else None,
        repetition_ms=(_ms(repetition, "window") or REPETITION_MS_DEFAULT)
        if message.HasField("repetition")
        else 0,
    )


def _ms(message: Message, field: str) -> int:
    length: Duration = getattr(message, field)
    return length.seconds * 1000 + length.nanos // 1_000_000


def _controls(message: pb.SpendControls, currency_code: str) -> Controls:
    if not message.ByteSize():
        return NO_CONTROLS
    limits = (_limit(limit, currency_code) for limit in message.limits)
    return Controls(
        maximum_minor=_minor(message.transaction_maximum, currency_code),
        limits=tuple(limit for limit in limits if limit is not None),
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


def _minor(message: Money, currency_code: str) -> int | None:
    """An amount; one of another currency than the account's limits nothing, nor does none."""
    return message.amount_minor if message.currency_code == currency_code else None


def _limit(message: pb.SpendLimit, currency_code: str) -> Limit | None:
    amount_minor, count = _minor(message.amount, currency_code), message.count or None
    if amount_minor is None and count is None:
        return None
    return Limit(
        control_id=message.control_id,
        amount_minor=amount_minor,
        count=count,
        window=_window(message),
        categories=_ranges(message.categories),
        counting_since_ms=milliseconds(message.counting_since),
    )


def _window(message: pb.SpendLimit) -> Window:
    if message.WhichOneof("window") == "rolling":
        return Rolling(duration_ms=_ms(message, "rolling"))
    return Calendar(
        unit=Unit(message.calendar.unit),
        timezone=message.calendar.timezone or "UTC",
        week_start=message.calendar.week_start or 1,
    )
