from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from runtime import outbox
from runtime.metrics import OUTBOX_PENDING
from runtime.outbox import DeliveryFailed, Message, Outbox, Row
from runtime.postgres import connect_pool
from tests.databases import Database


@pytest.fixture
async def pool(accounts_database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await connect_pool(accounts_database.settings, "accounts") as connected:
        yield connected


class Receiver:
    """The other side: notes what it gets; keys in `broken` fail."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.broken: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def deliver(self, row: Row) -> None:
        await self.gate.wait()
        if row.key in self.broken:
            raise DeliveryFailed("broken")
        self.got.append((row.key, row.payload))

    def of(self, key: str) -> list[bytes]:
        return [payload for name, payload in self.got if name == key]


async def _append(pool: asyncpg.Pool, key: str, *payloads: bytes) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for payload in payloads:
            await outbox.append(connection, Message(topic="t", key=key, payload=payload))


async def _rows(pool: asyncpg.Pool) -> int:
    counted: int = await pool.fetchval("SELECT count(*) FROM outbox")
    return counted


async def _release(pool: asyncpg.Pool) -> None:
    """Ends the waits of failed rows."""
    await pool.execute("UPDATE outbox SET due_time = now()")


async def test_rows_of_a_key_are_delivered_in_order_and_then_gone(pool: asyncpg.Pool) -> None:
    receiver = Receiver()
    await _append(pool, "a", b"1", b"2")
    await _append(pool, "b", b"3")
    await _append(pool, "a", b"4")
    done = await Outbox(pool, receiver.deliver).deliver_due()
    assert (done.delivered, done.failed, done.pending) == (4, 0, 0)
    assert receiver.of("a") == [b"1", b"2", b"4"]
    assert receiver.of("b") == [b"3"]
    assert await _rows(pool) == 0


async def test_rolled_back_rows_are_never_delivered(pool: asyncpg.Pool) -> None:
    receiver = Receiver()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await outbox.append(connection, Message(topic="t", key="a", payload=b"1"))
        await transaction.rollback()
    assert (await Outbox(pool, receiver.deliver).deliver_due()).delivered == 0


async def test_failed_row_holds_back_its_key_and_no_other(pool: asyncpg.Pool) -> None:
    receiver = Receiver()
    receiver.broken = {"a"}
    box = Outbox(pool, receiver.deliver)
    await _append(pool, "a", b"1", b"2")
    await _append(pool, "b", b"3")
    done = await box.deliver_due()
    assert (done.delivered, done.failed, done.pending) == (1, 1, 2)
    assert OUTBOX_PENDING._value.get() == 2
    assert receiver.got == [("b", b"3")]
    # Its wait is not over.
    done = await box.deliver_due()
    assert (done.delivered, done.failed, done.pending) == (0, 0, 2)
    receiver.broken.clear()
    await _release(pool)
    assert (await box.deliver_due()).delivered == 2
    assert receiver.of("a") == [b"1", b"2"]


async def test_waits_of_a_failing_row_grow_to_a_limit(pool: asyncpg.Pool) -> None:
    receiver = Receiver()
    receiver.broken = {"a"}
    box = Outbox(pool, receiver.deliver)
    await _append(pool, "a", b"1")
    waits_ms = []
    for _ in range(7):
        await _release(pool)
        await box.deliver_due()
        waits_ms.append(
            await pool.fetchval(
                "SELECT extract(milliseconds FROM due_time - clock_timestamp())::int FROM outbox"
            )
        )
    assert await pool.fetchval("SELECT attempts FROM outbox") == 7
    assert waits_ms[0] <= outbox.RETRY_MS_MIN
    assert outbox.RETRY_MS_MAX / 2 < waits_ms[-1] <= outbox.RETRY_MS_MAX


async def test_two_relays_never_work_on_one_key_at_once(pool: asyncpg.Pool) -> None:
    """The first relay is held in the middle of a key: the second takes other keys only."""
    slow, quick = Receiver(), Receiver()
    slow.gate.clear()
    await _append(pool, "a", b"1", b"2")
    first = asyncio.create_task(Outbox(pool, slow.deliver).deliver_due())
    await asyncio.sleep(0.1)
    await _append(pool, "a", b"3")
    await _append(pool, "b", b"4")
    assert (await Outbox(pool, quick.deliver).deliver_due()).delivered == 1
    assert quick.got == [("b", b"4")]
    slow.gate.set()
    await first
    await Outbox(pool, quick.deliver).deliver_due()
    assert slow.of("a") + quick.of("a") == [b"1", b"2", b"3"]


async def test_rows_of_a_relay_that_died_in_delivery_are_delivered_by_the_next(
    pool: asyncpg.Pool,
) -> None:
    dying, next_one = Receiver(), Receiver()
    dying.gate.clear()
    await _append(pool, "a", b"1", b"2")
    relay = asyncio.create_task(Outbox(pool, dying.deliver).deliver_due())
    await asyncio.sleep(0.1)
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    assert await _rows(pool) == 2
    await Outbox(pool, next_one.deliver).deliver_due()
    assert next_one.of("a") == [b"1", b"2"]


async def test_row_that_commits_late_is_not_skipped(pool: asyncpg.Pool) -> None:
    """A transaction takes the lower id and commits after the higher one was delivered."""
    receiver = Receiver()
    box = Outbox(pool, receiver.deliver)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await outbox.append(connection, Message(topic="t", key="a", payload=b"late"))
        await _append(pool, "a", b"early")
        await box.deliver_due()
        await transaction.commit()
    await box.deliver_due()
    assert receiver.of("a") == [b"early", b"late"]


async def test_wait_is_not_satisfied_by_a_higher_id_alone(pool: asyncpg.Pool) -> None:
    """While the higher id is being delivered, the lower one commits and its writer waits."""
    receiver = Receiver()
    receiver.gate.clear()
    box = Outbox(pool, receiver.deliver)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await outbox.append(connection, Message(topic="t", key="a", payload=b"late"))
        await _append(pool, "a", b"early")
        running = asyncio.create_task(box.deliver_due())
        await asyncio.sleep(0.1)
        await transaction.commit()
    waiting = asyncio.create_task(box.wait_delivered("a", timeout_s=5))
    await asyncio.sleep(0.1)
    receiver.gate.set()
    await running
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await box.deliver_due()
    assert await waiting


async def test_wait_ends_at_once_when_nothing_waits_and_in_time_when_something_does(
    pool: asyncpg.Pool,
) -> None:
    box = Outbox(pool, Receiver().deliver)
    await _append(pool, "b", b"1")
    assert await box.wait_delivered("a", timeout_s=1)
    assert not await box.wait_delivered("b", timeout_s=0.2)
    assert box._watches == {}


async def test_wait_sees_what_another_process_delivers(pool: asyncpg.Pool) -> None:
    mine, theirs = Receiver(), Receiver()
    await _append(pool, "a", b"1")
    waiting = asyncio.create_task(Outbox(pool, mine.deliver).wait_delivered("a", timeout_s=5))
    await asyncio.sleep(0.05)
    await Outbox(pool, theirs.deliver).deliver_due()
    assert await waiting
    assert mine.got == []


async def test_relay_runs_through_failures_of_every_kind(pool: asyncpg.Pool) -> None:
    """Delivery breaks with an unexpected error, then the database connections are cut."""
    receiver = Receiver()
    broken = True

    async def deliver(row: Row) -> None:
        if broken:
            raise RuntimeError("unexpected")
        await receiver.deliver(row)

    box = Outbox(pool, deliver)
    task = asyncio.create_task(box.run())
    await _append(pool, "a", b"1")
    assert not await box.wait_delivered("a", timeout_s=0.3)
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = current_user AND datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    broken = False
    assert await box.wait_delivered("a", timeout_s=5)
    assert receiver.of("a") == [b"1"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_many_rows_of_many_keys_arrive_once_in_order(pool: asyncpg.Pool) -> None:
    """More keys and rows than one round takes, two relays, writers at the same time."""
    receiver = Receiver()
    tasks = [asyncio.create_task(Outbox(pool, receiver.deliver).run()) for _ in range(2)]
    keys = [f"k{number}" for number in range(outbox.KEYS_PER_ROUND + 10)]
    for payload in range(5):
        await asyncio.gather(*(_append(pool, key, b"%d" % payload) for key in keys))
    watcher = Outbox(pool, receiver.deliver)
    assert all([await watcher.wait_delivered(key, timeout_s=10) for key in keys])
    for key in keys:
        assert receiver.of(key) == [b"0", b"1", b"2", b"3", b"4"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
