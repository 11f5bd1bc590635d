"""What happened is written beside what it changed, and handed to `notify` in one order.

A service has the tables `event` and `event_head` in its schema (accounts/sql/migrations/0100). A
transaction adds events with `emit`. They are numbered when `notify` asks for them, in the order of
their ids among those that are committed: nothing that commits late is passed over, and events of
one account follow each other as their changes did, if those held a common row lock.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.clock import Clock, datetime_of
from runtime.events.catalogue import Event, fault_of
from runtime.log import get_logger
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

if TYPE_CHECKING:
    import asyncpg

#: Events of one answer, and those that one answer numbers at most.
PAGE_MAX = 1_000
#: Events that one statement forgets.
FORGET_BATCH = 5_000
#: How long an event waits for `notify`, whatever happens to it, in days.
KEPT_DAYS = 30
#: How often to look for events that are older.
FORGET_INTERVAL_S = 600.0

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "events.sql")

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """An event in the order in which it is handed over."""

    number: int
    type: str
    account_id: str
    owner_id: str
    user_id: str
    #: JSON.
    data: str
    create_time: datetime


async def emit(connection: Any, events: Iterable[Event]) -> None:
    """Adds events in the caller's transaction. Their types are in the catalogue."""
    found = []
    for event in events:
        fault = fault_of(event)
        assert not fault, fault
        found.append(
            (
                event.type,
                event.account_id,
                event.owner_id,
                event.user_id,
                json.dumps(event.data, separators=(",", ":")),
                datetime_of(event.time_ms),
            )
        )
    if found:
        await connection.execute(_SQL["insert_events"], *map(list, zip(*found, strict=True)))


class EventOutbox:
    """Hands events over."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def after(self, number: int, *, limit: int) -> Sequence[Numbered]:
        """Events that follow one, in their order. That there are none is one question."""
        with refusing_when_down():
            there = await self._pool.fetchrow(_SQL["has_events"], number)
            if there["unnumbered"]:
                await self._number()
            elif not there["numbered"]:
                return []
            rows = await self._pool.fetch(_SQL["select_events"], number, min(limit, PAGE_MAX))
        return [Numbered(**dict(row)) for row in rows]

    async def forget(self, *, before_ms: int) -> int:
        """Forgets some of the events that are older; returns how many."""
        tag = await self._pool.execute(_SQL["forget_events"], datetime_of(before_ms), FORGET_BATCH)
        return int(tag.rpartition(" ")[2])

    async def run(self, clock: Clock) -> None:
        """Forgets what notify has had long enough to ask for, for ever; no failure ends it."""
        while True:
            forgotten = 0
            try:
                forgotten = await self.forget(before_ms=clock.now_ms() - KEPT_DAYS * 86_400_000)
            except Exception:
                logger.exception("forget_events_failed")
            await asyncio.sleep(0 if forgotten == FORGET_BATCH else FORGET_INTERVAL_S)

    async def _number(self) -> None:
        """Who numbers holds the head: numbers become visible in their order."""
        async with self._pool.acquire() as connection, connection.transaction():
            last = await connection.fetchval(_SQL["lock_event_head"])
            count = await connection.fetchval(_SQL["number_events"], last, PAGE_MAX)
            await connection.execute(_SQL["move_event_head"], last + count)
