"""Scenario: events as fast as they may come, told to endpoints of which some are dead.

Each company has one endpoint, so an event is one delivery. Events are written into the table of
accounts, as accounts writes them beside its changes; what is measured is everything behind it: the
feed, notify, HTTP, up to a receiver that has verified the signature.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from holdfast.notify.v1 import webhook_service_pb2 as pb
from loadtest.errors import BenchFailedError
from loadtest.mesh import Mesh, open_mesh
from loadtest.percentiles import Latency
from loadtest.processes import used_between
from loadtest.profile import Profile, sampled
from loadtest.session import Session
from loadtest.webhook_sink import Kind
from runtime.clock import SystemClock
from runtime.events.catalogue import CATALOGUE, Event
from runtime.events.outbox import emit
from runtime.mesh_client import CALL_TIMEOUT_S, connect
from runtime.queries import load_queries
from runtime.settings import PARTITIONS
from runtime.tasks import end

ENDPOINTS = 50
DEAD = (Kind.SILENT, Kind.SILENT, Kind.ERROR, Kind.RESET, Kind.CLOSED)
#: Of each company; events go to them in turn.
ACCOUNTS = 20
#: A run is so many times as long as those of other scenarios.
_LENGTH = 5
_TICK_S = 0.05
#: What is promised for endpoints that answer.
P95_MAX_MS = 2_000
#: How long is waited for the last one.
_PATIENCE_S = 60.0
_LOOK_S = 0.5
_NOTIFY = "notify"
_CHECKOUT = Path(__file__).resolve().parents[1]
_TYPE = "authorization.captured"

_SQL = load_queries(Path(__file__).with_name("sql") / "webhooks.sql")


async def webhooks(session: Session) -> None:
    """So many events per second as `Options.events_per_s` says."""
    kinds = (*(Kind.TAKEN,) * (ENDPOINTS - len(DEAD)), *DEAD)
    async with open_mesh(workers=1, webhook_networks="127.0.0.0/8") as mesh:
        async with _sink(kinds) as sink:
            await sink.begin(await _endpoints(mesh, await sink.ports()))
            session.document["webhooks"] = await _measured(session, mesh, sink)
        await session.check_books(mesh, "webhooks")


class _Sink:
    """The receivers' process."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, kinds: Any) -> None:
        self._process = process
        self._folder = folder
        self._kinds = kinds

    async def ports(self) -> list[int]:
        """Where each receiver listens."""
        return list((await self._ask({"kinds": list(self._kinds)}))["ports"])

    async def begin(self, secrets: list[str]) -> None:
        """Has what comes verified."""
        await self._ask({"secrets": secrets})

    async def received(self) -> int:
        """How many have come so far."""
        return int((await self._ask({"count": True}))["received"])

    async def ended(self) -> tuple[dict[str, Any], array[float], array[float]]:
        """The report, each event's seconds, and when it was received."""
        report = await self._ask({})
        found = []
        for name in ("seconds", "moments"):
            values: array[float] = array("d")
            values.frombytes((self._folder / name).read_bytes())
            found.append(values)
        return report, found[0], found[1]

    async def _ask(self, document: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(document).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise BenchFailedError("the receivers ended; their error is above")
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def _sink(kinds: tuple[Kind, ...]) -> AsyncIterator[_Sink]:
    with tempfile.TemporaryDirectory(prefix="holdfast-webhooks-") as name:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtest.webhook_sink", name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_CHECKOUT,
        )
        try:
            yield _Sink(process, Path(name), kinds)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _endpoints(mesh: Mesh, ports: list[int]) -> list[str]:
    """An endpoint for each company; returns their secrets."""
    secrets = []
    async with connect(mesh.stack.settings, mesh.stack.ports) as client:
        for number, port in enumerate(ports):
            request = pb.CreateWebhookEndpointRequest(
                request_id=f"bench-{number}",
                owner_id=_company(number),
                url=f"http://127.0.0.1:{port}/hook",
            )
            made = await client.webhooks.CreateWebhookEndpoint(request, timeout=CALL_TIMEOUT_S)
            secrets.append(made.secret)
    return secrets


async def _measured(session: Session, mesh: Mesh, sink: _Sink) -> dict[str, Any]:
    options = session.options
    events = _LENGTH * options.seconds * options.events_per_s
    healthy = sum(number % ENDPOINTS < ENDPOINTS - len(DEAD) for number in range(events))
    peak = _Peak(mesh)
    profile = Profile()
    before, began = mesh.processes.cpu_s(), SystemClock().now_ms() / 1000
    async with sampled(mesh.pid(options.profile), profile):
        watching = asyncio.create_task(peak.watch())
        await _happen(mesh, events, rate=options.events_per_s)
        told_s = SystemClock().now_ms() / 1000 - began
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            if await sink.received() >= healthy:
                break
            await asyncio.sleep(_LOOK_S)
    report, seconds, moments = await sink.ended()
    used = used_between(before, mesh.processes.cpu_s())
    await end(watching)
    for line in profile.lines() if options.profile else ():
        session.say(line)
    if len(seconds) < healthy or any(report[one] for one in ("missing", "badly_signed")):
        raise BenchFailedError(f"webhooks: {len(seconds)} of {healthy} came: {report}")
    latency = Latency.of(seconds)
    each = {name: round(spent * 1e6 / events) for name, spent in used.items()}
    found = {
        "events": events,
        "rate": round(events / told_s, 1),
        "endpoints": ENDPOINTS,
        "dead": len(DEAD),
        "delivered": len(seconds),
        "delivered_rate": round(len(seconds) / (max(moments) - began), 1),
        "last_after_s": round(max(moments) - began - told_s, 2),
        "holds": latency.p95_ms < P95_MAX_MS,
        **asdict(latency),
        "receivers": report,
        "cpu_us_per_event": {**each, "receivers": round(report["cpu_s"] * 1e6 / events)},
        "notify_mb": peak.found(),
        **await _stages(mesh, waiting=events - healthy),
    }
    session.say(
        f"webhooks: {found['rate']:,.0f} events/s to {ENDPOINTS} endpoints, {len(DEAD)} dead:"
        f" p50 {latency.p50_ms:.0f}  p95 {latency.p95_ms:.0f}  p99 {latency.p99_ms:.0f}"
        f"  max {latency.max_ms:.0f} ms; {len(seconds):,} delivered, the last"
        f" {found['last_after_s']} s after the last event; notify {found['notify_mb']} MB;"
        f" CPU µs per event: {found['cpu_us_per_event']}; p95 until taken in"
        f" {found['taken_in_p95_ms']}, from there to the first attempt {found['begun_p95_ms']} ms"
    )
    return found


async def _happen(mesh: Mesh, events: int, *, rate: int) -> None:
    """Writes events at an even pace, whatever becomes of them."""
    connection = await asyncpg.connect(mesh.stack.owner_dsn)
    try:
        await connection.execute("SET search_path TO accounts")
        began, written = time.monotonic(), 0
        while written < events:
            due = min(int((time.monotonic() - began) * rate), events)
            if due > written:
                now_ms = SystemClock().now_ms()
                await emit(connection, [_event(one, now_ms) for one in range(written, due)])
                written = due
            await asyncio.sleep(_TICK_S)
    finally:
        await connection.close()


def _event(number: int, now_ms: int) -> Event:
    company = number % ENDPOINTS
    account = number // ENDPOINTS % ACCOUNTS
    return Event(
        type=_TYPE,
        time_ms=now_ms,
        account_id=f"acct_{company % PARTITIONS:02x}{company:016x}{account:016x}",
        owner_id=_company(company),
        data=CATALOGUE[_TYPE].example,
    )


def _company(number: int) -> str:
    return f"co_{number % PARTITIONS:02x}{number:032x}"


async def _stages(mesh: Mesh, *, waiting: int) -> dict[str, Any]:
    """Where the time went, p95 in ms, and how many deliveries wait: those for the dead, once
    the last are taken in, and the answers of the others written, a moment after they came.
    """
    connection = await asyncpg.connect(mesh.stack.owner_dsn)
    try:
        until = time.monotonic() + _PATIENCE_S
        while True:
            row = await connection.fetchrow(_SQL["stages"])
            if row["waiting"] == waiting or time.monotonic() > until:
                break
            await asyncio.sleep(_LOOK_S)
    finally:
        await connection.close()
    return dict(row)


class _Peak:
    """Memory of notify: before, and the most."""

    def __init__(self, mesh: Mesh) -> None:
        pid = mesh.stack.processes[_NOTIFY].pid
        assert pid is not None, "it runs"
        self._process = psutil.Process(pid)
        self._first = self._highest = self._now()

    async def watch(self) -> None:
        """Looks until it is cancelled."""
        while True:
            self._highest = max(self._highest, self._now())
            await asyncio.sleep(_LOOK_S)

    def found(self) -> dict[str, float]:
        """In MiB."""
        return {
            "before": round(self._first, 1),
            "peak": round(self._highest, 1),
            "after": round(self._now(), 1),
        }

    def _now(self) -> float:
        found: float = self._process.memory_info().rss / 2**20
        return found
