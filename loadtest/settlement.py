"""Scenario: how far the ledger is behind, and how fast it catches up."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import Sequence

from authz.reconcile_store import ReconcileStore, open_store
from loadtest.authorize import opened
from loadtest.mesh import Mesh, open_mesh
from loadtest.percentiles import Latency
from loadtest.processes import used_between
from loadtest.session import DEPTH, Session
from runtime.settings import PARTITIONS
from runtime.tasks import end

_SETTLER = "settler"
#: Between two looks at how far the ledger is: the lag is known that exactly.
_LOOK_S = 0.05
_LAG_SHARE_PERCENT = 50


async def settlement(session: Session) -> None:
    """The lag at half the maximum rate; then the settler stands still, and catches up."""
    options = session.options
    async with open_mesh(workers=options.workers) as mesh:
        cards = await opened(session, mesh, options.accounts)
        known = await mesh.purchase(cards, depth=DEPTH, seconds=options.warmup_s)
        rate = max(int(known.rate_per_s * _LAG_SHARE_PERCENT / 100), 1)
        lag = await _lag(mesh, cards, rate=rate, seconds=options.seconds)
        session.say(f"settlement lag at {rate:,}/s: p50 {lag.p50_ms:.0f}  p99 {lag.p99_ms:.0f} ms")
        session.document["settlement"] = {
            "lag_rate": rate,
            "lag_p50_ms": lag.p50_ms,
            "lag_p99_ms": lag.p99_ms,
            **await _drain(session, mesh, cards),
        }
        await session.check_books(mesh, "settlement")


async def _lag(mesh: Mesh, cards: Sequence[str], *, rate: int, seconds: int) -> Latency:
    """From an entry's being in the journal to its being in the ledger, by looking."""
    async with open_store(mesh.stack.settings) as store:
        lags: list[float] = []
        looking = asyncio.create_task(_look(store, lags))
        await mesh.purchase(cards, steps=((rate, seconds),))
        await end(looking)
    return Latency.of(lags)


async def _look(store: ReconcileStore, lags: list[float]) -> None:
    waiting: list[deque[tuple[float, int]]] = [deque() for _ in range(PARTITIONS)]
    last = [place.pseq if place else 0 for place in await store.places()]
    while True:
        seen = time.perf_counter()
        for partition, place in enumerate(await store.places()):
            if place is not None and place.pseq > last[partition]:
                last[partition] = place.pseq
                waiting[partition].append((seen, place.pseq))
        settled = await store.partitions()
        now = time.perf_counter()
        for queue, state in zip(waiting, settled, strict=True):
            while queue and queue[0][1] <= state.place.pseq:
                lags.append(now - queue.popleft()[0])
        await asyncio.sleep(_LOOK_S)


async def _drain(session: Session, mesh: Mesh, cards: Sequence[str]) -> dict[str, float]:
    """Load with the settler stopped; then how many entries it settles per second, alone."""
    mesh.stack.kill(_SETTLER, signal.SIGSTOP)
    try:
        length_s = 2 * session.options.seconds
        run = await mesh.purchase(cards, settle=False, depth=DEPTH, seconds=length_s)
        before, began = mesh.processes.cpu_s(), time.perf_counter()
    finally:
        mesh.stack.kill(_SETTLER, signal.SIGCONT)
    left = await mesh.settle()
    seconds = time.perf_counter() - began
    used = used_between(before, mesh.processes.cpu_s())
    entries = run.decided - left
    rate = entries / seconds
    session.say(f"settler: {entries:,} entries that had waited, {rate:,.0f} per second")
    per_entry = 1e6 / max(entries, 1)
    return {
        "drain_entries": entries,
        "drain_rate": round(rate, 1),
        "drain_settler_us": round(used["settler"] * per_entry, 1),
        "drain_postgres_us": round(used["postgres"] * per_entry, 1),
    }
