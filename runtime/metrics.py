"""Prometheus metrics: every name once, with its meaning and unit, and the endpoint that shows them.

The endpoint is a unix socket per process, reached through Envoy's metrics listener as
`/metrics/<process>`; `/ready` answers 200 when the process does its work.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

_LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip

#: Calls answered, by method and status code.
CALLS = Counter("holdfast_calls_total", "Calls answered.", ["method", "code"])
#: Time from the call's arrival in the process to its answer, in seconds.
CALL_SECONDS = Histogram(
    "holdfast_call_seconds", "Time to answer.", ["method"], buckets=_LATENCY_BUCKETS_S
)
#: Authorizations decided, by decision and decline reason.
DECISIONS = Counter("holdfast_decisions_total", "Decisions.", ["decision", "reason"])
#: Answers of the external decision: approved, declined, or why there was none.
EXTERNAL_DECISIONS = Counter(
    "holdfast_external_decisions_total", "Answers of the external decision.", ["answer"]
)
#: Commands per pipeline to the money Valkey.
BATCH_COMMANDS = Histogram(
    "holdfast_batch_commands",
    "Commands per pipeline.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
#: 1 while the authorizer may decide, 0 while the gate is closed.
GATE_OPEN = Gauge("holdfast_gate_open", "1 while the gate is open.")
#: Journal entries settled to PostgreSQL.
SETTLED = Counter("holdfast_settled_entries_total", "Entries settled.")
#: Entries written but not yet settled, by this process's last look.
UNSETTLED = Gauge("holdfast_unsettled_entries", "Entries waiting for settlement.")
#: Partitions that stopped because the journal contradicts the ledger.
PARTITIONS_STOPPED = Gauge("holdfast_partitions_stopped", "Partitions stopped by a contradiction.")
#: Outbox rows waiting to be delivered.
OUTBOX_PENDING = Gauge("holdfast_outbox_pending", "Outbox rows waiting.")


class MetricsServer:
    """A minimal HTTP/1.0 endpoint on a unix socket: GET /metrics and GET /ready."""

    def __init__(self, socket: Path, *, ready: Callable[[], bool]) -> None:
        self._socket = socket
        self._ready = ready
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens; a socket left by a dead process is replaced."""
        self._socket.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._answer, self._socket)
        finally:
            os.umask(previous)

    async def stop(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._socket.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
            status, body = self._page(head.split(b" ", 2)[1].split(b"?")[0])
            writer.write(
                b"HTTP/1.1 %s\r\ncontent-type: text/plain; version=0.0.4\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body))
            )
            writer.write(body)
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, IndexError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    def _page(self, path: bytes) -> tuple[bytes, bytes]:
        if path == b"/metrics":
            return b"200 OK", generate_latest(REGISTRY)
        if path == b"/ready":
            ready = self._ready()
            return (
                (b"200 OK", b"ready\n") if ready else (b"503 Service Unavailable", b"not ready\n")
            )
        return b"404 Not Found", b"see /metrics and /ready\n"
