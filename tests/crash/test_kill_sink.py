"""kill -9 of notify while events go to Kafka: each is there at least once, the first time in the
order of its account, and what is there twice is the same to the byte.

Method: notify as a process of its own; events happen all the time. Brokers store at once and say so
late, so notify is killed when some events are stored and their position is not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import asyncpg
import pytest

from tests.crash.test_kill_notify import ACCOUNTS, PATIENCE_S, World, world
from tests.databases import Database
from tests.kafka_cluster import KafkaCluster, kafka_cluster

__all__ = ["world"]

TOPIC = "holdfast.events"
KILLS, PER_KILL = 4, 120
ANSWER_MS = 200
EVERY_S = 0.005


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with kafka_cluster() as found:
        found.create_topic(TOPIC, partitions=8)
        found.answer_slowly(ANSWER_MS)
        yield found


@pytest.mark.timeout(300)
async def test_notify_killed_amid_events_for_kafka(
    world: World,
    cluster: KafkaCluster,
    database: Database,
) -> None:
    await world.kill()
    world.environment |= {
        "HOLDFAST_EVENT_SINK": "kafka",
        "HOLDFAST_KAFKA_BOOTSTRAP": cluster.bootstrap,
        "HOLDFAST_KAFKA_SECURITY": "plaintext",
    }
    await world.start()
    total = (KILLS + 1) * PER_KILL
    connection = await asyncpg.connect(database.dsn("notify"))

    async def relayed(count: int) -> None:
        """Waits until so many are known to be there."""
        deadline = time.monotonic() + PATIENCE_S
        while (await connection.fetchval("SELECT max(number) FROM sink_position") or 0) < count:
            assert time.monotonic() < deadline, "nothing goes on"
            await asyncio.sleep(0.01)

    async def happening() -> None:
        for number in range(total):
            world.accounts.freeze(ACCOUNTS[number % len(ACCOUNTS)])
            await asyncio.sleep(EVERY_S)

    others = asyncio.create_task(happening())
    for number in range(KILLS):
        await relayed(number * PER_KILL + 20)
        # A page has just ended: the next one is stored meanwhile, and its answer is on its way.
        await asyncio.sleep(ANSWER_MS / 2_000)
        await world.kill()
        await world.start()
    await others
    await relayed(total)
    await connection.close()
    records = await asyncio.to_thread(cluster.read, TOPIC, count=total)

    assert len(records) > total, "the kills must have been felt"
    values: dict[str, set[bytes]] = {}
    for one in records:
        values.setdefault(one.headers["id"], set()).add(one.value)
    assert len(values) == total, "none is lost"
    assert all(len(found) == 1 for found in values.values())
    for account_id in ACCOUNTS:
        mine = [one.event["sequence"] for one in records if one.key == account_id]
        assert list(dict.fromkeys(mine)) == list(range(1, total // len(ACCOUNTS) + 1))
