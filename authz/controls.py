"""Spend controls: what a card, an account or its user may be used for. Pure.

`broken` checks what a purchase alone decides; limits over time become `Use`s, which the script
checks and counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from zoneinfo import ZoneInfo

from authz.windows import Slots, Window, slots_of
from runtime.record import record

Ranges = tuple[tuple[int, int], ...]
DAY_MINUTES = 1440
#: ISO 18245 codes of cash at a counter and at a machine.
CASH_CODES = frozenset({"6010", "6011"})


class Channel(IntEnum):
    """Numbers of the contract's `Channel`."""

    CARD_PRESENT = 1
    ECOMMERCE = 2
    CASH = 3
    MERCHANT_INITIATED = 4
    MAGSTRIPE = 5
    MANUAL = 6


class Rule(StrEnum):
    """What a purchase can break by itself; the names are the contract's fields."""

    ADDRESS_MATCH = "address_match_required"
    ACTIVE_HOURS = "active_hours"
    CHANNELS = "blocked_channels"
    COUNTRIES = "countries"
    CATEGORIES = "categories"
    MERCHANTS = "merchants"
    MAXIMUM = "transaction_maximum"


@record
class Place:
    """Where and how a card is used; empty: not stated."""

    merchant_id: str = ""
    descriptor: str = ""
    category_code: str = ""
    country_code: str = ""
    channels: frozenset[Channel] = frozenset()
    address_mismatch: bool = False

    @property
    def cash(self) -> bool:
        """True where cash is handed out."""
        return self.category_code in CASH_CODES

    @property
    def names(self) -> frozenset[str]:
        """What a list may call the merchant."""
        return frozenset({self.merchant_id, self.descriptor.casefold()} - {""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Minutes of the week; an `end` that is not after `start` is on the next day."""

    timezone: str
    #: ISO weekdays on which it starts.
    weekdays: frozenset[int]
    start: int
    end: int

    def contains(self, now_ms: int) -> bool:
        """True within them."""
        local = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(self.timezone))
        minute, today = local.hour * 60 + local.minute, local.isoweekday()
        if self.start < self.end:
            return today in self.weekdays and self.start <= minute < self.end
        yesterday = (today - 2) % 7 + 1
        return (today in self.weekdays and minute >= self.start) or (
            yesterday in self.weekdays and minute < self.end
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit over time; None: the amount, or the count, is not limited."""

    control_id: str
    amount_minor: int | None
    count: int | None
    window: Window
    categories: Ranges
    counting_since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """The controls of one scope. Empty: nothing is restricted."""

    maximum_minor: int | None = None
    limits: tuple[Limit, ...] = ()
    allowed_categories: Ranges = ()
    blocked_categories: Ranges = ()
    allowed_countries: frozenset[str] = frozenset()
    blocked_countries: frozenset[str] = frozenset()
    #: Ids as they are, and everything once more without regard to case, for descriptors.
    allowed_merchants: frozenset[str] = frozenset()
    blocked_merchants: frozenset[str] = frozenset()
    merchant_lock: bool = False
    blocked_channels: frozenset[Channel] = frozenset()
    active_hours: tuple[Hours, ...] = ()
    address_match: bool = False


NO_CONTROLS = Controls()
#: Nothing is stated: in no limit of categories.
NOWHERE = Place()


@record
class Use:
    """One limit that a purchase counts in, as the script needs it."""

    #: Names the window's key within its partition: whose, control, and when counting began.
    key: str
    #: What a refusal calls it: whose it is, and the control's id.
    name: str
    limit: Limit
    slots: Slots


def within(code: str, ranges: Ranges) -> bool:
    """True if a category lies in one of the ranges; an unknown one lies in none."""
    return code != "" and any(low <= int(code) <= high for low, high in ranges)


def broken(rule: Rule, controls: Controls, place: Place, amount_minor: int, now_ms: int) -> bool:
    """True if the purchase breaks this rule of these controls."""
    match rule:
        case Rule.ADDRESS_MATCH:
            return controls.address_match and place.address_mismatch
        case Rule.ACTIVE_HOURS:
            hours = controls.active_hours
            return bool(hours) and not any(one.contains(now_ms) for one in hours)
        case Rule.CHANNELS:
            return bool(controls.blocked_channels & place.channels)
        case Rule.COUNTRIES:
            allowed, blocked = controls.allowed_countries, controls.blocked_countries
            country = place.country_code
            return (bool(allowed) and country not in allowed) or country in blocked
        case Rule.CATEGORIES:
            code, only = place.category_code, controls.allowed_categories
            return (bool(only) and not within(code, only)) or within(
                code, controls.blocked_categories
            )
        case Rule.MERCHANTS:
            named = controls.allowed_merchants
            return (bool(named) and not named & place.names) or bool(
                controls.blocked_merchants & place.names
            )
        case Rule.MAXIMUM:
            return controls.maximum_minor is not None and amount_minor > controls.maximum_minor


def use_of(limit: Limit, *, name: str, counter: str, now_ms: int) -> Use:
    """A limit as it counts now: `name` and `counter` are those of its scope."""
    return Use(
        key=f"{counter}:{limit.control_id}:{limit.counting_since_ms}",
        name=f"{name}/{limit.control_id}",
        limit=limit,
        slots=slots_of(limit.window, now_ms=now_ms),
    )


def uses_of(
    controls: Controls, place: Place | None, *, name: str, counter: str, now_ms: int
) -> list[Use]:
    """The limits that a purchase at this place counts in; None: of any place."""
    return [
        use_of(limit, name=name, counter=counter, now_ms=now_ms)
        for limit in controls.limits
        if not limit.categories or place is None or within(place.category_code, limit.categories)
    ]
