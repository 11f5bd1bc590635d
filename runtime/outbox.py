"""The transactional outbox: what a transaction decided is delivered to another service, surely.

A row is appended by the transaction that makes the change, and deleted once it was delivered: at
least once, in the order of the ids among the rows of one key. Nothing is skipped when an older id
commits late, because no position is kept: a row waits in the table until it is delivered. Rows of
one key whose order matters must be written under a common row lock, so that ids follow commits.

Who waits for a delivery makes it: `deliver_now` delivers the rows that a transaction has just
committed, beside everything else, and they are deleted behind it. Relays are for the rest: what was
left behind by a dead process, what failed, what nobody waits for. Several (processes) may work on
one table: whoever locks a key's oldest row holds the key until it has delivered. A row may be
delivered twice, and by `deliver_now` before an older one of its key: receivers go by versions. No
NOTIFY: it would make all writers' commits wait for one another.

Each service has its own table `outbox` in its schema (see accounts/sql/migrations).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.identity import current_trace_id
from runtime.log import get_logger
from runtime.metrics import OUTBOX_PENDING
from runtime.queries import load_queries
from runtime.tasks import woken
from runtime.trace import tracing

if TYPE_CHECKING:
    import asyncpg

#: Keys and rows of one round, and how many keys are delivered at the same time.
KEYS_PER_ROUND = 64
ROWS_PER_ROUND = 256
DELIVERIES_AT_ONCE = 16
#: Rows that are delivered now, whose deletion may wait; of more, relays find out by themselves.
DELETIONS_MAX = 10_000
#: One delivery takes at most this long, and a round starts none after this time.
DELIVERY_TIMEOUT_S = 2.0
ROUND_S = 5.0
#: How often a relay looks when nobody wakes it.
POLL_S = 1.0
#: How often a relay looks for rows whose wait is over, and a waiter for what others delivered.
RECHECK_S = 0.1
#: A failed row waits this long, then twice as long, and so on to the longest wait.
RETRY_MS_MIN = 50
RETRY_MS_MAX = 1_000
#: The same for a relay whose rounds fail altogether: the other side is down.
PAUSE_MS_MIN = 50
PAUSE_MS_MAX = 500
#: The pending metric counts no further.
COUNT_MAX = 100_000

_SQL = load_queries(Path(__file__).with_name("sql") / "outbox.sql")

logger = get_logger()


class DeliveryFailed(Exception):
    """A row could not be delivered now; it will be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a transaction wants delivered: `topic` says what it is, `key` what it is ordered by."""

    topic: str
    key: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A message in the table."""

    id: int
    topic: str
    key: str
    payload: bytes
    create_time: datetime
    attempts: int
    #: The call that caused it (runtime.trace); empty: none did.
    trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round did, in rows, and how many are left."""

    delivered: int
    failed: int
    pending: int


@dataclass(slots=True, eq=False)
class _Watch:
    """One waiter: the ids that were delivered since it began to look."""

    delivered: set[int]
    changed: asyncio.Event = field(default_factory=asyncio.Event)


Deliver = Callable[[Row], Awaitable[None]]


async def append(connection: Any, message: Message) -> Row:
    """Adds a row in the caller's transaction. After the commit: `Outbox.deliver_now` or `wake`."""
    trace_id = current_trace_id()
    added = await connection.fetchrow(
        _SQL["append_row"], message.topic, message.key, message.payload, trace_id
    )
    return Row(
        id=added["id"],
        topic=message.topic,
        key=message.key,
        payload=message.payload,
        create_time=added["create_time"],
        attempts=0,
        trace_id=trace_id,
    )


class Outbox:
    """Delivers rows (`run`) and tells when those of a key have been (`wait_delivered`).

    `deliver` must be idempotent; it raises `DeliveryFailed` to be called again later.
    """

    def __init__(self, pool: asyncpg.Pool, deliver: Deliver) -> None:
        self._pool = pool
        self._deliver = deliver
        self._wake = asyncio.Event()
        self._watches: defaultdict[str, set[_Watch]] = defaultdict(set)
        # Delivered in the running round, but perhaps not yet deleted.
        self._delivered: set[int] = set()
        # Delivered by `deliver_now`, and not yet deleted.
        self._delivered_now: set[int] = set()
        self._to_delete = asyncio.Event()
        self._running = False
        self._at_once = asyncio.Semaphore(DELIVERIES_AT_ONCE)

    def wake(self) -> None:
        """Rows were committed: look now."""
        self._wake.set()

    async def pending(self) -> int:
        """Rows that wait for delivery, counted up to COUNT_MAX."""
        counted: int = await self._pool.fetchval(_SQL["count_rows"], COUNT_MAX)
        return counted

    async def wait_delivered(self, key: str, *, timeout_s: float) -> bool:
        """True once all rows of `key` that are committed now were delivered, by whomever."""
        # Registered before the look: what is delivered meanwhile is not missed.
        watch = _Watch(delivered=self._delivered | self._delivered_now)
        self._watches[key].add(watch)
        self.wake()
        try:
            async with asyncio.timeout(timeout_s):
                pending = await self._pending(key)
                while not pending <= watch.delivered:
                    if not await _changed(watch):
                        pending &= await self._pending(key)
        except TimeoutError:
            return False
        finally:
            self._watches[key].discard(watch)
            if not self._watches[key]:
                del self._watches[key]
        return True

    async def deliver_now(self, rows: Sequence[Row], *, timeout_s: float) -> bool:
        """Delivers rows that the caller has just committed, oldest first; False if some are left to
        the relay. Only while `run` runs.
        """
        delivered: list[int] = []
        try:
            async with asyncio.timeout(timeout_s), self._at_once:
                for row in rows if self._running else ():
                    if not await self._deliver_one(row):
                        break
                    delivered.append(row.id)
                    self._tell(row)
        except TimeoutError:
            pass
        if len(self._delivered_now) < DELETIONS_MAX:
            self._delivered_now.update(delivered)
            self._to_delete.set()
        return len(delivered) == len(rows)

    async def run(self) -> None:
        """Delivers for ever; no failure ends it."""
        self._running = True
        try:
            await asyncio.gather(self._relay(), self._delete())
        finally:
            self._running = False

    async def _delete(self) -> None:
        """Removes what was delivered now. If that fails, it is delivered again."""
        while True:
            await self._to_delete.wait()
            self._to_delete.clear()
            ids = list(self._delivered_now)
            try:
                await self._pool.execute(_SQL["delete_free_rows"], ids)
            except Exception:
                logger.exception("outbox_delete_failed")
            self._delivered_now.difference_update(ids)

    async def _relay(self) -> None:
        pause_ms = PAUSE_MS_MIN
        while True:
            self._wake.clear()
            try:
                done = await self.deliver_due()
            except Exception:
                logger.exception("outbox_round_failed")
                done = Round(delivered=0, failed=1, pending=1)
            if done.delivered:
                pause_ms = PAUSE_MS_MIN
            elif done.failed:
                await asyncio.sleep(pause_ms / 1000)
                pause_ms = min(pause_ms * 2, PAUSE_MS_MAX)
            else:
                await woken(self._wake, longest_s=RECHECK_S if done.pending else POLL_S)

    async def deliver_due(self) -> Round:
        """One round: delivers what is due now. That nothing is there is one question."""
        self._delivered.clear()
        if not await self._pool.fetchval(_SQL["has_rows"]):
            OUTBOX_PENDING.set(0)
            return Round(delivered=0, failed=0, pending=0)
        async with self._pool.acquire() as connection, connection.transaction():
            keys = [r["key"] for r in await connection.fetch(_SQL["lock_keys"], KEYS_PER_ROUND)]
            # The locks stay while we deliver, so the connection is held; ROUND_S bounds how long.
            records = await connection.fetch(_SQL["select_rows"], keys, ROWS_PER_ROUND)
            failed = await self._deliver_all(Row(**record) for record in records)
            delivered = list(self._delivered)
            if delivered:
                await connection.execute(_SQL["delete_rows"], delivered)
            if failed:
                await connection.execute(_SQL["postpone_rows"], failed, RETRY_MS_MIN, RETRY_MS_MAX)
            pending: int = await connection.fetchval(_SQL["count_rows"], COUNT_MAX)
        OUTBOX_PENDING.set(pending)
        return Round(delivered=len(delivered), failed=len(failed), pending=pending)

    async def _deliver_all(self, rows: Iterable[Row]) -> list[int]:
        """Delivers keys side by side, rows of a key one after the other; returns failed ids."""
        by_key: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_key[row.key].append(row)
        limit = asyncio.Semaphore(DELIVERIES_AT_ONCE)
        stop_at = asyncio.get_running_loop().time() + ROUND_S
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._deliver_key(rows_of_key, limit=limit, stop_at=stop_at))
                for rows_of_key in by_key.values()
            ]
        return [row_id for task in tasks if (row_id := task.result()) is not None]

    async def _deliver_key(
        self, rows: list[Row], *, limit: asyncio.Semaphore, stop_at: float
    ) -> int | None:
        """Delivers until a row fails, whose id is returned: the ones behind it must wait."""
        loop = asyncio.get_running_loop()
        async with limit:
            for row in rows:
                if loop.time() > stop_at:
                    return None
                if not await self._deliver_one(row):
                    return row.id
                self._delivered.add(row.id)
                self._tell(row)
        return None

    def _tell(self, row: Row) -> None:
        for watch in self._watches.get(row.key, ()):
            watch.delivered.add(row.id)
            watch.changed.set()

    async def _deliver_one(self, row: Row) -> bool:
        try:
            with tracing(row.trace_id):
                async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                    await self._deliver(row)
        except (DeliveryFailed, TimeoutError) as error:
            logger.warning(
                "outbox_delivery_failed",
                topic=row.topic,
                key=row.key,
                attempts=row.attempts + 1,
                trace_id=row.trace_id,
                error=str(error) or "timeout",
            )
            return False
        except Exception:
            logger.exception(
                "outbox_delivery_failed", topic=row.topic, key=row.key, trace_id=row.trace_id
            )
            return False
        return True

    async def _pending(self, key: str) -> set[int]:
        records = await self._pool.fetch(_SQL["select_pending_ids"], key)
        return {record["id"] for record in records}


async def _changed(watch: _Watch) -> bool:
    """Waits for a delivery, but not longer than until the next look."""
    try:
        async with asyncio.timeout(RECHECK_S):
            await watch.changed.wait()
    except TimeoutError:
        return False
    watch.changed.clear()
    return True
