"""A Kafka cluster within the process of the test: the mock broker of librdkafka, which speaks the
protocol on sockets of its own. The Python binding does not show what it can be told to do wrong,
so it is called directly.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import confluent_kafka

_PRODUCER = 0
_CONF_OK = 0
#: Kafka's number of the request that stores messages.
_PRODUCE = 0
_TEXT_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A message as a consumer has it."""

    partition: int
    offset: int
    key: str
    value: bytes
    headers: dict[str, str]

    @property
    def event(self) -> dict[str, Any]:
        """What it tells."""
        found: dict[str, Any] = json.loads(self.value)
        return found


def _library() -> ctypes.CDLL:
    """The very library that the binding uses."""
    package = Path(confluent_kafka.__file__).parent
    found = sorted(package.parent.glob("confluent_kafka.libs/librdkafka-*"))
    library = ctypes.CDLL(str(found[0]))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class KafkaCluster:
    """The brokers."""

    def __init__(self, library: ctypes.CDLL, cluster: ctypes.c_void_p, brokers: int) -> None:
        self._library = library
        self._cluster = cluster
        self._brokers = range(1, brokers + 1)
        self.bootstrap: str = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()

    def create_topic(self, name: str, *, partitions: int) -> None:
        """Makes a topic with a replica at each broker."""
        replicas = len(self._brokers)
        self._told("topic_create", name.encode(), partitions, replicas)

    def go_down(self) -> None:
        """No broker takes connections any more; what they have stored stays."""
        for broker in self._brokers:
            self._told("broker_set_down", broker)

    def come_back(self) -> None:
        """All brokers are there again."""
        for broker in self._brokers:
            self._told("broker_set_up", broker)

    def answer_slowly(self, rtt_ms: int) -> None:
        """Every request takes so long from now on."""
        for broker in self._brokers:
            self._told("broker_set_rtt", broker, rtt_ms)

    def refuse(self, errors: Sequence[int]) -> None:
        """The next requests to store messages fail with these, one after the other."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(_PRODUCE), ctypes.c_size_t(len(errors)), codes
        )

    def read(self, topic: str, *, count: int = 0, longest_s: float = 30.0) -> list[Record]:
        """What the topic has, from its beginning: at least so many, and all there are then."""
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "tests",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        offset = confluent_kafka.OFFSET_BEGINNING
        consumer.assign([confluent_kafka.TopicPartition(topic, one, offset) for one in partitions])
        found: list[Record] = []
        ended: set[int] = set()
        deadline = time.monotonic() + longest_s
        while len(found) < count or len(ended) < len(partitions):
            assert time.monotonic() < deadline, f"{len(found)} messages only"
            for message in consumer.consume(500, timeout=0.1):
                if message.error() is not None:
                    ended.add(message.partition() or 0)
                    continue
                ended.discard(message.partition() or 0)
                found.append(_record(message))
        consumer.close()
        return found

    def _told(self, what: str, *arguments: Any) -> None:
        error = getattr(self._library, f"rd_kafka_mock_{what}")(self._cluster, *arguments)
        assert error == 0, f"{what}: {error}"


def _record(message: Any) -> Record:
    return Record(
        partition=message.partition(),
        offset=message.offset(),
        key=message.key().decode(),
        value=message.value(),
        headers={name: value.decode() for name, value in message.headers() or ()},
    )


@contextmanager
def kafka_cluster(*, brokers: int = 3) -> Iterator[KafkaCluster]:
    """A cluster of its own, without topics."""
    library = _library()
    text = ctypes.create_string_buffer(_TEXT_MAX)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    set_up = (b"client.id", b"cluster")
    assert library.rd_kafka_conf_set(conf, *set_up, text, _TEXT_MAX) == _CONF_OK, text.value
    handle = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, conf, text, _TEXT_MAX))
    assert handle, text.value
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(handle, brokers))
    try:
        yield KafkaCluster(library, cluster, brokers)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(handle)


@asynccontextmanager
async def cluster_elsewhere(topic: str, *, partitions: int) -> AsyncIterator[str]:
    """A cluster in a process of its own, so that its CPU is not ours; yields its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.kafka_cluster", topic, str(partitions)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


def main() -> None:
    """Serves until nobody reads any more."""
    with kafka_cluster() as cluster:
        cluster.create_topic(sys.argv[1], partitions=int(sys.argv[2]))
        sys.stdout.write(f"{cluster.bootstrap}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
