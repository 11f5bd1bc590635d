"""What Envoy sends again by itself: all that never reached a server, and what only reads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

import grpc
import httpx
import pytest

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from runtime import pki
from runtime.errors import FailedPrecondition, Unavailable
from runtime.server import Server
from tests.e2e.edge.upstream import add_fakes
from tests.e2e.edge.world import World, stats, until

READ = "/v1/accounts/acct_1/balance"
CAPTURE = "/v1/authorizations/auth_1:capture"


async def test_a_read_that_is_unavailable_is_asked_again(world: World) -> None:
    told = pb.GetBalanceResponse(account_id="acct_1")
    with world.upstream.answering("GetBalance", Unavailable("the gate is closed"), told):
        answer = await world.web.get(READ, headers=world.bearer())
    assert answer.status_code == httpx.codes.OK
    assert answer.json()["account_id"] == "acct_1"
    assert len(world.upstream.calls) == 2


async def test_the_last_answer_is_what_the_caller_gets(world: World) -> None:
    """Three in all; the reason is the server's."""
    with world.upstream.answering("GetBalance", Unavailable("no", reason="GATE_CLOSED")):
        answer = await world.web.get(READ, headers=world.bearer())
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.json()["details"][0]["reason"] == "GATE_CLOSED"
    assert len(world.upstream.calls) == 3


async def test_an_answer_is_not_asked_for_again(world: World) -> None:
    with world.upstream.answering("GetBalance", FailedPrecondition("not now")):
        answer = await world.web.get(READ, headers=world.bearer())
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert len(world.upstream.calls) == 1


async def test_a_mutation_that_reached_a_server_is_sent_once(world: World) -> None:
    """At the edge and on the network listener; with a request id, too: its caller repeats it."""
    unavailable = Unavailable("the gate is closed", reason="GATE_CLOSED")
    request = pb.CaptureAuthorizationRequest(request_id="capture-1")
    credentials = pki.load_credentials(world.settings, "network-demo")
    with world.upstream.answering("CaptureAuthorization", unavailable):
        answer = await world.web.post(CAPTURE, headers=world.bearer(), json={"request_id": "1"})
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert len(world.upstream.calls) == 1
        async with world.tls_channel(world.ports.network, credentials) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await pb_grpc.AuthorizationServiceStub(channel).CaptureAuthorization(request)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert len(world.upstream.calls) == 2


async def test_retries_have_a_budget(world: World) -> None:
    """A service that is down for all is not asked three times as much."""
    callers = 100
    before = await stats(world, "cluster.authz.upstream_rq_retry")
    with world.upstream.answering("GetBalance", Unavailable("down")):
        answers = await asyncio.gather(
            *(world.web.get(READ, headers=world.bearer(), timeout=10) for _ in range(callers))
        )
    after = await stats(world, "cluster.authz.upstream_rq_retry")
    assert {answer.status_code for answer in answers} == {httpx.codes.SERVICE_UNAVAILABLE}
    name = "cluster.authz.upstream_rq_retry_overflow"
    assert after[name] > before[name]
    assert callers < len(world.upstream.calls) < 3 * callers


async def test_a_server_that_dies_takes_no_read_along(world: World) -> None:
    """Goal: what it had in hand and only reads is answered by the other server; of what changes
    something the outcome is unknown, and its caller is told so; what comes later never reaches it
    and is answered, whatever it is, though health still says that it lives.
    """
    dying = Server(world.settings.socket_of("authz-0", "b"))
    await dying.start(add_fakes(dying, "authz", world.upstream))
    await dying.set_serving(True)

    async def healthy(count: int) -> bool:
        found = await stats(world, "cluster.authz.membership_healthy")
        return found["cluster.authz.membership_healthy"] == count

    await until(lambda: healthy(2))
    world.upstream.delay_s = 0.4
    try:
        async with world.edge_channel() as channel:
            stub = pb_grpc.AuthorizationServiceStub(channel)
            read = partial(_code, stub.GetBalance, pb.GetBalanceRequest(), world)
            write = partial(_code, stub.Authorize, pb.AuthorizeRequest(), world)
            reads = [asyncio.create_task(read()) for _ in range(20)]
            writes = [asyncio.create_task(write()) for _ in range(20)]

            async def all_arrived() -> bool:
                return len(world.upstream.calls) == len(reads) + len(writes)

            await until(all_arrived)
            world.upstream.delay_s = 0
            await dying.grpc_server.stop(None)
            later = [await write() for _ in range(10)]
            of_reads = Counter(await asyncio.gather(*reads))
            of_writes = Counter(await asyncio.gather(*writes))
    finally:
        world.upstream.delay_s = 0
        await dying.grpc_server.stop(None)
        await until(lambda: healthy(1))
    assert of_reads == {"OK": len(reads)}
    assert set(of_writes) == {"OK", "UNAVAILABLE"}
    assert later == ["OK"] * len(later)
    asked = Counter(call.method for call in world.upstream.calls)
    assert asked["Authorize"] == len(writes) + len(later)
    assert asked["GetBalance"] > len(reads)


async def _code(call: Callable[..., Awaitable[object]], request: object, world: World) -> str:
    try:
        await call(request, metadata=list(world.bearer().items()), timeout=5)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
