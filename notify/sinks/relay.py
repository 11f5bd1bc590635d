"""Hands events to a sink that is elsewhere: page by page, in order, from a stored position.

One process does; if it goes, another takes over (an advisory lock, which ends with its connection).
The position is moved once the sink has a page. Who dies in between hands the page over again: every
event at least once, and the first time in order. Nothing else of notify waits for a sink: it has
connections of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from notify.sinks.sink import EventSink, SinkUnavailable
from notify.sinks.store import SinkPositions
from runtime.clock import Clock
from runtime.log import get_logger
from runtime.metrics import SINK_EVENTS, SINK_FAILURES, SINK_LAG_EVENTS, SINK_LAG_SECONDS
from runtime.postgres import UNREACHABLE
from runtime.tasks import beside, work_for_ever

if TYPE_CHECKING:
    import asyncpg

#: Events that are on their way at the same time.
PAGE = 1_000
#: How often is looked whether there are new ones, and whether nobody relays.
POLL_S = 0.1
LEAD_INTERVAL_S = 1.0
#: After a failure: doubled each time, up to.
PAUSE_S_MAX = 30.0
#: How often is looked how far behind the sink is.
LAG_INTERVAL_S = 2.0
#: Connections to PostgreSQL: one for the pages, one to look at the lag.
CONNECTIONS = 2

logger = get_logger()


class Relay:
    """Relays to the sink of this name. `make` makes another one after a failure."""

    def __init__(
        self, pool: asyncpg.Pool, make: Callable[[], EventSink], *, name: str, clock: Clock
    ) -> None:
        self._pool = pool
        self._make = make
        self._name = name
        self._clock = clock
        self._positions = SinkPositions(name)
        self._failures = 0

    async def run(self) -> None:
        """For ever; no failure ends it."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    if await self._positions.take_lead(connection):
                        await self._lead(connection)
            except UNREACHABLE as error:
                logger.warning("sink_waits_for_postgres", error=type(error).__name__)
            except Exception:
                logger.exception("sink_failed", sink=self._name)
            await asyncio.sleep(LEAD_INTERVAL_S)

    async def step(self, connection: Any, sink: EventSink) -> int:
        """Hands one page over; returns how many events it had."""
        position = await self._positions.position(connection)
        events = await self._positions.after(connection, position, limit=PAGE)
        await sink.take(connection, events)
        if not events:
            return 0
        if not await self._positions.move(connection, before=position, after=events[-1].number):
            raise RuntimeError("somebody else relays to the same sink")
        SINK_EVENTS.inc(len(events))
        self._failures = 0
        return len(events)

    async def note_lag(self) -> bool:
        """Shows how far behind the sink is."""
        lag = await self._positions.lag(self._pool)
        SINK_LAG_EVENTS.set(lag.events)
        age_ms = 0 if lag.since_ms is None else self._clock.now_ms() - lag.since_ms
        SINK_LAG_SECONDS.set(max(age_ms, 0) / 1000)
        return False

    async def _lead(self, connection: Any) -> None:
        """Relays as long as the connection lives, and with it the lock."""
        watch = work_for_ever(self.note_lag, failed="sink_lag_unknown", interval_s=LAG_INTERVAL_S)
        try:
            await self._positions.begin(connection)
            logger.info("sink_begins", sink=self._name)
            async with beside(watch):
                while True:
                    pause_s = await self._until_refused(connection)
                    await asyncio.sleep(pause_s)
        finally:
            # The lock ends with the session; pools keep sessions.
            connection.terminate()
            SINK_LAG_EVENTS.set(0)
            SINK_LAG_SECONDS.set(0)

    async def _until_refused(self, connection: Any) -> float:
        """Relays until the sink refuses; returns how long to leave it alone, in seconds."""
        sink: EventSink | None = None
        try:
            sink = self._make()
            while True:
                if not await self.step(connection, sink):
                    await asyncio.sleep(POLL_S)
        except SinkUnavailable as error:
            pause_s = min(2.0 ** min(self._failures, 10), PAUSE_S_MAX)
            self._failures += 1
            SINK_FAILURES.labels(error.word).inc()
            logger.warning("sink_refuses", sink=self._name, because=str(error), again_in_s=pause_s)
            return pause_s
        finally:
            if sink is not None:
                await sink.close()
