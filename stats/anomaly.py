"""What is unusual about a day of an account, and why: counts, a mean and a deviation, nothing that
could not be explained to whoever owns the account. No I/O, no clock, no grpc.

A day is compared with the account's own days before it, and only if there are enough of them. Days
without a purchase are no habit, and do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from math import isqrt

from runtime.money import EXPONENTS, format_minor
from runtime.record import record

#: How far back habits go.
WINDOW = timedelta(days=180)
#: Days with purchases that make a habit.
DAYS_MIN = 20
#: An unusual day is so many deviations above the mean,
SPEND_DEVIATIONS = 8
#: at least so many times the largest day before,
SPEND_TIMES_LARGEST = 2
#: and at least so much, in units of the currency.
SPEND_LEAST = 50
#: Who spends nearly the same every day has at least this part of the mean as deviation.
_DEVIATION_DIVISOR_LEAST = 4
#: Declines of an unusual day: at least so many,
DECLINES_MIN = 5
#: at least half of what was asked for, and so many deviations above what was usual.
DECLINES_DEVIATIONS = 6
#: What was asked for before, at least.
DECISIONS_MIN = 30
#: Purchases, approved or declined, in a country where there was none before that day.
COUNTRY_ATTEMPTS_MIN = 3

_BASIS = 10_000


class Kind(StrEnum):
    """What is unusual; the names are the contract's."""

    SPEND = "SPEND"
    DECLINES = "DECLINES"
    COUNTRY = "COUNTRY"


@record
class AccountDay:
    """What was asked of an account on one day, in its currency."""

    day: date
    #: Approved and not given back.
    spent_minor: int
    approved_count: int
    declined_count: int


@record
class Habit:
    """What an account is used to."""

    #: Days with purchases.
    days: int = 0
    sum_minor: int = 0
    sum_of_squares: int = 0
    largest_minor: int = 0
    approved_count: int = 0
    declined_count: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there are enough days to speak of a habit."""
        return self.days >= DAYS_MIN

    @property
    def mean_minor(self) -> int:
        """What a day with purchases comes to."""
        return self.sum_minor // self.days if self.days else 0

    @property
    def deviation_minor(self) -> int:
        """The standard deviation of such days, but not less than a part of their mean."""
        if self.days < 2:  # noqa: PLR2004 - one day has no deviation
            return 0
        dividend = self.days * self.sum_of_squares - self.sum_minor**2
        found = isqrt(dividend // (self.days * (self.days - 1)))
        return max(found, self.mean_minor // _DEVIATION_DIVISOR_LEAST, 1)


@record
class Finding:
    """Something unusual. Fields that do not apply are 0 or empty."""

    kind: Kind
    day: date
    currency: str
    #: In one sentence, with the numbers that it follows from.
    explanation: str
    #: Days with purchases that it was compared with.
    history_days: int
    spent_minor: int = 0
    usual_minor: int = 0
    deviation_minor: int = 0
    declined_count: int = 0
    decided_count: int = 0
    #: Of decisions before, those that were declines.
    usual_decline_basis_points: int = 0
    country_code: str = ""
    attempt_count: int = 0


def first_day(day: date) -> date:
    """From which day on habits count for a day."""
    return day - WINDOW


def habit_of(history: Iterable[AccountDay]) -> Habit:
    """What days, all of them in the window, make a habit of."""
    days = sum_minor = squares = largest = approved = declined = 0
    for one in history:
        approved += one.approved_count
        declined += one.declined_count
        if one.spent_minor > 0:
            days += 1
            sum_minor += one.spent_minor
            squares += one.spent_minor**2
            largest = max(largest, one.spent_minor)
    return Habit(
        days=days,
        sum_minor=sum_minor,
        sum_of_squares=squares,
        largest_minor=largest,
        approved_count=approved,
        declined_count=declined,
    )


def may_be_unusual(today: AccountDay, currency: str) -> bool:
    """False for days that are usual whatever the habit is: most of them."""
    return today.spent_minor >= _least_minor(currency) or today.declined_count >= DECLINES_MIN


def findings(
    habit: Habit,
    today: AccountDay,
    *,
    currency: str,
    new_countries: Mapping[str, int] | None = None,
) -> list[Finding]:
    """What is unusual about a day, so far. `new_countries`: purchases, approved or declined, by
    country in which the account was never used before that day.
    """
    if not habit.is_known:
        return []
    found = (
        _spend(habit, today, currency),
        _declines(habit, today, currency),
        _country(habit, today, currency, new_countries or {}),
    )
    return [one for one in found if one is not None]


def _spend(habit: Habit, today: AccountDay, currency: str) -> Finding | None:
    above = today.spent_minor - habit.mean_minor
    least = max(SPEND_TIMES_LARGEST * habit.largest_minor, _least_minor(currency))
    if above <= SPEND_DEVIATIONS * habit.deviation_minor or today.spent_minor < least:
        return None
    tenths = above * 10 // habit.deviation_minor
    return Finding(
        kind=Kind.SPEND,
        day=today.day,
        currency=currency,
        explanation=(
            f"spent {format_minor(today.spent_minor, currency)} on {today.day}:"
            f" {tenths // 10}.{tenths % 10} deviations above the mean"
            f" {format_minor(habit.mean_minor, currency)} of {habit.days} days with purchases,"
            f" of which the largest was {format_minor(habit.largest_minor, currency)}"
        ),
        history_days=habit.days,
        spent_minor=today.spent_minor,
        usual_minor=habit.mean_minor,
        deviation_minor=habit.deviation_minor,
    )


def _declines(habit: Habit, today: AccountDay, currency: str) -> Finding | None:
    declined, decided = today.declined_count, today.approved_count + today.declined_count
    before = habit.approved_count + habit.declined_count
    if declined < DECLINES_MIN or declined * 2 < decided or before < DECISIONS_MIN:
        return None
    # One of each is added: who was never declined may be declined for the first time.
    part, whole = habit.declined_count + 1, before + 2
    above = declined * whole - decided * part
    variance = decided * part * (whole - part)
    if above <= 0 or above**2 <= DECLINES_DEVIATIONS**2 * variance:
        return None
    usual = habit.declined_count * _BASIS // before
    return Finding(
        kind=Kind.DECLINES,
        day=today.day,
        currency=currency,
        explanation=(
            f"{declined} of {decided} purchases declined on {today.day}: before,"
            f" {habit.declined_count} of {before} on {habit.days} days with purchases"
        ),
        history_days=habit.days,
        declined_count=declined,
        decided_count=decided,
        usual_decline_basis_points=usual,
    )


def _country(
    habit: Habit, today: AccountDay, currency: str, attempts: Mapping[str, int]
) -> Finding | None:
    count = sum(attempts.values())
    if count < COUNTRY_ATTEMPTS_MIN:
        return None
    names = sorted(attempts, key=lambda one: (-attempts[one], one))
    return Finding(
        kind=Kind.COUNTRY,
        day=today.day,
        currency=currency,
        explanation=(
            f"{count} purchases asked for on {today.day} in {', '.join(names)}, where there was"
            f" none before; there were {habit.days} days with purchases elsewhere"
        ),
        history_days=habit.days,
        country_code=names[0],
        attempt_count=count,
    )


def _least_minor(currency: str) -> int:
    return int(SPEND_LEAST * 10 ** EXPONENTS.get(currency, 2))
