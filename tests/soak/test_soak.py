"""Everything breaks under load, and every answer is in the ledger, once.

Goal: invariants 1 to 4. Method: a whole mesh, whose services reach Valkey and PostgreSQL through
proxies that delay, cut, drop answers and send everything twice; processes are killed at random,
Valkey is away or read-only now and then, PostgreSQL is away once in one piece. Clients make every
movement through Envoy and repeat a request with its id until it is answered. At the end their log
is the ledger, entry by entry, and nothing differs.
`make soak SECONDS=600` runs it longer, with other faults each time, and prints the report.
"""

from __future__ import annotations

import asyncio
import os
import time

import asyncpg
import pytest

from authz.reconcile import Difference
from authz.reconcile_flow import Reconciler, drain
from authz.reconcile_store import open_store
from runtime import migrations
from runtime.clock import SystemClock
from runtime.log import configure_logging
from tests.soak.faults import EVERYTHING, Faults
from tests.soak.load import Load
from tests.soak.world import World, soak_world

SOAK = "SOAK_SECONDS" in os.environ
SECONDS = float(os.environ.get("SOAK_SECONDS", "18"))
#: PostgreSQL is away this long in one piece: half a minute of a soak, if it is long enough.
AWAY_S = min(30.0, SECONDS / 2) if SOAK else 5.0
#: The same faults in every run of the tests, new ones in every soak.
SEED = int(os.environ.get("SOAK_SEED", int(time.time()) if SOAK else 20_260))
#: In a run of this length everything that can be killed is.
LONG_S = 60.0
#: No process of this load needs nearly as much.
MEMORY_MAX = 400 * 1_000_000
#: Movements that the load makes; what a soak never answered it has not shown.
MOVEMENTS = (
    *("Authorize", "CaptureAuthorization", "ReverseAuthorization", "IncrementAuthorization"),
    *("ExpireAuthorization", "ForcePost", "Refund", "CreditPayment", "ReleasePayment"),
    *("ReturnPayment", "PostEntry", "FreezeCard", "UpdateCreditLimit", "SetCardControls"),
)


async def differences(world: World, load: Load) -> list[str]:
    """What the clients were told and the ledger has not, or vice versa; what does not balance."""
    found: list[Difference] = []
    async with open_store(world.settings) as store:
        left = await drain(store, timeout_s=60)
        await Reconciler(
            store, clock=SystemClock(), settle_timeout_s=30, on_difference=found.append
        ).run()
    dsn = migrations.service_dsn(world.stack.direct, "authz", owner_dsn=world.stack.owner_dsn)
    ledger = await asyncpg.connect(dsn)
    try:
        rows = await ledger.fetch(
            "SELECT request_id, type, amount_minor FROM authz.journal_entry"
            " WHERE type NOT IN ('K', 'L', 'S', 'U')"
        )
        lines = await ledger.fetchval("SELECT sum(amount_minor) FROM authz.journal_line")
    finally:
        await ledger.close()
    settled = {row["request_id"]: (row["type"], row["amount_minor"]) for row in rows}
    told = {request_id: told for request_id, told in load.log.told.items() if told is not None}
    return [
        *([f"{left} entries are not settled"] if left else []),
        *([f"the lines add up to {lines}"] if lines else []),
        *([f"{len(rows) - len(settled)} requests acted twice"] if len(rows) > len(settled) else []),
        *(f"told, not settled: {one}" for one in sorted(told.items() - settled.items())),
        *(f"settled, not told: {one}" for one in sorted(settled.items() - told.items())),
        *(str(one) for one in found),
    ]


def report(world: World, load: Load, faults: Faults, found: list[str]) -> str:
    """What happened, for people."""
    injected = faults.injected + world.valkey.injected + world.postgres.injected
    log = load.log
    lines = [f"seed {SEED}, {SECONDS:.0f} s", "faults injected:"]
    lines += [f"  {count:>8,} {name}" for name, count in sorted(injected.items())]
    lines += ["answers:", *(f"  {n:>8,} {name}" for name, n in sorted(log.answers.items()))]
    lines += ["unknown outcomes, every one resolved by repeating the request:"]
    lines += [f"  {count:>8,} {name}" for name, count in sorted(log.unknown.items())]
    lines += [f"  {log.repeated:>8,} requests repeated; the slowest took {log.slowest_s:.1f} s"]
    lines += [f"authorized while PostgreSQL was away: {faults.authorized_without:,}"]
    lines += [f"most entries that waited for settlement: {faults.waiting_max:,}"]
    lines += ["largest memory:"]
    lines += [f"  {n // 1_000_000:>5} MB {name}" for name, n in sorted(faults.memory_max.items())]
    lines += [f"answers compared with the ledger: {len(log.told):,}"]
    return "\n".join([*lines, f"differences: {len(found)}", *found[:20]])


@pytest.mark.timeout(SECONDS + 240)
async def test_every_answer_is_in_the_ledger_once() -> None:
    """Whatever happens to the processes and between them."""
    # Thousands of refusals are expected: the report is what counts.
    configure_logging(instance="soak", level="CRITICAL", cached=False)
    async with soak_world(SEED) as world:
        load = Load(world=world, seed=SEED)
        await load.open()
        faults = Faults(world=world, log=load.log)
        async with asyncio.TaskGroup() as group:
            for number, act in enumerate(load.clients()):
                group.create_task(load.run(number, act))
            await faults.run(SECONDS, away_s=AWAY_S)
            load.stop.set()
        await world.stack.wait_ready(timeout_s=60)
        found = await differences(world, load)
        print("\n" + report(world, load, faults, found))  # noqa: T201  the report of `make soak`
    assert found == []
    assert faults.authorized_without > 0
    assert faults.waiting_max > 0
    assert max(faults.memory_max.values()) < MEMORY_MAX
    assert load.log.repeated > 0
    assert [name for name in MOVEMENTS if not load.log.answers[name]] == []
    killed = [name for name in EVERYTHING if faults.injected[f"kill -9 {name}"]]
    assert len(killed) >= (len(EVERYTHING) if SECONDS >= LONG_S else len(EVERYTHING) - 2), killed
