"""How often days of real cards are taken for unusual, and how much of what is unusual is found.

Usage: python -m loadtest.anomalies FILE (a table of purchases as `holdfast replay` reads it). Goes
through the rules of `stats.anomaly` in memory; no server is started, and nothing of the file is
shown but counts.

Nothing says which purchases of such a file were fraud, so each alarm counts as false: an upper
bound. What should be found is put in: days on which much more is spent, at random but always the
same. The file has no declines and no countries either. Both are drawn: purchases are declined now
and then, and tried again; cardholders travel. How often that alarms is so good as the model is.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from runtime.replay.rows import Row, RowFile
from stats.anomaly import AccountDay, Habit, Kind, findings, first_day, habit_of

_SEED = 20_260_302
#: Every so many-th day gets something unusual, each of these instead of the day as it was.
_PUT_IN_EVERY = 20
_TIMES_LARGEST = (1, 2, 3, 5)
_TIMES_MEAN = (5, 10, 20)
#: Parts of 100: a purchase is declined; and so is what is tried again, up to three times.
_DECLINED, _DECLINED_AGAIN, _TRIES_MAX = 5, 50, 3
#: A day with purchases of 1,000 begins a journey of up to so many days, to one of so many places.
_JOURNEYS, _JOURNEY_DAYS, _PLACES = 10, 5, 20


class Tally:
    """What came of it."""

    def __init__(self) -> None:
        self.days = 0
        self.judged = 0
        self.accounts: set[str] = set()
        self.alarms: Counter[Kind] = Counter()
        self.put_in = 0
        self.caught: Counter[str] = Counter()
        self.journeys = 0


def account_days(path: Path) -> dict[str, dict[date, list[int]]]:
    """The purchases of each card, by day."""
    found: dict[str, dict[date, list[int]]] = defaultdict(lambda: defaultdict(list))
    with RowFile(path) as file:
        for row in file.rows():
            if isinstance(row, Row) and row.amount_minor > 0:
                found[row.card_last4][row.time.date()].append(row.amount_minor)
    return found


def judge(cards: dict[str, dict[date, list[int]]], currency: str = "GBP") -> Tally:
    """Goes through every day of every card."""
    tally = Tally()
    for card, days in sorted(cards.items()):
        lot = random.Random(f"{_SEED}{card}")  # noqa: S311  no secret # nosec B311
        abroad = _Journeys(lot)
        for habit, today in _with_habits(days, lot):
            tally.days += 1
            countries = abroad.countries(today, is_known=habit.is_known)
            if not habit.is_known:
                continue
            tally.judged += 1
            tally.accounts.add(card)
            for one in findings(habit, today, currency=currency, new_countries=countries):
                tally.alarms[one.kind] += 1
            if tally.judged % _PUT_IN_EVERY == 0:
                _put_in(tally, habit, today, currency)
        tally.journeys += abroad.number
    return tally


def _with_habits(
    days: dict[date, list[int]], lot: random.Random
) -> Iterator[tuple[Habit, AccountDay]]:
    """Each day, and what was usual before it."""
    window: deque[AccountDay] = deque()
    for day, amounts in sorted(days.items()):
        while window and window[0].day < first_day(day):
            window.popleft()
        declined = sum(_declined(lot) for _ in amounts)
        today = AccountDay(
            day=day, spent_minor=sum(amounts), approved_count=len(amounts), declined_count=declined
        )
        yield habit_of(window), today
        window.append(today)


def _declined(lot: random.Random) -> int:
    tries = 0
    chance = _DECLINED
    while tries < _TRIES_MAX and lot.randrange(100) < chance:
        tries, chance = tries + 1, _DECLINED_AGAIN
    return tries


class _Journeys:
    """Where a cardholder is."""

    def __init__(self, lot: random.Random) -> None:
        self._lot = lot
        self._been: set[int] = set()
        self._left, self._place = 0, 0
        self.number = 0

    def countries(self, today: AccountDay, *, is_known: bool) -> dict[str, int]:
        """New countries of a day, with what is asked for there."""
        if not self._left and self._lot.randrange(1_000) < _JOURNEYS:
            self._left = 1 + self._lot.randrange(_JOURNEY_DAYS)
            self._place = self._lot.randrange(_PLACES)
            self.number += is_known
        if not self._left:
            return {}
        self._left -= 1
        if self._place in self._been:
            return {}
        self._been.add(self._place)
        return {f"C{self._place}": today.approved_count + today.declined_count}


def _put_in(tally: Tally, habit: Habit, today: AccountDay, currency: str) -> None:
    tally.put_in += 1
    more = {
        **{f"{one} times the largest day": one * habit.largest_minor for one in _TIMES_LARGEST},
        **{f"{one} times the mean day": one * habit.mean_minor for one in _TIMES_MEAN},
    }
    for name, minor in more.items():
        spent = replace(today, spent_minor=today.spent_minor + minor)
        kinds = {one.kind for one in findings(habit, spent, currency=currency)}
        tally.caught[name] += Kind.SPEND in kinds


def show(tally: Tally) -> str:
    """What is told."""
    accounts = len(tally.accounts)
    lines = [
        f"{tally.days:,} days with purchases; {tally.judged:,} of {accounts:,} accounts judged"
    ]
    for kind in Kind:
        alarms = tally.alarms[kind]
        lines.append(f"{kind:9} {alarms:5,} alarms: {alarms * 1_000 / tally.judged:.2f} in 1,000")
    lines.append(
        f"{tally.journeys:,} journeys; of {tally.put_in:,} days with more put in were found:"
    )
    for name, count in tally.caught.items():
        lines.append(f"  {name:22} {count * 100 / tally.put_in:5.1f} %")
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the command and a file
        sys.exit("usage: python -m loadtest.anomalies FILE")
    sys.stdout.write(show(judge(account_days(Path(sys.argv[1])))) + "\n")


if __name__ == "__main__":
    main()
