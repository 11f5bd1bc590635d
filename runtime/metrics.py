"""Prometheus metrics: every name once, with its meaning and unit, and the endpoint that shows them.

The endpoint is a unix socket per process, reached through Envoy's metrics listener as
`/metrics/<process>`; `/ready` answers 200 when the process does its work.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

_LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip


class CallTimes(Collector):
    """Calls answered, by method and status code, and the time from a call's arrival in the process
    to its answer, in seconds. Counted in plain numbers, and put together when somebody asks: the
    library's own counters take as long as a decision.
    """

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def record(self, method: str, code: str, seconds: float) -> None:
        """One call."""
        key = (method, code)
        self._codes[key] = self._codes.get(key, 0) + 1
        buckets = self._buckets.get(method)
        if buckets is None:
            buckets = self._buckets[method] = [0] * (len(_LATENCY_BUCKETS_S) + 1)
        buckets[bisect_left(_LATENCY_BUCKETS_S, seconds)] += 1
        self._seconds[method] = self._seconds.get(method, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """Called by the library."""
        calls = CounterMetricFamily(
            "holdfast_calls_total", "Calls answered.", labels=["method", "code"]
        )
        # Copies: another thread may add to them meanwhile.
        for key, count in list(self._codes.items()):
            calls.add_metric(list(key), count)
        yield calls
        times = HistogramMetricFamily("holdfast_call_seconds", "Time to answer.", labels=["method"])
        bounds = [*map(str, _LATENCY_BUCKETS_S), "+Inf"]
        for method, buckets in list(self._buckets.items()):
            counts = list(zip(bounds, accumulate(buckets), strict=True))
            times.add_metric([method], counts, self._seconds[method])
        yield times


#: The calls of this process.
CALL_TIMES = CallTimes()
REGISTRY.register(CALL_TIMES)
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
#: Calls of the edge refused because a limit was used up, by what it counts.
LIMITED_CALLS = Counter("holdfast_limited_calls_total", "Calls over a limit.", ["counted"])
#: Keys that the cache Valkey gave up for want of memory since it started: limits go first.
CACHE_EVICTED = Gauge("holdfast_cache_evicted_keys", "Keys evicted by the cache Valkey.")
#: Memory of the cache Valkey that is used, of what it may have; 0 if it has no limit.
CACHE_MEMORY_USED = Gauge("holdfast_cache_memory_used_ratio", "Used memory of the cache Valkey.")
#: 1 while the authorizer may decide, 0 while the gate is closed.
GATE_OPEN = Gauge("holdfast_gate_open", "1 while the gate is open.")
#: Journal entries settled to PostgreSQL.
SETTLED = Counter("holdfast_settled_entries_total", "Entries settled.")
#: Entries written but not yet settled, by this process's last look.
UNSETTLED = Gauge("holdfast_unsettled_entries", "Entries waiting for settlement.")
#: Partitions that stopped because the journal contradicts the ledger.
PARTITIONS_STOPPED = Gauge("holdfast_partitions_stopped", "Partitions stopped by a contradiction.")
#: Payments, each time one becomes something else, by source and what it has become.
PAYMENTS = Counter("holdfast_payments_total", "Payments by state.", ["source", "state"])
#: Refunds of credit balances, the same.
REFUNDS = Counter("holdfast_refunds_total", "Refunds by state.", ["source", "state"])
#: Outbox rows waiting to be delivered.
OUTBOX_PENDING = Gauge("holdfast_outbox_pending", "Outbox rows waiting.")
#: Events taken in by notify, by type.
EVENTS = Counter("holdfast_events_total", "Events.", ["type"])
#: Webhooks sent, by what became of the delivery.
WEBHOOK_ATTEMPTS = Counter("holdfast_webhook_attempts_total", "Webhooks sent.", ["state"])
#: How long endpoints took to answer, in seconds.
WEBHOOK_SECONDS = Histogram(
    "holdfast_webhook_seconds", "Time of an endpoint.", buckets=(0.01, 0.05, 0.2, 1, 5, 10, 30)
)
#: Events that the event sink has (Kafka).
SINK_EVENTS = Counter("holdfast_sink_events_total", "Events that the event sink has.")
#: What its client says is wrong, by the name of the error; it goes on by itself.
SINK_FAILURES = Counter("holdfast_sink_failures_total", "Failures of the event sink.", ["error"])
#: Events that the event sink does not have yet, about.
SINK_LAG_EVENTS = Gauge("holdfast_sink_lag_events", "Events that wait for the event sink.")
#: How long ago the oldest of them happened.
SINK_LAG_SECONDS = Gauge("holdfast_sink_lag_seconds", "Age of the oldest event that waits for it.")
#: Notifications of users, by channel and what became of them; DELAYED: each try that failed.
NOTIFICATIONS = Counter(
    "holdfast_notifications_total", "Notifications of users.", ["channel", "state"]
)
#: Entries of the ledger counted by stats.
STATS_ENTRIES = Counter("holdfast_stats_entries_total", "Ledger entries counted.")
#: How long after it was recorded the last entry was counted by stats.
STATS_LAG = Gauge("holdfast_stats_lag_seconds", "Age of the last entry when it was counted.")
#: How long after it began the last request of the usage log was counted by stats.
STATS_USAGE_LAG = Gauge(
    "holdfast_stats_usage_lag_seconds", "Age of the last request when it was counted."
)
#: Closed periods written by stats, by length.
STATS_CLOSED = Counter("holdfast_stats_closed_total", "Closed periods written.", ["type"])
#: Reports that were made, or could not be, by format and state.
STATS_REPORTS = Counter("holdfast_stats_reports_total", "Reports made.", ["format", "state"])
#: Days of accounts that were found to be unusual, by kind.
STATS_ANOMALIES = Counter("holdfast_stats_anomalies_total", "Unusual days found.", ["kind"])
#: Requests at the edge that the usage log lacks.
USAGE_DROPPED = Counter("holdfast_usage_dropped_total", "Usage rows dropped.")
#: Audit entries that wait in a file, because PostgreSQL could not be used.
AUDIT_SET_ASIDE = Counter("holdfast_audit_set_aside_total", "Audit entries that had to wait.")
#: Audit entries that only this process's log has: nor could the file.
AUDIT_UNWRITTEN = Counter("holdfast_audit_unwritten_total", "Audit entries not in the table.")

#: Refusals of Envoy's that the audit log has in a sum only: too many in one minute.
REFUSALS_SUMMED = Counter("holdfast_refusals_summed_total", "Refusals told in a sum.")


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
