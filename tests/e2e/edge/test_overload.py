"""More calls than the servers may have at once: Envoy sheds them, and says so."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import httpx
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from runtime import pki
from runtime.envoyconfig import CALLS_AT_LEAST, CALLS_AT_ONCE
from tests.e2e.edge.world import World

SURPLUS = 60


async def _authorize(
    stub: pb_grpc.AuthorizationServiceAsyncStub, metadata: dict[str, str] | None = None
) -> str:
    try:
        await stub.Authorize(
            pb.AuthorizeRequest(), timeout=10, metadata=list((metadata or {}).items())
        )
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)
        assert status is not None
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        return f"{error.code().name} {info.reason}"
    return "OK"


async def test_what_is_too_much_is_refused_at_once_and_the_rest_answered(world: World) -> None:
    """Goal: a bounded number of calls reaches a server; a caller above it is told to slow down in
    its own language. Method: one server that answers nobody until the others are refused.
    """
    world.upstream.opened.clear()
    try:
        async with world.edge_channel() as channel:
            stub, token = pb_grpc.AuthorizationServiceStub(channel), world.bearer()
            count = CALLS_AT_ONCE + SURPLUS
            calls = [asyncio.create_task(_authorize(stub, token)) for _ in range(count)]
            refusals = asyncio.as_completed(calls)
            for _ in range(SURPLUS):
                await next(refusals)
            refused = await world.web.get("/v1/accounts/acct_1/balance", headers=world.bearer())
            world.upstream.opened.set()
            answers = Counter(await asyncio.gather(*calls))
    finally:
        world.upstream.opened.set()
    assert answers == {"OK": CALLS_AT_ONCE, "RESOURCE_EXHAUSTED OVERLOADED": SURPLUS}
    assert refused.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert refused.json()["code"] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert "slow down" in refused.json()["message"]


async def test_networks_are_let_in_as_far_as_they_are_answered_soon(world: World) -> None:
    """Goal: while answers take too long, few of a network's calls are let in, but some always, and
    the others are refused at once. Method: a server that takes 1.5 s, which is far beyond the
    target, as many calls, three times.
    """
    world.upstream.delay_s = 1.5
    credentials = pki.load_credentials(world.settings, "network-demo")
    try:
        async with world.tls_channel(world.ports.network, credentials) as channel:
            stub = pb_grpc.AuthorizationServiceStub(channel)
            rounds = []
            for _ in range(3):
                calls = [_authorize(stub) for _ in range(CALLS_AT_ONCE + SURPLUS)]
                rounds.append(Counter(await asyncio.gather(*calls)))
    finally:
        world.upstream.delay_s = 0
    assert all(set(answers) == {"OK", "RESOURCE_EXHAUSTED OVERLOADED"} for answers in rounds)
    assert CALLS_AT_LEAST <= rounds[-1]["OK"] < CALLS_AT_ONCE
