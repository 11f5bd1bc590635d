"""How long calls may take: each class of methods has its deadline, whatever the caller speaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import httpx
import pytest

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from holdfast.authz.v1 import projection_service_pb2 as projection_pb
from holdfast.authz.v1 import projection_service_pb2_grpc as projection_grpc
from holdfast.type.v1 import deadline_pb2
from runtime import pki
from runtime.channel import unix_channel
from runtime.routes import DEADLINES_S
from tests.e2e.edge.world import World

READ_S = DEADLINES_S[deadline_pb2.DEADLINE_CLASS_READ]
MUTATION_S = DEADLINES_S[deadline_pb2.DEADLINE_CLASS_MUTATION]
REPORT_S = DEADLINES_S[deadline_pb2.DEADLINE_CLASS_REPORT]
AUTHORIZE_S = DEADLINES_S[deadline_pb2.DEADLINE_CLASS_AUTHORIZE]


@contextmanager
def slow(world: World, seconds: float) -> Iterator[None]:
    world.upstream.delay_s = seconds
    try:
        yield
    finally:
        world.upstream.delay_s = 0


def _seen(world: World) -> float:
    """How much time the handler of the last call was given."""
    return world.upstream.last.time_remaining_s


@pytest.mark.parametrize(
    ("verb", "path", "deadline_s"),
    [
        ("GET", "/v1/accounts/acct_1", READ_S),
        ("GET", "/v1/authorizations", READ_S),
        ("POST", "/v1/cards/card_1:freeze", MUTATION_S),
        ("POST", "/v1/authorizations/auth_1:capture", MUTATION_S),
        ("GET", "/v1/ledger/trial-balance", REPORT_S),
        ("POST", "/v1/authorizations", AUTHORIZE_S),
    ],
)
async def test_a_json_callers_handler_sees_the_deadline_of_its_class(
    world: World, verb: str, path: str, deadline_s: int
) -> None:
    body: dict[str, str] | None = {} if verb == "POST" else None
    for stated, expected in ((None, deadline_s), ("2S", 2), ("90S", deadline_s)):
        headers = {**world.bearer(), **({"grpc-timeout": stated} if stated else {})}
        answer = await world.web.request(verb, path, headers=headers, json=body)
        assert answer.status_code == httpx.codes.OK, answer.text
        assert _seen(world) == pytest.approx(expected, abs=0.5), stated


async def test_networks_and_services_have_the_same_deadlines(world: World) -> None:
    credentials = pki.load_credentials(world.settings, "network-demo")
    async with world.tls_channel(world.ports.network, credentials) as channel:
        stub = pb_grpc.AuthorizationServiceStub(channel)
        await stub.Authorize(pb.AuthorizeRequest())
        assert _seen(world) == pytest.approx(AUTHORIZE_S, abs=0.5)
        await stub.GetAuthorization(pb.GetAuthorizationRequest(), timeout=60)
        assert _seen(world) == pytest.approx(READ_S, abs=0.5)
    async with unix_channel(world.settings.egress_socket("accounts")) as channel:
        mesh = projection_grpc.ProjectionServiceStub(channel)
        await mesh.ApplyAccount(projection_pb.ApplyAccountRequest())
        assert _seen(world) == pytest.approx(MUTATION_S, abs=0.5)
        await mesh.ApplyAccount(projection_pb.ApplyAccountRequest(), timeout=2)
        assert _seen(world) == pytest.approx(2, abs=0.5)


async def test_a_slow_server_is_a_504_in_time_that_says_so(world: World) -> None:
    """Both know the deadline, so Envoy or the server may be first to answer; each says the same."""
    with slow(world, AUTHORIZE_S + 5):
        began = time.monotonic()
        json_answer, grpc_answer = await asyncio.gather(
            world.web.post("/v1/authorizations", headers=world.bearer(), json={}, timeout=20),
            _authorize(world),
        )
        took_s = time.monotonic() - began
    assert AUTHORIZE_S - 0.1 < took_s < AUTHORIZE_S + 1
    assert json_answer.status_code == httpx.codes.GATEWAY_TIMEOUT
    assert json_answer.headers["content-type"] == "application/json"
    assert json_answer.json()["code"] == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert "deadline" in json_answer.json()["message"].lower()
    for detail in json_answer.json()["details"]:
        assert detail["reason"] == "DEADLINE_EXCEEDED"
    assert grpc_answer.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # What changes something was asked once.
    assert len(world.upstream.calls) == 2


async def _authorize(world: World) -> grpc.aio.AioRpcError:
    async with world.edge_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await pb_grpc.AuthorizationServiceStub(channel).Authorize(
                pb.AuthorizeRequest(), metadata=list(world.bearer().items())
            )
        return error.value
