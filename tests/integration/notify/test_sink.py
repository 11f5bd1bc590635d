"""Events in Kafka: in order for each account, at least once, and never at the cost of others."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.notify.v1 import event_service_pb2 as event_pb
from notify.event_store import EventStore
from notify.settings import NotifySettings
from notify.sinks import relay as relays
from notify.sinks.kafka import CERTIFICATE, CERTIFICATE_KEY, KafkaSink
from notify.sinks.relay import Relay
from notify.sinks.sink import SinkUnavailable
from notify.sinks.wiring import sink_name
from runtime.metrics import SINK_LAG_EVENTS, SINK_LAG_SECONDS
from runtime.secrets import FileSecrets
from runtime.tasks import beside
from tests.kafka_cluster import KafkaCluster, Record, kafka_cluster
from tests.notify_mesh import (
    ACCOUNT,
    ADMIN,
    COMPANY,
    OTHER_ACCOUNT,
    OTHER_COMPANY,
    PERSONAL,
    NotifyMesh,
)
from tests.webhook_receiver import Receiver, receiver

TOPIC, PARTITIONS = "holdfast.events", 8
ACCOUNTS = (ACCOUNT, OTHER_ACCOUNT, PERSONAL)
ENVELOPE = {
    "id",
    "type",
    "timestamp",
    "sequence",
    "account_id",
    "owner_id",
    "user_id",
    "data",
}
#: Kafka's number of a refusal that no repetition mends.
TOPIC_AUTHORIZATION_FAILED = 29
REQUEST_TIMED_OUT, NOT_LEADER = 7, 6


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with kafka_cluster() as found:
        found.create_topic(TOPIC, partitions=PARTITIONS)
        yield found


@pytest.fixture
async def inbox() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


def chosen(cluster: KafkaCluster, **more: Any) -> NotifySettings:
    said = {"kafka_security": "plaintext", **more}
    return NotifySettings(event_sink="kafka", kafka_bootstrap=cluster.bootstrap, **said)


def relay(mesh: NotifyMesh, cluster: KafkaCluster) -> Relay:
    """That of another process, each time."""
    settings, secrets = chosen(cluster), FileSecrets(Path("/nonexistent"))
    return Relay(
        mesh.pool,
        lambda: KafkaSink.of(settings, secrets),
        name=sink_name(settings),
        clock=mesh.clock,
    )


@asynccontextmanager
async def running(mesh: NotifyMesh, cluster: KafkaCluster) -> AsyncIterator[None]:
    async with beside(relay(mesh, cluster).run()):
        yield


async def happened(mesh: NotifyMesh, count: int) -> None:
    """So many events, of each account in turn."""
    for _, account_id in zip(range(count), itertools.cycle(ACCOUNTS), strict=False):
        mesh.freeze(account_id)
    await mesh.caught_up()


async def position(mesh: NotifyMesh) -> int:
    found: int | None = await mesh.pool.fetchval("SELECT number FROM sink_position")
    return found or 0


async def last_number(mesh: NotifyMesh) -> int:
    return await EventStore(mesh.pool).last_number()


async def relayed(mesh: NotifyMesh) -> None:
    """Waits until the sink has everything."""
    async with asyncio.timeout(60):
        while await position(mesh) < await last_number(mesh):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def lagging(*, events: int, seconds: int = 0) -> None:
    """Waits until the metrics say that so much waits, or more; 0: nothing."""
    async with asyncio.timeout(20):
        while True:
            waits, age_s = SINK_LAG_EVENTS._value.get(), SINK_LAG_SECONDS._value.get()
            if (waits >= events and age_s >= seconds) if events else not waits:
                return
            await asyncio.sleep(0.05)


def first_sequences(records: list[Record], account_id: str) -> list[int]:
    """In the order in which they were met for the first time."""
    return list(dict.fromkeys(one.event["sequence"] for one in records if one.key == account_id))


async def test_the_topic_has_what_webhooks_carry(
    mesh: NotifyMesh, cluster: KafkaCluster, inbox: Receiver
) -> None:
    for owner_id in (COMPANY, OTHER_COMPANY):
        await mesh.endpoint(inbox.url(f"/ok/{owner_id}"), owner_id=owner_id)
    await happened(mesh, 120)
    trigger = event_pb.TriggerEventRequest(
        request_id=mesh.request_id(), type="card.frozen", owner_id=COMPANY
    )
    await mesh.events.TriggerEvent(trigger, metadata=ADMIN)
    async with running(mesh, cluster):
        await relayed(mesh)
    await mesh.delivered()
    records = await asyncio.to_thread(cluster.read, TOPIC, count=121)

    assert len(records) == 121, "nothing went wrong, so each came once"
    for account_id in ACCOUNTS:
        assert first_sequences(records, account_id) == list(range(1, 41))
    for key in (*ACCOUNTS, COMPANY):
        assert len({one.partition for one in records if one.key == key}) == 1
    for one in records:
        event = one.event
        assert one.key == (event["account_id"] or event["owner_id"])
        assert one.headers["id"] == event["id"]
        assert one.headers["type"] == event["type"]
        assert one.headers["schema"] == "holdfast.event.v1"
    by_id = {one.headers["id"]: one.value for one in records}
    carried = {one.headers["webhook-id"]: one.body for one in inbox.received}
    assert len(carried) == 81, "the third account is nobody's company's"
    assert all(by_id[event_id] == body for event_id, body in carried.items())
    assert sum(one.event.get("test", False) for one in records) == 1, "it says that it is a test"


async def test_nothing_but_the_catalogue_leaves(mesh: NotifyMesh, cluster: KafkaCluster) -> None:
    mesh.buy()
    mesh.buy("declined")
    await happened(mesh, 3)
    async with running(mesh, cluster):
        await relayed(mesh)

    for one in await asyncio.to_thread(cluster.read, TOPIC, count=5):
        assert set(one.event) == ENVELOPE
        data = json.dumps(one.event["data"])
        assert not re.search(r"(?<![0-9a-f_])[0-9]{12,19}(?![0-9a-f])", data), "no card number"
        assert not re.search(r"pan|cvv|secret|email|phone|name", data)


async def test_brokers_that_are_away_delay_nobody_else(
    mesh: NotifyMesh, cluster: KafkaCluster, inbox: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "LAG_INTERVAL_S", 0.05)
    await mesh.endpoint(inbox.url("/ok"))
    cluster.go_down()
    async with running(mesh, cluster):
        await happened(mesh, 30)
        mesh.clock.advance(5_000)
        assert await mesh.delivered() == 10, "webhooks go on"
        await lagging(events=30, seconds=5)
        assert await position(mesh) == 0
        cluster.come_back()
        await relayed(mesh)
        cluster.go_down()
        await happened(mesh, 30)
        await asyncio.sleep(0.5)
        cluster.come_back()
        await relayed(mesh)
        await lagging(events=0)

    records = await asyncio.to_thread(cluster.read, TOPIC, count=60)
    for account_id in ACCOUNTS:
        assert first_sequences(records, account_id) == list(range(1, 21))


async def test_what_brokers_refuse_comes_again_the_same(
    mesh: NotifyMesh, cluster: KafkaCluster
) -> None:
    await happened(mesh, 90)
    cluster.refuse([NOT_LEADER, REQUEST_TIMED_OUT, TOPIC_AUTHORIZATION_FAILED])
    async with running(mesh, cluster):
        await relayed(mesh)

    records = await asyncio.to_thread(cluster.read, TOPIC, count=90)
    bodies: dict[str, set[bytes]] = {}
    for one in records:
        bodies.setdefault(one.headers["id"], set()).add(one.value)
    assert len(bodies) == 90
    assert all(len(found) == 1 for found in bodies.values()), "the same id, the same bytes"
    for account_id in ACCOUNTS:
        assert first_sequences(records, account_id) == list(range(1, 31))


async def test_one_relays_and_another_takes_over_where_it_was(
    mesh: NotifyMesh, cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "LEAD_INTERVAL_S", 0.05)
    async with running(mesh, cluster):
        async with running(mesh, cluster):
            for _ in range(5):
                await happened(mesh, 30)
                await relayed(mesh)
        await happened(mesh, 30)
        await relayed(mesh)
    await happened(mesh, 30)
    async with running(mesh, cluster):
        await relayed(mesh)

    records = await asyncio.to_thread(cluster.read, TOPIC, count=210)
    assert len(records) == 210, "each once"
    for account_id in ACCOUNTS:
        assert first_sequences(records, account_id) == list(range(1, 71))


async def test_what_the_sink_lacks_is_not_forgotten(
    mesh: NotifyMesh, cluster: KafkaCluster
) -> None:
    store, sink = EventStore(mesh.pool), sink_name(chosen(cluster))
    await happened(mesh, 9)
    later_ms = mesh.clock.now_ms() + 1
    assert await store.forget(before_ms=later_ms, sink=sink) == 0, "it has nothing yet"
    async with running(mesh, cluster):
        await relayed(mesh)
    reached = await position(mesh)
    await happened(mesh, 3)
    later_ms = mesh.clock.now_ms() + 1

    assert await store.forget(before_ms=later_ms, sink=sink) == 9
    assert await position(mesh) == reached
    assert await store.forget(before_ms=later_ms) == 3, "without a sink, nobody waits for them"


def test_a_missing_secret_is_named(cluster: KafkaCluster, tmp_path: Path) -> None:
    settings = chosen(cluster, kafka_security="tls", kafka_sasl="SCRAM-SHA-512")
    with pytest.raises(SinkUnavailable, match="kafka-login is missing") as caught:
        KafkaSink.of(settings, FileSecrets(tmp_path))

    assert caught.value.word == "CONFIGURATION"


def test_a_certificate_that_is_none_is_not_quoted(cluster: KafkaCluster, tmp_path: Path) -> None:
    for name in (CERTIFICATE, CERTIFICATE_KEY):
        (tmp_path / name).write_text("very private words")
    with pytest.raises(SinkUnavailable, match=r"ssl\.certificate\.pem failed") as caught:
        KafkaSink.of(chosen(cluster, kafka_security="tls"), FileSecrets(tmp_path))

    assert "private" not in str(caught.value)


async def test_a_sink_that_cannot_begin_is_tried_again_and_its_lag_is_seen(
    mesh: NotifyMesh, cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "LAG_INTERVAL_S", 0.05)
    monkeypatch.setattr(relays, "PAUSE_S_MAX", 0.1)
    secure = chosen(cluster, kafka_security="tls", kafka_sasl="SCRAM-SHA-512")
    working, secrets = chosen(cluster), FileSecrets(tmp_path)
    tried: list[NotifySettings] = []
    mended = False

    def make() -> KafkaSink:
        tried.append(working if mended else secure)
        return KafkaSink.of(tried[-1], secrets)

    await happened(mesh, 6)
    one = Relay(mesh.pool, make, name=sink_name(working), clock=mesh.clock)
    async with beside(one.run()):
        await lagging(events=6)
        mended = True
        await relayed(mesh)
        await lagging(events=0)

    assert len(tried) > 1
