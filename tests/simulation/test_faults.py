"""Connections that break, servers that are away: every answer is in the ledger, once.

Goal: invariants 1 to 4 under faults between the authorizer, Valkey and PostgreSQL. Method: a worker
and a settler reach both through proxies that delay, cut, drop answers and send everything twice;
now and then PostgreSQL is down, or Valkey is away or read-only. Clients repeat a request with its
id until it is answered. At the end their log is the ledger, and nothing differs.
`make soak SECONDS=600` runs it longer and prints the report.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from redis.asyncio import Redis

from authz.reconcile import Difference
from authz.reconcile_flow import Reconciler, drain
from authz.reconcile_store import open_store
from authz.settings import AuthzSettings
from authz.settler import Process, ended
from holdfast.authz.v1 import authorization_pb2 as pb
from runtime import dsn
from runtime.log import configure_logging
from tests.authz_fixtures import ledger, shared_ledger
from tests.authz_mesh import NETWORK, AuthzMesh, authz_mesh, capture_of, purchase, reversal_of
from tests.authz_messages import refund_of
from tests.databases import Database
from tests.fault_proxy import FaultProxy, fault_proxy

__all__ = ["ledger", "shared_ledger"]

SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))
#: The same faults in every run of the tests, new ones in every soak.
SEED = int(
    os.environ.get("SOAK_SEED", int(time.time()) if "SOAK_SECONDS" in os.environ else 20_260)
)
ACCOUNTS = 6
CLIENTS = 12
LIMIT_MINOR = 2_000_000
#: A request is repeated until it is answered; no fault lasts this long.
PATIENCE_S = 40.0
AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


@dataclass(slots=True, kw_only=True)
class World:
    """An authorizer behind two bad networks."""

    mesh: AuthzMesh
    money: Redis
    valkey: FaultProxy
    postgres: FaultProxy
    random: random.Random
    settings: AuthzSettings
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    #: request id → (type of entry, amount) as it was answered.
    told: dict[str, tuple[str, int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    async def send(self, method: Any, request: Any) -> Any:
        """Repeats a request with its id until it is answered."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await method(request, metadata=NETWORK, timeout=5)
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN or time.monotonic() > until:
                    raise
                self.counts[f"repeated: {error.code().name}"] += 1
                await asyncio.sleep(0.05)
            else:
                self.counts[f"answered: {type(request).__name__.removesuffix('Request')}"] += 1
                return answer


@pytest.fixture
async def world(ledger: Database, money: Redis) -> AsyncIterator[World]:
    base = ledger.settings
    url, postgres_dsn = base.redis_url or "", base.postgres_dsn or ""
    server = Path(parse_qs(urlsplit(postgres_dsn).query)["host"][0])
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp")))
        name = ".s.PGSQL.5432"
        valkey = await stack.enter_async_context(
            fault_proxy(
                "valkey", listens=folder / "v.sock", target=Path(urlsplit(url).path), seed=SEED
            )
        )
        postgres = await stack.enter_async_context(
            fault_proxy("postgres", listens=folder / name, target=server / name, seed=SEED + 1)
        )
        settings = base.model_copy(
            update={
                "redis_url": f"unix://{folder / 'v.sock'}",
                "postgres_dsn": dsn.with_parameters(postgres_dsn, host=str(folder)),
            }
        )
        mesh = await stack.enter_async_context(
            authz_mesh(replace(ledger, settings=settings), money)
        )
        direct = AuthzSettings(
            home=base.home, run_dir=folder, postgres_dsn=postgres_dsn, redis_url=url
        )
        yield World(
            mesh=mesh,
            money=money,
            valkey=valkey,
            postgres=postgres,
            random=random.Random(SEED + 2),
            settings=direct,
        )
        await money.replicaof("NO", "ONE")


async def shop(world: World, card: str, name: str) -> None:
    """Purchases; then a clearing, a reversal, a refund, or nothing."""
    chooser, api = random.Random(f"{SEED}{name}"), world.mesh.authorization
    number = 0
    while not world.stop.is_set():
        number += 1
        key, amount = f"{name}-{number}", chooser.randint(1, 5_000)
        answer = await world.send(api.Authorize, purchase(card, amount, f"{key}-a"))
        if answer.decision == pb.DECISION_DECLINED:
            world.told[f"{key}-a"] = ("D", 0)
            continue
        world.told[f"{key}-a"] = ("A", answer.approved_amount.amount_minor)
        held, what = answer.authorization_id, chooser.randrange(4)
        if what == 0:
            answer = await world.send(api.ReverseAuthorization, reversal_of(held, None, f"{key}-r"))
            world.told[f"{key}-r"] = ("R", answer.released_amount.amount_minor)
        if what > 1:
            clearing = capture_of(held, amount, f"{key}-c", final=True)
            clearing.clearing_reference = key
            answer = await world.send(api.CaptureAuthorization, clearing)
            world.told[f"{key}-c"] = ("C", answer.posted_amount.amount_minor)
        if what > 2:
            back = refund_of(held, amount)
            back.request_id = f"{key}-n"
            answer = await world.send(api.Refund, back)
            world.told[f"{key}-n"] = ("N", answer.posted_amount.amount_minor)


async def _bad_network(world: World, pause_s: float) -> None:
    """Both connections are bad, each in its own way."""
    world.valkey.set(delay=0.1, cut=0.02, drop=0.02, duplicate=0.5)
    world.valkey.cut_all()
    world.postgres.set(delay=0.1, cut=0.01, drop=0.01)
    await asyncio.sleep(pause_s)


async def _postgres_down(world: World, pause_s: float) -> None:
    """Authorizing goes on."""
    world.valkey.set(delay=0.05)
    world.postgres.set(down=True)
    before = world.counts["answered: Authorize"]
    await asyncio.sleep(pause_s)
    world.counts["authorized while PostgreSQL was down"] += (
        world.counts["answered: Authorize"] - before
    )


async def _valkey_down(world: World, pause_s: float) -> None:
    """Nobody gets an answer, and nobody a wrong one."""
    world.valkey.set(down=True)
    await asyncio.sleep(min(pause_s, 1.0))


async def _read_only(world: World, pause_s: float) -> None:
    """Valkey turns into a replica of nobody: every write is refused."""
    world.valkey.set()
    await world.money.replicaof("127.0.0.1", "1")
    world.valkey.injected["valkey read-only"] += 1
    await asyncio.sleep(min(pause_s, 1.0))
    await world.money.replicaof("NO", "ONE")


async def disturb(world: World) -> None:
    """One fault after the other, with calm between them."""
    faults: tuple[Callable[[World, float], Any], ...] = (
        _bad_network,
        _postgres_down,
        _read_only,
        _valkey_down,
    )
    until = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < until:
        await faults[number % len(faults)](world, world.random.uniform(1.0, 2.5))
        number += 1
        world.valkey.set()
        world.postgres.set()
        await asyncio.sleep(0.4)


async def _ticking(world: World) -> None:
    while True:
        await asyncio.sleep(0.05)
        world.mesh.clock.advance(50)


async def differences(world: World) -> list[str]:
    """What the clients were told and the ledger has not, or vice versa; what does not balance."""
    found: list[Difference] = []
    async with open_store(world.settings) as store:
        left = await drain(store, timeout_s=30)
        await Reconciler(
            store, clock=world.mesh.clock, settle_timeout_s=10, on_difference=found.append
        ).run()
    rows = await world.mesh.ledger.fetch(
        "SELECT request_id, type, amount_minor FROM journal_entry"
        " WHERE type NOT IN ('K', 'L', 'S', 'U')"
    )
    settled = {row["request_id"]: (row["type"], row["amount_minor"]) for row in rows}
    told = world.told.items() ^ settled.items()
    return [
        *([f"{left} entries are not settled"] if left else []),
        *([f"{len(rows) - len(settled)} requests acted twice"] if len(rows) > len(settled) else []),
        *(f"told or settled, not both: {one}" for one in sorted(told)),
        *(str(one) for one in found),
    ]


@pytest.mark.timeout(SECONDS + 120)
async def test_every_answer_is_in_the_ledger_once(world: World) -> None:
    """Whatever happens between the processes."""
    if "SOAK_SECONDS" in os.environ:
        # Thousands of refusals are expected: the report is what counts.
        configure_logging(instance="soak", level="CRITICAL")
    cards = [
        await world.mesh.issue_card(await world.mesh.open_account(LIMIT_MINOR, partition=number))
        for number in range(ACCOUNTS)
    ]
    process = Process(world.mesh.settings)
    background = [asyncio.create_task(process.run()), asyncio.create_task(_ticking(world))]
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(shop(world, cards[number % ACCOUNTS], f"soak-{number}"))
            await disturb(world)
            world.stop.set()
        found = await differences(world)
    finally:
        for task in background:
            await ended(task)
    injected = world.valkey.injected + world.postgres.injected
    report = [f"seed {SEED}, {SECONDS:.0f} s", "faults injected:"]
    report += [f"  {count:>8,} {name}" for name, count in sorted(injected.items())]
    report += ["answers:", *(f"  {n:>8,} {name}" for name, n in sorted(world.counts.items()))]
    report += [f"differences: {len(found)}", *found[:20]]
    print("\n" + "\n".join(report))  # noqa: T201  the report of `make soak`
    assert found == []
    assert world.counts["authorized while PostgreSQL was down"] > 0
    assert injected["valkey duplicate"] + injected["valkey cut"] + injected["valkey drop"] > 0
