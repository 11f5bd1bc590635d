"""An independent model of limits over time: a list of what counted, and when.

It shares no code with authz/: no slots are kept, nothing is deleted. What counts now is looked up
in the list, moment by moment; where a period begins or ends is found by searching for the moment
at which the calendar shows another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
#: No period is longer; a lifetime has no edges.
LONGEST_MS = 367 * DAY_MS
#: A rolling window has at most this many pieces, the oldest counted whole.
PIECES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWindow:
    """DAY, WEEK, MONTH, YEAR or LIFETIME of a timezone; or ROLLING."""

    unit: str
    timezone: str = "UTC"
    week_start: int = 1
    length_ms: int = 0

    def period(self, at: int) -> tuple[int, ...]:
        """Equal for all moments of one period, greater for those of later ones."""
        if self.unit == "ROLLING":
            return (at // -(-self.length_ms // (PIECES - 1)),)
        return _shown(self.unit, self.timezone, self.week_start, at)

    def oldest(self, now: int) -> tuple[int, ...]:
        """The first period that counts."""
        return self.period(now - self.length_ms)

    def counts(self, at: int, now: int) -> bool:
        """True if what was spent then counts now."""
        assert at <= now
        counted = self.period(at) >= self.oldest(now)
        assert counted or self.unit != "ROLLING" or at < now - self.length_ms, "never overspends"
        return counted

    def began(self, now: int) -> int:
        """The first moment that counts."""
        if self.unit == "LIFETIME":
            return 0
        first = now - self.length_ms - LONGEST_MS
        return _search(first, now, lambda at: self.period(at) >= self.oldest(now))

    def ends(self, at: int) -> int | None:
        """The first moment at which what is spent now counts no more."""
        if self.unit == "LIFETIME":
            return None
        last = at + self.length_ms + LONGEST_MS
        return _search(at, last, lambda now: self.oldest(now) > self.period(at))


@lru_cache(maxsize=100_000)
def _shown(unit: str, timezone: str, week_start: int, at: int) -> tuple[int, ...]:
    """What the calendar on the wall shows: year, and month, and day, or the number of the week."""
    day = datetime.fromtimestamp(at / 1000, ZoneInfo(timezone)).date()
    if unit == "WEEK":
        return ((day.toordinal() - week_start) // 7,)
    parts = {"LIFETIME": 0, "YEAR": 1, "MONTH": 2, "DAY": 3}[unit]
    return (day.year, day.month, day.day)[:parts]


def _search(low: int, high: int, found: Callable[[int], bool]) -> int:
    """The first moment after `low` at which it is true; at `high` it is."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimit:
    """One limit with the moment from which it counts."""

    subject: str
    name: str
    amount: int | None
    count: int | None
    window: ModelWindow
    #: Of these merchant categories only; empty: of all.
    categories: tuple[str, ...] = ()
    since: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """What is spent counts in exactly this: one changed later is another one."""
        return (self.subject, self.name, self.since)

    @property
    def label(self) -> str:
        """What a refusal calls it."""
        kind = "account" if self.subject == "account" else "card"
        return f"{kind}/{self.name}"


@dataclass(slots=True, kw_only=True)
class ModelUse:
    """A part of a purchase as it counts in one limit."""

    key: tuple[str, str, int]
    at: int
    amount: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a limit has counted and leaves; None: not limited."""

    limit: ModelLimit
    used: int
    used_count: int
    #: When what counts now began, and when it (or its oldest part) ends.
    start: int
    reset: int | None

    @property
    def amount(self) -> int | None:
        """May still be spent."""
        return None if self.limit.amount is None else max(self.limit.amount - self.used, 0)

    @property
    def count(self) -> int | None:
        """Purchases that may still be made."""
        return None if self.limit.count is None else max(self.limit.count - self.used_count, 0)


@dataclass(slots=True, kw_only=True)
class ModelLimits:
    """Every limit of one account and its cards, by subject: `account`, or a line of cards."""

    of: dict[str, tuple[ModelLimit, ...]] = field(default_factory=dict)

    def at(self, subject: str, category: str | None) -> list[ModelLimit]:
        """Those that a purchase counts in, the card's first; None: of any merchant."""
        return [
            limit
            for one in (subject, "account")
            for limit in self.of.get(one, ())
            if not limit.categories or category is None or category in limit.categories
        ]


def left_of(limit: ModelLimit, uses: Iterable[ModelUse], now: int) -> Left:
    """What a limit leaves, of all that was ever counted."""
    window = limit.window
    counted = [use for use in uses if use.key == limit.key and window.counts(use.at, now)]
    reset = window.ends(now)
    if window.unit == "ROLLING":
        spent = [use.at for use in counted if use.amount or use.count]
        reset = window.ends(min(spent)) if spent else None
    return Left(
        limit=limit,
        used=sum(use.amount for use in counted),
        used_count=sum(use.count for use in counted),
        start=max(window.began(now), limit.since),
        reset=reset,
    )


def count_more(
    uses: list[ModelUse], limits: list[ModelLimit], amount: int, *, purchases: int, now: int
) -> None:
    """More counts now, in these limits; in none: where it was counted last."""
    before = {} if limits else {use.key: use for use in uses}
    for last in before.values():
        last.amount += amount
        last.count += purchases
    uses += [ModelUse(key=one.key, at=now, amount=amount, count=purchases) for one in limits]


def give_back(uses: list[ModelUse], amount: int, *, whole: bool) -> None:
    """Less counts: taken from the newest first, in each limit; with the whole, the purchase."""
    for key in {use.key for use in uses}:
        rest = amount
        for use in reversed([use for use in uses if use.key == key]):
            back = min(rest, use.amount)
            rest, use.amount = rest - back, use.amount - back
            use.count = 0 if whole else use.count
