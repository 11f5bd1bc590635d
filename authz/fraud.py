"""Checks against fraud: thresholds for the script, which knows what a card did lately. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from authz.controls import Place

#: How long anything lately done is remembered; no window is longer.
RECENT_MS = 3_600_000
#: Longest lists of what is remembered: declines, purchases, countries.
DECLINES_MAX = 20
BOUGHT_MAX = 8
ABROAD_MAX = 50

DECLINES_DEFAULT = 8
TESTING_MS_DEFAULT = 600_000
ABROAD_MS_DEFAULT = 600_000
REPETITION_MS_DEFAULT = 60_000

#: Declines that a tester of stolen cards meets, as numbers of the contract: wrong details (expiry,
#: CVV, address, PIN, cryptogram), uses not allowed (category, merchant, country, channel). Short
#: funds, exhausted limits and states say that the card is right; a customer meets them as often.
GUESSES = frozenset({4, 5, 6, 7, 9, 23, 24, 25, 26})


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTesting:
    """So many declines within the window are too many."""

    declines: int = DECLINES_DEFAULT
    window_ms: int = TESTING_MS_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAbroad:
    """A country that is not home declines until `wait_ms` after its first use."""

    home_country: str
    wait_ms: int = ABROAD_MS_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudChecks:
    """The checks of a programme or company; None or 0: off."""

    card_testing: CardTesting | None = None
    first_abroad: FirstAbroad | None = None
    repetition_ms: int = 0


NO_CHECKS = FraudChecks()
#: Of a programme that says nothing else.
DEFAULT_CHECKS = FraudChecks(card_testing=CardTesting())


def thresholds_of(
    checks: tuple[tuple[str, FraudChecks], ...], place: Place | None, merchant: str
) -> str:
    """The checks, each with whose it is, as include/recent.lua unpacks them."""
    country = place.country_code if place is not None else ""
    testing = [
        f"{whose}/card_testing,{limit.declines},{limit.window_ms}"
        for whose, one in checks
        if (limit := one.card_testing) is not None
    ]
    abroad = [
        (first.wait_ms, f"{whose}/first_abroad,{country},{first.wait_ms}")
        for whose, one in checks
        if (first := one.first_abroad) is not None and country not in ("", first.home_country)
    ]
    repetition = [
        (one.repetition_ms, f"{whose}/repetition,{one.repetition_ms},{merchant_print(merchant)}")
        for whose, one in checks
        if one.repetition_ms
    ]
    # The longer window, or wait, contains the shorter one.
    longest = (max(abroad)[1] if abroad else "", max(repetition)[1] if repetition else "")
    return "\n".join((";".join(testing), *longest))


def plain_thresholds_of(checks: tuple[tuple[str, FraudChecks], ...]) -> str:
    """As `thresholds_of`, if neither place nor merchant matters; else ''."""
    if any(one.first_abroad is not None or one.repetition_ms for _, one in checks):
        return ""
    return thresholds_of(checks, None, "")


#: Where no check can matter.
UNCHECKED = "\n\n"


def merchant_print(merchant: str) -> str:
    """A merchant as a card remembers what it bought there."""
    return blake2b(merchant.encode(), digest_size=8).hexdigest()


def remembered(item: str, before: str, *, most: int, now_ms: int, age_ms: int | None = None) -> str:
    """A list with a new item in front, as `remembered` of include/recent.lua; None: of any age."""
    kept = [
        one
        for one in before.split(";")
        if one and (age_ms is None or now_ms - int(one.rpartition(",")[2]) < age_ms)
    ]
    return ";".join([item, *kept][:most])


def forgotten(declines: str, *, clear_ms: int) -> str:
    """The declines that are left after a card was cleared of suspicion."""
    return ";".join(ms for ms in declines.split(";") if ms and int(ms) > clear_ms)


def trusted(abroad: str, *, clear_ms: int) -> str:
    """The countries that a card was used in: those up to then are as if known for long."""
    items = (one.split(",") for one in abroad.split(";") if one)
    return ";".join(f"{country},{ms if int(ms) > clear_ms else 0}" for country, ms in items)
