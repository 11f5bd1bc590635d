"""Scenario: every service is restarted, and certificates are rotated, while calls go on: many of
one kind, and some with a session or an API key (`loadtest.rolling_callers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from google.protobuf.message import Message

from holdfast.accounts.v1 import account_service_pb2 as account_pb
from holdfast.gateway.v1 import api_key_service_pb2 as api_key_pb
from holdfast.notify.v1 import event_service_pb2 as event_pb
from holdfast.payments.v1 import payment_service_pb2 as payment_pb
from holdfast.stats.v1 import stats_service_pb2 as stats_pb
from loadtest import messages
from loadtest.drive import DECIDED, Run, drive
from loadtest.mesh import Mesh, open_mesh
from loadtest.rolling_callers import Callers, open_callers
from loadtest.session import Session, line
from runtime import pki
from runtime.mesh_client import TokenSource

RATE = 500
#: Calls before and after; a restart of two workers takes six seconds, on a busy machine more.
_BEFORE_S = 2
_SECONDS = 36
_ROTATIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Which calls go on while something is restarted."""

    method: str
    request: Message


def _reads(account_id: str) -> dict[str, _Target]:
    """Reads of each service; calls of the authorizer and the settler are purchases."""
    return {
        "accounts": _Target(
            method="/holdfast.accounts.v1.AccountService/ListAccounts",
            request=account_pb.ListAccountsRequest(owner_id=f"usr_2a{'0' * 32}", page_size=1),
        ),
        "payments": _Target(
            method="/holdfast.payments.v1.PaymentService/ListPayments",
            request=payment_pb.ListPaymentsRequest(account_id=account_id, page_size=1),
        ),
        "notify": _Target(
            method="/holdfast.notify.v1.EventService/ListEvents",
            request=event_pb.ListEventsRequest(account_id=account_id, page_size=1),
        ),
        "stats": _Target(
            method="/holdfast.stats.v1.StatsService/ListStats",
            request=stats_pb.ListStatsRequest(subject_id=account_id, page_size=1),
        ),
        "gateway": _Target(
            method="/holdfast.gateway.v1.ApiKeyService/ListApiKeys",
            request=api_key_pb.ListApiKeysRequest(page_size=1),
        ),
    }


async def rolling(session: Session) -> None:
    """Counts the calls that fail: there should be none."""
    found: dict[str, Any] = {}
    async with open_mesh(workers=session.options.workers) as mesh:
        cards = await mesh.open_accounts(session.options.accounts_few)
        await mesh.settle()
        async with open_callers(mesh, cards) as callers:
            reads = _reads(callers.account_id)
            during = partial(
                _during,
                _World(session=session, mesh=mesh, cards=cards, callers=callers, reads=reads),
            )
            for name in ("authz", "settler", *reads):
                found[name] = await during(name, partial(mesh.stack.roll, name))
            found["certificates"] = await during("certificates", partial(_rotate, mesh))
        await session.check_books(mesh, "rolling")
    session.document["rolling"] = found


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """Whom calls go to, and who makes them."""

    session: Session
    mesh: Mesh
    cards: list[str]
    callers: Callers
    reads: dict[str, _Target]


async def _during(world: _World, name: str, act: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    """A run, and what is done in it."""
    async with world.callers.calling() as told:
        work = asyncio.create_task(_calls(world, name))
        await asyncio.sleep(_BEFORE_S)
        began = asyncio.get_running_loop().time()
        await act()
        seconds = asyncio.get_running_loop().time() - began
        too_late = work.done()
        # What ended the calls too early is told first.
        run = await work
    assert not too_late, f"{name} took {seconds:.0f} s, longer than the calls lasted"
    failed = {str(status): count for status, count in run.counts.items() if status not in DECIDED}
    world.session.say(f"{name}, in {seconds:.1f} s at {RATE}/s: failed {failed or 0}; {line(run)}")
    lost = dict(told.failed)
    world.session.say(
        f"{name}, with sessions and API keys: {told.calls:,} calls, failed {lost or 0}"
    )
    return {
        "calls": len(run.calls.outcomes),
        "failed": failed,
        "credentialed_calls": told.calls,
        "credentialed_failed": lost,
        "seconds": round(seconds, 2),
        **asdict(run.latency),
    }


async def _calls(world: _World, name: str) -> Run:
    mesh, steps = world.mesh, ((RATE, _SECONDS),)
    if name not in world.reads:
        return await mesh.purchase(world.cards, steps=steps)
    read = world.reads[name]
    token = TokenSource(mesh.stack.settings, roles=("admin",)).token()
    headers = [
        *messages.grpc_headers(read.method, tls=True),
        ("authorization", f"Bearer {token}"),
    ]
    batch = messages.distinct([read.request])
    job = messages.job(mesh.edge, headers, batch, steps=steps)
    return await drive(job, batch.tails, watched=mesh.processes)


async def _rotate(mesh: Mesh) -> None:
    """What `holdfast keys rotate certificates` does, several times; Envoy is told by rename."""
    for _ in range(_ROTATIONS):
        pki.rotate_certificates(mesh.stack.settings)
        await asyncio.sleep(1)
