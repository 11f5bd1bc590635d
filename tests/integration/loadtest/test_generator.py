"""The generator's process against real gRPC servers on a unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pygrpc_native.aio
import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import authorization_service_pb2_grpc as rpc_grpc
from loadtest import messages
from loadtest.baseline_server import Servicer
from loadtest.drive import Run, drive
from loadtest.job import Target
from loadtest.outcome import Outcome

CARDS = [f"card_2a{number:032x}" for number in range(10)]
SERVERS = {"grpc.aio": grpc.aio.server, "pygrpc-native": pygrpc_native.aio.server}
#: Of the ten cards the first is declined, the second refused, the third has no answer in time.
DECLINED, REFUSED, SLOW = CARDS[:3]


class Issuer(Servicer):
    """Answers by card, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(self._decide)
        self.requests: list[rpc.AuthorizeRequest] = []
        self.busy = asyncio.Event()
        self.most_at_once = 0
        self._at_once = 0

    async def Authorize(self, request: rpc.AuthorizeRequest, context: Any) -> rpc.AuthorizeResponse:
        self.requests.append(request)
        if len(self.requests) == 100:
            self.busy.set()
        assert context.time_remaining() <= 10
        if request.card_id == REFUSED:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0.2 if request.card_id == SLOW else 0.001)
            return await self._decide(request)
        finally:
            self._at_once -= 1

    async def _decide(self, request: rpc.AuthorizeRequest) -> rpc.AuthorizeResponse:
        declined = request.card_id == DECLINED
        return rpc.AuthorizeResponse(
            authorization_id="auth_2a" + "0" * 32,
            decision=pb.DECISION_DECLINED if declined else pb.DECISION_APPROVED,
        )


@asynccontextmanager
async def serving(make: Callable[[], grpc.aio.Server], folder: Path) -> AsyncIterator[Issuer]:
    server, issuer = make(), Issuer()  # type: ignore[abstract]
    rpc_grpc.add_AuthorizationServiceServicer_to_server(issuer, server)
    server.add_insecure_port(f"unix:{folder / 's'}")
    await server.start()
    try:
        yield issuer
    finally:
        await server.stop(0)


async def load(folder: Path, **fields: Any) -> Run:
    batch = messages.purchases(CARDS)
    job = messages.job(
        Target(sockets=(str(folder / "s"),)),
        messages.grpc_headers(messages.AUTHORIZE, tls=False),
        batch,
        **fields,
    )
    return await drive(job, batch.tails)


@pytest.mark.parametrize("name", SERVERS)
async def test_calls_are_real_and_counted_by_outcome(name: str, devstack_folder: Path) -> None:
    """Goal: each call is a whole request with an id of its own, and each answer is counted.

    Method: 200 calls over ten cards, twenty each, to a server that answers by card.
    """
    async with serving(SERVERS[name], devstack_folder) as issuer:
        run = await load(devstack_folder, depth=16, calls=200, connections=3)
    assert len({request.request_id for request in issuer.requests}) == 200
    assert sorted(request.card_id for request in issuer.requests) == sorted(CARDS * 20)
    assert all(request.amount.amount_minor == messages.AMOUNT_MINOR for request in issuer.requests)
    assert run.counts == {
        Outcome.APPROVED: 160,
        Outcome.DECLINED: 20,
        Outcome.RESOURCE_EXHAUSTED: 20,
    }
    assert (run.decided, run.errors) == (180, 20)
    assert issuer.most_at_once <= 16
    # The slow card's answers are the slowest tenth of what was decided.
    assert run.latency.max_ms >= 200
    assert run.latency.p50_ms < run.latency.max_ms
    assert run.generator_cpu_s > 0


async def test_an_open_loop_does_not_wait_for_answers(devstack_folder: Path) -> None:
    """Goal: calls start on time whatever became of the others; a step follows a step.

    Method: 100 per second for one second, then 50; every tenth answer takes 200 ms.
    """
    async with serving(grpc.aio.server, devstack_folder) as issuer:
        run = await load(devstack_folder, steps=((100, 1), (50, 1)))
    assert len(issuer.requests) == 150
    started = sorted(run.calls.started)
    assert started[:3] == pytest.approx([0, 0.01, 0.02], abs=1e-6)
    assert started[99:102] == pytest.approx([0.99, 1.0, 1.02], abs=1e-6)


async def test_calls_of_a_server_that_dies_are_lost(devstack_folder: Path) -> None:
    """Goal: nothing is counted as decided that was not. Method: the server stops in mid-run."""
    server, issuer = grpc.aio.server(), Issuer()  # type: ignore[abstract]
    rpc_grpc.add_AuthorizationServiceServicer_to_server(issuer, server)
    server.add_insecure_port(f"unix:{devstack_folder / 's'}")
    await server.start()
    running = asyncio.create_task(load(devstack_folder, depth=8, seconds=2, connections=1))
    await issuer.busy.wait()
    # It ends calls in flight, and is there again under the same name.
    await server.stop(0)
    async with serving(grpc.aio.server, devstack_folder) as successor:
        run = await running
    asked = len(issuer.requests) + len(successor.requests)
    assert successor.requests, "the generator connects again"
    assert run.errors > 0
    assert run.decided <= asked
