"""How fast a topic catches up. `SINK_EVENTS=200000 make test PYTEST="-s …"` measures; otherwise a
few thousand show that pages follow each other.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from notify.settings import NotifySettings
from notify.sinks.kafka import KafkaSink
from notify.sinks.relay import PAGE, Relay
from notify.sinks.wiring import sink_name
from runtime.events.catalogue import CATALOGUE
from runtime.secrets import FileSecrets
from runtime.tasks import beside
from tests.kafka_cluster import cluster_elsewhere
from tests.notify_mesh import COMPANY, NotifyMesh

EVENTS = int(os.environ.get("SINK_EVENTS", "3000"))
ACCOUNTS, PARTITIONS = 10_000, 64
PATIENCE_S = 600

_FILL = """
INSERT INTO event (id, type, sequence, account_id, owner_id, user_id, data, create_time, test)
SELECT 'evt_' || lpad(to_hex(n), 34, '0'), 'authorization.captured', n / $2::bigint + 1,
    'acct_' || lpad(to_hex(n % $2::bigint), 34, '0'), $3, '', $4::json, now(), false
FROM generate_series(0, $1::bigint - 1) AS n
"""


@pytest.mark.timeout(PATIENCE_S + 60)
async def test_a_topic_catches_up(mesh: NotifyMesh) -> None:
    data = json.dumps(CATALOGUE["authorization.captured"].example, separators=(",", ":"))
    await mesh.pool.execute(_FILL, EVENTS, ACCOUNTS, COMPANY, data, timeout=PATIENCE_S)
    stored: int = await mesh.pool.fetchval("SELECT pg_total_relation_size('event')")
    async with cluster_elsewhere("holdfast.events", partitions=PARTITIONS) as bootstrap:
        settings = NotifySettings(
            event_sink="kafka", kafka_bootstrap=bootstrap, kafka_security="plaintext"
        )
        relay = Relay(
            mesh.pool,
            lambda: KafkaSink.of(settings, FileSecrets(Path("/nonexistent"))),
            name=sink_name(settings),
            clock=mesh.clock,
        )
        began, used = time.monotonic(), time.process_time()
        async with asyncio.timeout(PATIENCE_S), beside(relay.run()):
            last = await mesh.pool.fetchval("SELECT max(number) FROM event")
            query = "SELECT max(number) FROM sink_position"
            while await mesh.pool.fetchval(query) != last:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
        took_s, used_s = time.monotonic() - began, time.process_time() - used
    sys.stdout.write(
        f"\n{EVENTS} events in {took_s:.1f} s, {EVENTS / took_s:.0f}/s in pages of {PAGE};"
        f" {used_s / EVENTS * 1e6:.0f} µs of CPU each (relay and client);"
        f" {stored / EVENTS:.0f} bytes each in PostgreSQL\n"
    )
