"""Scenario: the baselines, with the same generator, the same calls and the same Envoy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from loadtest import messages
from loadtest.drive import Run, drive
from loadtest.job import Target
from loadtest.mesh import LIMIT_MINOR, Mesh
from loadtest.session import DEPTH, Session, line, point, summary
from runtime.devstack import ports, services
from runtime.devstack.services import ServiceSpec
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Plan
from runtime.devstack.temporary import temporary_mesh
from runtime.settings import PARTITIONS

#: Baseline by its name in the document → what `loadtest.baseline_server` calls it.
BASELINES = {
    "empty_grpc_aio": "grpc-aio",
    "empty_native": "native",
    "postgres_hold": "postgres",
}
_SCHEMA = """
CREATE SCHEMA bench;
CREATE TABLE bench.account (
    card_id text PRIMARY KEY, limit_minor bigint NOT NULL, held_minor bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE bench.hold (
    request_id text PRIMARY KEY, card_id text NOT NULL, amount_minor bigint NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
GRANT USAGE ON SCHEMA bench TO holdfast_authz;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA bench TO holdfast_authz;
"""


async def baselines(session: Session) -> None:
    """Each baseline directly and behind Envoy, and latency at shares of its maximum."""
    await _each(session, tuple(BASELINES))


async def empty(session: Session) -> None:
    """Only the empty handlers."""
    await _each(session, ("empty_grpc_aio", "empty_native"))


async def _each(session: Session, names: tuple[str, ...]) -> None:
    found = session.document.setdefault("baseline", {})
    for name in names:
        kind = BASELINES[name]
        async with _serving(kind, workers=session.options.workers) as mesh:
            cards = _cards(session.options.accounts)
            if kind == "postgres":
                await _fill(mesh, cards)
            found[name] = await _measure(session, mesh, name, cards)


async def _measure(session: Session, mesh: Mesh, name: str, cards: list[str]) -> dict[str, Any]:
    """The baseline on its own sockets, then behind the network listener."""
    settings, workers = mesh.stack.settings, session.options.workers
    sockets = [settings.socket_of(f"authz-{number}") for number in range(workers)]
    direct = Target(sockets=tuple(str(socket) for socket in sockets))
    found: dict[str, Any] = {}
    for place, target in (("direct", direct), ("behind Envoy", mesh.network)):
        await _run(mesh, target, cards, depth=DEPTH, seconds=session.options.warmup_s)
        runs = [
            await _run(mesh, target, cards, depth=DEPTH, seconds=session.options.seconds)
            for _ in range(session.options.baseline_runs)
        ]
        for run in runs:
            session.say(f"{name} {place}: {line(run)}")
        measured = summary(runs)
        if target is direct:
            found = measured
            continue
        found["behind_envoy"] = measured
        measured["at_rate"] = []
        for percent in session.options.shares_percent:
            rate = max(int(measured["max_rate"] * percent / 100), 1)
            steps = ((rate, session.options.sweep_seconds),)
            measured["at_rate"].append(point(rate, await _run(mesh, target, cards, steps=steps)))
    return found


async def _run(mesh: Mesh, target: Target, cards: list[str], **fields: Any) -> Run:
    batch = messages.purchases(cards)
    headers = messages.grpc_headers(messages.AUTHORIZE, tls=not target.sockets)
    job = messages.job(target, headers, batch, **fields)
    return await drive(job, batch.tails, watched=mesh.processes)


@asynccontextmanager
async def _serving(kind: str, *, workers: int) -> AsyncIterator[Mesh]:
    """A mesh whose authorizer workers are this baseline."""

    def plan(settings: StackSettings) -> Plan:
        gateway = next(one for one in services.mesh(authz_workers=0) if one.instance == "gateway")
        answering = (
            ServiceSpec(
                instance=f"authz-{number}", arguments=("-m", "loadtest.baseline_server", kind)
            )
            for number in range(workers)
        )
        return Plan(services=(gateway, *answering), ports=ports.choose(settings, first=0))

    async with temporary_mesh(plan, authz_workers=workers) as stack:
        yield Mesh(stack)


def _cards(count: int) -> list[str]:
    return [f"card_{number % PARTITIONS:02x}{number:032x}" for number in range(count)]


async def _fill(mesh: Mesh, cards: list[str]) -> None:
    connection = await asyncpg.connect(mesh.stack.owner_dsn)
    try:
        await connection.execute(_SCHEMA)
        await connection.copy_records_to_table(
            "account",
            schema_name="bench",
            columns=("card_id", "limit_minor"),
            records=[(card, LIMIT_MINOR) for card in cards],
        )
        await connection.execute("ANALYZE bench.account")
    finally:
        await connection.close()
