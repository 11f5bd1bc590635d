"""The usage log: takes what Envoy tells of requests, and writes it in batches.

Statistics, not an audit: Envoy drops entries while nobody takes them, and so do we when the queue
is full or PostgreSQL is away. Ours are counted (`holdfast_usage_dropped_total`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta

from envoy_wire import access_log_pb2 as wire
from gateway.usage import Paths, UsageRow, row_of
from gateway.usage_store import UsageStore
from runtime.clock import Clock, datetime_of
from runtime.log import get_logger
from runtime.metrics import USAGE_DROPPED

#: Rows that wait for PostgreSQL: a minute of 500 requests a second.
QUEUE_MAX = 30_000
BATCH = 2_000
FLUSH_INTERVAL_S = 1.0
#: Partitions are looked after this often; they are made two days ahead.
KEEP_INTERVAL_S = 3_600.0

logger = get_logger()


class UsageLog:
    """Takes entries, and writes them (`run`)."""

    def __init__(
        self, store: UsageStore, paths: Paths, clock: Clock, *, retention_days: int
    ) -> None:
        self._store = store
        self._paths = paths
        self._clock = clock
        self._retention_days = retention_days
        self._queue: deque[UsageRow] = deque()

    def take(self, message: wire.StreamAccessLogsMessage, *, listener: str) -> None:
        """Queues what there is room for."""
        entries = message.http_logs.log_entry
        room = QUEUE_MAX - len(self._queue)
        if len(entries) > room:
            USAGE_DROPPED.inc(len(entries) - room)
        for entry in entries[:room]:
            self._queue.append(row_of(entry, listener=listener, paths=self._paths))

    async def flush(self) -> int:
        """Writes one batch; returns how many rows it was. A batch that fails is dropped."""
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
        # Partitions are there for yesterday to the day after tomorrow.
        now = datetime_of(self._clock.now_ms())
        rows = [row for row in batch if abs(row.start_time - now) < timedelta(days=1)]
        if len(rows) < len(batch):
            USAGE_DROPPED.inc(len(batch) - len(rows))
        if rows:
            await self._write(rows)
        return len(batch)

    async def keep_days(self) -> None:
        """Makes the partitions that are needed next, drops old ones."""
        today = datetime_of(self._clock.now_ms()).date()
        dropped = await self._store.keep_days(today, retention_days=self._retention_days)
        if dropped:
            logger.info("usage_days_dropped", days=dropped)

    async def run(self) -> None:
        """Writes for ever; no failure ends it."""
        loop = asyncio.get_running_loop()
        keep_at = 0.0
        while True:
            if loop.time() >= keep_at:
                try:
                    await self.keep_days()
                    keep_at = loop.time() + KEEP_INTERVAL_S
                except Exception as error:  # noqa: BLE001 - tried again with the next batch
                    logger.warning("usage_days_not_kept", error=f"{type(error).__name__}: {error}")
            if await self.flush() < BATCH:
                await asyncio.sleep(FLUSH_INTERVAL_S)

    async def _write(self, rows: list[UsageRow]) -> None:
        try:
            await self._store.write(rows)
        except Exception as error:  # noqa: BLE001 - statistics give way to everything else
            USAGE_DROPPED.inc(len(rows))
            logger.warning(
                "usage_dropped", rows=len(rows), error=f"{type(error).__name__}: {error}"
            )
