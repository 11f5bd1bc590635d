"""One id for all that a call causes: the caller's, if it is well-formed, and in every answer."""

from __future__ import annotations

import re

import pytest

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from runtime import pki
from runtime.trace import TRACE_ID_REGEX
from tests.e2e.edge.world import World

GOOD = "Client:7f3a/0001._-"
BALANCE = "/v1/accounts/acct_1/balance"


def reached(world: World) -> list[str | bytes]:
    """What the service was given."""
    return list(world.upstream.last.values("x-request-id"))


async def test_a_callers_id_is_kept_and_answered(world: World) -> None:
    answer = await world.web.get(BALANCE, headers={**world.bearer(), "x-request-id": GOOD})
    assert answer.headers["x-request-id"] == GOOD
    assert reached(world) == [GOOD]


@pytest.mark.parametrize(
    "value", ["", "x" * 65, 'quote"brace}', "two words", "a,b", "<script>", "a=b;c"], ids=repr
)
async def test_anything_else_is_replaced(world: World, value: str) -> None:
    headers = {**world.bearer(), "x-request-id": value}
    answer = await world.web.get(BALANCE, headers=headers)
    made = answer.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made)
    assert reached(world) == [made]


async def test_two_ids_are_replaced_by_one(world: World) -> None:
    headers = [*world.bearer().items(), ("x-request-id", "one"), ("x-request-id", "two")]
    answer = await world.web.get(BALANCE, headers=headers)
    assert answer.headers["x-request-id"] not in ("one", "two", "one,two")
    assert reached(world) == [answer.headers["x-request-id"]]


async def test_refusals_of_envoy_show_it_too(world: World) -> None:
    """An answer without a token is one that people ask about."""
    answer = await world.web.get(BALANCE, headers={"x-request-id": GOOD})
    assert (answer.status_code, answer.headers["x-request-id"]) == (401, GOOD)


async def test_networks_have_one(world: World) -> None:
    demo = pki.issue_network_certificate(world.settings, "traced")
    async with world.tls_channel(world.ports.network, demo) as channel:
        call = pb_grpc.AuthorizationServiceStub(channel).GetAuthorization(
            pb.GetAuthorizationRequest(), metadata=[("x-request-id", GOOD)], timeout=5
        )
        await call
        assert ("x-request-id", GOOD) in tuple(await call.initial_metadata())
    assert reached(world) == [GOOD]
    assert re.fullmatch(TRACE_ID_REGEX, GOOD)
