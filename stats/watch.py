"""Looks for what is unusual about days of accounts, after they were counted.

Whoever counts a page says in the same transaction which days of accounts it has touched, in one row
for all of them. Looking takes such rows away, and keeps what it has found, in one transaction: who
dies in between has found nothing. Many pages are looked at together, now and then, so that an
account costs the same however much it is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.clock import Clock, datetime_of
from runtime.events.outbox import emit
from runtime.metrics import STATS_ANOMALIES
from runtime.queries import load_queries
from runtime.tasks import work_for_ever
from stats import anomaly, convert_anomaly, happenings
from stats.adding import columns_of
from stats.anomaly import AccountDay, Finding, Habit
from stats.fold import Cell
from stats.measures import Measures

if TYPE_CHECKING:
    import asyncpg

#: Pages of the ledger that are looked at together.
PAGES = 32
#: Days of accounts of one statement.
BATCH = 1_000
#: Accounts whose histories are read at once: each may have as many days as habits are made of.
HISTORIES = 100
#: Accounts whose habits and countries are remembered.
REMEMBERED_MAX = 20_000

_SQL = load_queries(Path(__file__).with_name("sql") / "anomalies.sql")

#: An account and a day.
Place = tuple[str, date]
#: An account, a currency and a day.
Book = tuple[str, str, date]

_NO_HABIT = Habit()


async def touch(connection: Any, counted: Mapping[Cell, Measures]) -> None:
    """Has looked at what a page has decided, in its transaction."""
    touched = {
        (cell.place.account_id, str(cell.day), cell.place.country)
        for cell, measures in counted.items()
        if measures.authorized_minor or measures.declined_count or measures.authorized_count
    }
    if touched:
        await connection.execute(_SQL["touch"], *columns_of(touched))


class Watch:
    """Looks at what was touched. Several processes may; each takes other pages."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock, *, interval_s: int) -> None:
        self._pool = pool
        self._clock = clock
        self._interval_s = interval_s
        self._habits: dict[tuple[str, str], tuple[date, Habit]] = {}
        self._countries: dict[str, dict[str, date]] = {}

    async def run(self) -> None:
        """For ever; no failure ends it."""
        await work_for_ever(self.step, failed="watch_failed", interval_s=self._interval_s)

    async def step(self) -> bool:
        """Looks at some pages; True if there may be more."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["take_touched"], PAGES)
            touched: dict[Place, set[str]] = {}
            for row in rows:
                for account_id, day, country in zip(
                    row["account_ids"], row["days"], row["countries"], strict=True
                ):
                    touched.setdefault((account_id, day), set()).add(country)
            places = sorted(touched)
            try:
                for start in range(0, len(places), BATCH):
                    some = places[start : start + BATCH]
                    await self._look_at(connection, {place: touched[place] for place in some})
            except BaseException:
                # What was remembered may not have been written.
                self._habits.clear()
                self._countries.clear()
                raise
        return len(rows) == PAGES

    async def _look_at(self, connection: Any, touched: Mapping[Place, set[str]]) -> None:
        fresh = await self._new_countries(connection, touched)
        accounts, days = zip(*touched, strict=True)
        suspects = dict[Book, AccountDay]()
        for row in await connection.fetch(_SQL["select_days"], accounts, days):
            account_id, currency, today = row["account_id"], row["currency"], _day(row)
            if fresh.get((account_id, today.day)) or anomaly.may_be_unusual(today, currency):
                suspects[account_id, currency, today.day] = today
        habits = await self._habits_of(connection, suspects)
        found = list[tuple[str, Finding]]()
        for (account_id, currency, day), today in suspects.items():
            habit = habits[account_id, currency, day]
            if not habit.is_known:
                continue
            countries = fresh.get((account_id, day), set())
            attempts = await _attempts(connection, account_id, day, countries)
            found += [
                (account_id, one)
                for one in anomaly.findings(habit, today, currency=currency, new_countries=attempts)
            ]
        if found:
            await self._keep(connection, found)

    async def _keep(self, connection: Any, found: Iterable[tuple[str, Finding]]) -> None:
        """Keeps what is new, and has it told."""
        now_ms = self._clock.now_ms()
        now = datetime_of(now_ms)
        by_id = {
            convert_anomaly.anomaly_id(account_id, one): (account_id, one)
            for account_id, one in found
        }
        rows = await connection.fetch(
            _SQL["insert_anomalies"],
            list(by_id),
            [account_id for account_id, _ in by_id.values()],
            [str(one.kind) for _, one in by_id.values()],
            [convert_anomaly.body(account_id, one) for account_id, one in by_id.values()],
            now,
        )
        events = []
        for row in rows:
            account_id, one = by_id[row["id"]]
            STATS_ANOMALIES.labels(one.kind).inc()
            event = happenings.event_of(row["id"], account_id, one, today=now.date(), now_ms=now_ms)
            if event is not None:
                events.append(event)
        await emit(connection, events)

    async def _habits_of(self, connection: Any, books: Collection[Book]) -> dict[Book, Habit]:
        """What accounts are used to; worked out once a day."""
        found, missing = dict[Book, Habit](), list[Book]()
        for account_id, currency, day in books:
            known_day, habit = self._habits.get((account_id, currency), (None, _NO_HABIT))
            if known_day == day:
                found[account_id, currency, day] = habit
            else:
                missing.append((account_id, currency, day))
        for start in range(0, len(missing), HISTORIES):
            histories: dict[Book, list[AccountDay]] = {
                one: [] for one in missing[start : start + HISTORIES]
            }
            accounts, currencies, days = zip(*histories, strict=True)
            firsts = list(map(anomaly.first_day, days))
            for row in await connection.fetch(
                _SQL["select_histories"], accounts, currencies, firsts, days
            ):
                histories[row["account_id"], row["currency"], row["before"]].append(_day(row))
            found |= {one: anomaly.habit_of(history) for one, history in histories.items()}
        if len(self._habits) >= REMEMBERED_MAX:
            self._habits.clear()
        for account_id, currency, day in missing:
            self._habits[account_id, currency] = (day, found[account_id, currency, day])
        return found

    async def _new_countries(
        self, connection: Any, touched: Mapping[Place, set[str]]
    ) -> dict[Place, set[str]]:
        """The countries in which accounts are used for the first time on that day."""
        named = [
            (account_id, day, country)
            for (account_id, day), countries in touched.items()
            for country in countries
            if country
        ]
        await self._learn_countries(connection, named)
        found: dict[Place, set[str]] = {}
        for account_id, day, country in named:
            if self._countries[account_id][country] >= day:
                found.setdefault((account_id, day), set()).add(country)
        return found

    async def _learn_countries(
        self, connection: Any, named: Iterable[tuple[str, date, str]]
    ) -> None:
        def unknown() -> list[tuple[str, str, date]]:
            return [
                (account_id, country, day)
                for account_id, day, country in named
                if self._countries.get(account_id, {}).get(country, date.max) > day
            ]

        if not unknown():
            return
        if len(self._countries) >= REMEMBERED_MAX:
            self._countries.clear()
        accounts = sorted({one[0] for one in unknown()})
        strangers = [one for one in accounts if one not in self._countries]
        if strangers:
            self._remember(await connection.fetch(_SQL["select_countries"], strangers))
            strangers = [one for one in strangers if one not in self._countries]
        if strangers:
            first = anomaly.first_day(min(day for _, day, _ in named))
            self._remember(await connection.fetch(_SQL["find_countries"], strangers, first))
        if missing := unknown():
            columns = map(list, zip(*missing, strict=True))
            self._remember(await connection.fetch(_SQL["put_countries"], *columns))

    def _remember(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self._countries.setdefault(row["account_id"], {})[row["country"]] = row["first_day"]


async def _attempts(
    connection: Any, account_id: str, day: date, countries: set[str]
) -> dict[str, int]:
    """What was asked for on a day in some countries."""
    if not countries:
        return {}
    rows = await connection.fetch(_SQL["select_attempts"], account_id, day, sorted(countries))
    return {row["country"]: row["attempt_count"] for row in rows if row["attempt_count"]}


def _day(row: Any) -> AccountDay:
    return AccountDay(
        day=row["day"],
        spent_minor=row["spent_minor"],
        approved_count=row["approved_count"],
        declined_count=row["declined_count"],
    )
