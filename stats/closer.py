"""Closes periods: what they come to is kept as it is, with a number and a version.

A period is closed in two steps. First it is said to be closed, while nobody counts: from then on
whoever counts something for it says so, too (`reopened`). Then its subjects are gone through, some
in each transaction, which also says how far that has come: who dies goes on there. What has come in
since makes another version; closing again what has not changed makes none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg

from holdfast.stats.v1 import stat_pb2 as pb
from runtime import ids
from runtime.clock import Clock, datetime_of
from runtime.log import get_logger
from runtime.metrics import STATS_CLOSED
from runtime.queries import load_queries
from stats import closing, convert
from stats.period import MONDAY, Period, PeriodType, before, period_of
from stats.store import days_of, slices_of

#: How often is looked whether a period is due.
INTERVAL_S, SOON_S = 30.0, 1.0
#: Subjects of one transaction.
BATCH = 100
#: Slices of each breakdown.
TOP = 20
#: By what weeks and months are broken down.
DIMENSIONS = (
    pb.DIMENSION_CATEGORY,
    pb.DIMENSION_MERCHANT,
    pb.DIMENSION_COUNTRY,
    pb.DIMENSION_CHANNEL,
    pb.DIMENSION_CURRENCY,
    pb.DIMENSION_DECLINE_REASON,
)
#: Programmes are in all partitions.
_NO_TAG = "00"

_SQL = load_queries(Path(__file__).with_name("sql") / "closing.sql")

logger = get_logger()


class Closer:
    """Closes what is due. Several processes may; one does at a time. `counted_until_ms` says up to
    when everything that was recorded is counted; None: not known.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        clock: Clock,
        *,
        delay_h: int,
        counted_until_ms: Callable[[], int | None],
        week_start: int = MONDAY,
    ) -> None:
        self._pool = pool
        self._week_start = week_start
        self._clock = clock
        self._delay_ms = delay_h * 3_600_000
        self._counted_until_ms = counted_until_ms

    async def run(self) -> None:
        """For ever; no failure ends it."""
        while True:
            try:
                await self.close_due()
            except asyncpg.SerializationError as error:
                # Who counts, or closes as well, was faster: nothing was closed, and it is looked at
                # again.
                logger.info("closing_overtaken", because=str(error))
                await asyncio.sleep(SOON_S)
                continue
            except Exception:
                logger.exception("closing_failed")
            # Who has just started does not know yet what is counted.
            known = self._counted_until_ms() is not None
            await asyncio.sleep(INTERVAL_S if known else SOON_S)

    async def close_due(self) -> None:
        """Closes everything that is due, and what has come in for what is closed."""
        for kind in PeriodType:
            while await self.step(kind):
                pass
        while await self.correct_some():
            pass

    async def step(self, kind: PeriodType) -> bool:
        """The next step for periods of one length; False if there is none now."""
        async with self._moment() as connection:
            if not await connection.fetchval(_SQL["try_turn"]):
                return False
            row = await connection.fetchrow(_SQL["select_closing"], kind)
            if row is None:
                first = await connection.fetchval(_SQL["select_first_day"])
                if first is None:
                    return False
                await connection.execute(
                    _SQL["insert_closing"], kind, self._period_of(kind, first).start
                )
                return True
            if row["done_until"] is None:
                return await self._begin(connection, kind, row["closed_until"])
            await self._close_some(connection, kind, row["closed_until"], row["done_until"])
        return True

    async def correct_some(self) -> bool:
        """Makes other versions of closed periods for which something has come in; True if there
        may be more.
        """
        now = datetime_of(self._clock.now_ms())
        async with self._moment() as connection:
            rows = await connection.fetch(_SQL["take_reopened"], now, BATCH)
            for row in rows:
                period = self._period_of(PeriodType(row["type"]), row["start_date"])
                await self.close(connection, row["subject_id"], period)
        return len(rows) == BATCH

    async def close(self, connection: Any, subject_id: str, period: Period) -> int:
        """Keeps what a period comes to for a subject, unless that is kept already; returns how
        many versions were added.
        """
        days = await days_of(connection, subject_id, before(period).start, period.end)
        rows = await connection.fetch(_SQL["select_last"], subject_id, period.type, period.start)
        kept = {row["currency"]: row for row in rows}
        currencies = {one.currency for one in days if one.day in period} | kept.keys()
        added = 0
        for currency in sorted(currencies):
            broken_down = period.type is not PeriodType.DAY
            slices = (
                await slices_of(
                    connection,
                    subject_id,
                    period,
                    currency=currency,
                    dimensions=convert.names_of(DIMENSIONS),
                    top=TOP,
                )
                if broken_down
                else ()
            )
            stats = convert.stats_of(
                period,
                days,
                slices,
                currency=currency,
                dimensions=DIMENSIONS if broken_down else (),
            )
            body = stats.SerializeToString(deterministic=True)
            last = kept.get(currency)
            if last is not None and last["body"] == body:
                continue
            version = last["version"] + 1 if last is not None else 1
            await connection.execute(
                _SQL["insert_stat"],
                stat_id(subject_id, period, currency, version),
                subject_id,
                period.type,
                period.start,
                currency,
                version,
                body,
                datetime_of(self._clock.now_ms()),
            )
            STATS_CLOSED.labels(period.type).inc()
            added += 1
        return added

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[Any]:
        """A transaction that sees one moment: totals and what they are broken down by agree, while
        others count. What is counted meanwhile makes another version.
        """
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            yield connection

    def _period_of(self, kind: PeriodType, day: date) -> Period:
        return period_of(kind, day, week_start=self._week_start)

    async def _begin(self, connection: Any, kind: PeriodType, until: date) -> bool:
        """Says that the next period is closed, once it is due."""
        period = closing.next_period(kind, until, week_start=self._week_start)
        counted_until_ms = self._counted_until_ms()
        if counted_until_ms is None:
            return False
        due_ms = closing.due_ms(period, delay_ms=self._delay_ms)
        if due_ms > min(self._clock.now_ms(), counted_until_ms):
            return False
        await connection.execute(_SQL["keep_intake_out"])
        await connection.execute(_SQL["move_closing"], kind, closing.closed_until(period), "")
        return True

    async def _close_some(
        self, connection: Any, kind: PeriodType, until: date, after_subject: str
    ) -> None:
        """Some subjects of the period that is being closed."""
        period = before(closing.next_period(kind, until, week_start=self._week_start))
        rows = await connection.fetch(
            _SQL["list_subjects"], period.start, period.end, after_subject, BATCH
        )
        subjects = [row["subject_id"] for row in rows]
        for subject_id in subjects:
            if closing.closes(subject_id, kind):
                await self.close(connection, subject_id, period)
        done_until = subjects[-1] if len(subjects) == BATCH else None
        await connection.execute(_SQL["move_closing"], kind, until, done_until)


def stat_id(subject_id: str, period: Period, currency: str, version: int) -> str:
    """The id of a closed period: it follows from what it is."""
    tag = _NO_TAG if ids.is_programme_id(subject_id) else ids.tag_of(subject_id)
    return ids.derived(
        ids.STAT,
        tag,
        subject_id,
        period.type,
        period.start.isoformat(),
        currency,
        str(version),
    )
