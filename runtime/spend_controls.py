"""Checks of `holdfast.type.v1.SpendControls`, for every service that takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from holdfast.type.v1 import spend_controls_pb2 as pb
from holdfast.type.v1.default_rules_pb2 import DefaultRules, FraudChecks
from runtime.validate import Violations

LIMITS_MAX = 10
LIST_MAX = 200
COUNTRIES_MAX = 250
MERCHANT_LENGTH = 128
COUNT_MAX = 1_000_000
HOURS_MAX = 10
ROLLING_S_MIN = 60
ROLLING_S_MAX = 366 * 86_400
NANOS_PER_S = 1_000_000_000
WEEKDAYS = range(1, 8)
TESTING_DECLINES = range(3, 21)
HOUR_S = 3_600

_CONTROL_ID = re.compile(r"[a-z0-9_-]{1,32}")
_CATEGORY = re.compile(r"([0-9]{4})(?:-([0-9]{4}))?")
_COUNTRY = re.compile(r"[A-Z]{2}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_CHANNELS = frozenset(pb.Channel.DESCRIPTOR.values_by_number) - {0}
_UNITS = frozenset(pb.CalendarWindow.Unit.DESCRIPTOR.values_by_number) - {0}


def minute_of(text: str) -> int:
    """Minutes since midnight of a checked `HH:MM`."""
    return int(text[:2]) * 60 + int(text[3:])


def check_controls(
    field: str,
    controls: pb.SpendControls,
    check: Violations,
    *,
    currency_code: str,
    of_card: bool,
) -> None:
    """Every field; amounts must be in the account's currency if it is given."""
    _money(f"{field}.transaction_maximum", controls, currency_code, check)
    if len(controls.limits) > LIMITS_MAX:
        check.add(f"{field}.limits", f"must have at most {LIMITS_MAX} entries")
    names: set[str] = set()
    for number, limit in enumerate(controls.limits[:LIMITS_MAX]):
        name = f"{field}.limits[{number}]"
        _limit(name, limit, check, currency_code=currency_code)
        if limit.control_id in names:
            check.add(f"{name}.control_id", "is used twice")
        names.add(limit.control_id)
    for kind in ("categories", "countries", "merchants"):
        if getattr(controls, f"allowed_{kind}") and getattr(controls, f"blocked_{kind}"):
            check.add(f"{field}.blocked_{kind}", f"must be empty with allowed_{kind}")
    for kind in ("allowed", "blocked"):
        _categories(f"{field}.{kind}_categories", getattr(controls, f"{kind}_categories"), check)
        countries, merchants = f"{kind}_countries", f"{kind}_merchants"
        _length(f"{field}.{countries}", getattr(controls, countries), COUNTRIES_MAX, check)
        for number, country in enumerate(getattr(controls, countries)[:COUNTRIES_MAX]):
            if not _COUNTRY.fullmatch(country):
                check.add(f"{field}.{countries}[{number}]", "must be two upper-case letters")
        _length(f"{field}.{merchants}", getattr(controls, merchants), LIST_MAX, check)
        for number, merchant in enumerate(getattr(controls, merchants)[:LIST_MAX]):
            name = f"{field}.{merchants}[{number}]"
            check.text(name, merchant, limit=MERCHANT_LENGTH, required=True)
    if controls.merchant_lock and not of_card:
        check.add(f"{field}.merchant_lock", "is a control of cards")
    if not set(controls.blocked_channels) <= _CHANNELS:
        check.add(f"{field}.blocked_channels", "has a value that is not known")
    _length(f"{field}.active_hours", controls.active_hours, HOURS_MAX, check)
    for number, hours in enumerate(controls.active_hours[:HOURS_MAX]):
        _hours(f"{field}.active_hours[{number}]", hours, check)


def check_rules(field: str, rules: DefaultRules, check: Violations) -> None:
    """Every field of a programme's or company's rules; its accounts may have any currency."""
    for name, of_card in (("card_controls", True), ("account_controls", False)):
        controls = getattr(rules, name)
        check_controls(f"{field}.{name}", controls, check, currency_code="", of_card=of_card)
    _fraud_checks(f"{field}.fraud_checks", rules.fraud_checks, check)


def _fraud_checks(field: str, checks: FraudChecks, check: Violations) -> None:
    testing, abroad = checks.card_testing, checks.first_abroad
    if testing.declines and testing.declines not in TESTING_DECLINES:
        check.add(f"{field}.card_testing.declines", "must be from 3 to 20")
    if testing.HasField("window"):
        name = f"{field}.card_testing.window"
        _span(name, testing.window, check, seconds=(60, HOUR_S), text="1 minute to 1 hour")
    if checks.HasField("first_abroad") and not _COUNTRY.fullmatch(abroad.home_country):
        check.add(f"{field}.first_abroad.home_country", "is required: two upper-case letters")
    if abroad.HasField("wait"):
        name = f"{field}.first_abroad.wait"
        _span(name, abroad.wait, check, seconds=(0, 24 * HOUR_S), text="0 to 24 hours")
    if checks.repetition.HasField("window"):
        name = f"{field}.repetition.window"
        window = checks.repetition.window
        _span(name, window, check, seconds=(1, HOUR_S), text="1 second to 1 hour")


def _span(
    field: str, length: Duration, check: Violations, *, seconds: tuple[int, int], text: str
) -> None:
    low, high = seconds
    whole = 0 <= length.nanos < NANOS_PER_S
    after = length.seconds == high and length.nanos > 0
    if not low <= length.seconds <= high or not whole or after:
        check.add(field, f"must be from {text}")


def _limit(field: str, limit: pb.SpendLimit, check: Violations, *, currency_code: str) -> None:
    if not _CONTROL_ID.fullmatch(limit.control_id):
        check.add(f"{field}.control_id", "is required: 1 to 32 characters of a-z 0-9 _ -")
    _money(f"{field}.amount", limit, currency_code, check)
    if not 0 <= limit.count <= COUNT_MAX:
        check.add(f"{field}.count", f"must be from 1 to {COUNT_MAX}")
    if not limit.HasField("amount") and not limit.count:
        check.add(f"{field}.amount", "is required, or count")
    kind = limit.WhichOneof("window")
    if kind is None:
        check.add(f"{field}.calendar", "is required, or rolling")
    elif kind == "rolling":
        seconds = (ROLLING_S_MIN, ROLLING_S_MAX)
        name = f"{field}.rolling"
        _span(name, limit.rolling, check, seconds=seconds, text="1 minute to 366 days")
    else:
        if limit.calendar.unit not in _UNITS:
            check.add(f"{field}.calendar.unit", "is required")
        _timezone(f"{field}.calendar.timezone", limit.calendar.timezone, check)
        if limit.calendar.week_start and limit.calendar.week_start not in WEEKDAYS:
            check.add(f"{field}.calendar.week_start", "must be from 1 (Monday) to 7 (Sunday)")
    _categories(f"{field}.categories", limit.categories, check)


def _hours(field: str, hours: pb.ActiveHours, check: Violations) -> None:
    _timezone(f"{field}.timezone", hours.timezone, check)
    if not set(hours.weekdays) <= set(WEEKDAYS):
        check.add(f"{field}.weekdays", "must be from 1 (Monday) to 7 (Sunday)")
    for name in ("start", "end"):
        text = getattr(hours, name)
        if text and (not _TIME.fullmatch(text) or (name, text) == ("start", "24:00")):
            check.add(f"{field}.{name}", "must be a time, e.g. 08:30")


def _money(field: str, parent: Message, currency_code: str, check: Violations) -> None:
    check.money(field, parent, minimum=1, required=False)
    name = field.rpartition(".")[2]
    if currency_code and parent.HasField(name):
        found = getattr(parent, name).currency_code
        if found and found != currency_code:
            check.add(f"{field}.currency_code", f"must be the account's currency {currency_code}")


def _categories(field: str, texts: Iterable[str], check: Violations) -> None:
    entries = list(texts)
    _length(field, entries, LIST_MAX, check)
    for number, text in enumerate(entries[:LIST_MAX]):
        found = _CATEGORY.fullmatch(text)
        if not found or (found[2] is not None and found[2] < found[1]):
            check.add(f"{field}[{number}]", "must be four digits, or a range such as 3501-3999")


def _length(field: str, entries: Iterable[object], limit: int, check: Violations) -> None:
    if len(list(entries)) > limit:
        check.add(field, f"must have at most {limit} entries")


def _timezone(field: str, name: str, check: Violations) -> None:
    try:
        ZoneInfo(name or "UTC")
    except (ValueError, OSError, LookupError):
        check.add(field, "must be an IANA timezone, e.g. Europe/Madrid")
