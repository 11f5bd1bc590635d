"""The usage log against a real PostgreSQL: batches, days, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date

import pytest

from envoy_wire import access_log_pb2 as wire
from gateway import usage_log
from gateway.usage import Paths
from gateway.usage_log import UsageLog
from gateway.usage_store import UsageStore
from runtime.clock import ManualClock
from runtime.metrics import USAGE_DROPPED
from runtime.postgres import connect_pool
from tests.databases import Database

DAY_MS = 86_400_000


@pytest.fixture
async def store(database: Database) -> AsyncIterator[UsageStore]:
    async with await connect_pool(database.settings, "gateway") as pool:
        yield UsageStore(pool)


def message(clock: ManualClock, *, age_ms: int = 0, count: int = 1) -> wire.StreamAccessLogsMessage:
    found = wire.StreamAccessLogsMessage()
    for _ in range(count):
        entry = found.http_logs.log_entry.add()
        entry.common_properties.start_time.FromMilliseconds(clock.now_ms() - age_ms)
    return found


def log(store: UsageStore, clock: ManualClock) -> UsageLog:
    return UsageLog(store, Paths(()), clock, retention_days=2)


async def test_days_come_and_go(store: UsageStore) -> None:
    """Partitions are made ahead; those that are too old are dropped with their rows."""
    clock = ManualClock()
    usage = log(store, clock)
    await usage.keep_days()
    usage.take(message(clock, count=3), listener="edge")
    assert await usage.flush() == 3
    first = date(2027, 1, 15)
    assert await store.keep_days(first, retention_days=2) == 0
    clock.advance(3 * DAY_MS)
    assert await store.keep_days(date(2027, 1, 18), retention_days=2) == 2
    usage.take(message(clock), listener="edge")
    assert await usage.flush() == 1
    assert await store._pool.fetchval("SELECT count(*) FROM usage") == 1


async def test_what_does_not_fit_is_dropped_and_counted(
    store: UsageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full queue, a day without a partition, a database that refuses: each is counted."""
    clock = ManualClock()
    usage = log(store, clock)
    before = USAGE_DROPPED._value.get()
    usage.take(message(clock), listener="edge")
    await usage.flush()
    assert USAGE_DROPPED._value.get() == before + 1, "there is no partition yet"
    await usage.keep_days()
    usage.take(message(clock, age_ms=3 * DAY_MS), listener="edge")
    await usage.flush()
    assert USAGE_DROPPED._value.get() == before + 2, "too old"
    monkeypatch.setattr(usage_log, "QUEUE_MAX", 5)
    usage.take(message(clock, count=8), listener="edge")
    assert USAGE_DROPPED._value.get() == before + 5
    assert await usage.flush() == 5
    assert await store._pool.fetchval("SELECT count(*) FROM usage") == 5


async def test_whoever_follows_misses_nothing(
    store: UsageStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While several write at once: a row that is seen later has a higher id."""
    monkeypatch.setattr(usage_log, "BATCH", 10)
    clock = ManualClock()
    logs = [log(store, clock) for _ in range(3)]
    await logs[0].keep_days()
    for number, usage in enumerate(logs):
        usage.take(message(clock, count=400), listener=str(number))

    async def write(usage: UsageLog) -> None:
        while await usage.flush():
            pass

    seen: list[int] = []

    async def follow() -> None:
        while len(seen) < 1_200:
            seen.extend(row["id"] for row in await store.after(seen[-1] if seen else 0, limit=50))

    async with asyncio.timeout(30):
        await asyncio.gather(follow(), *(write(usage) for usage in logs))
    async with await connect_pool(database.settings, "gateway") as pool:
        rows = await pool.fetch("SELECT id FROM usage ORDER BY id")
    assert seen == [row["id"] for row in rows]
