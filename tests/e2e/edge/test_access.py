"""What a caller past the edge may do: roles, spoofed identities, methods that are for nobody."""

from __future__ import annotations

import grpc
import pytest

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from holdfast.authz.v1 import projection_service_pb2 as projection_pb
from holdfast.authz.v1 import projection_service_pb2_grpc as projection_pb_grpc
from tests.e2e.edge.world import JUNK_KEY, World, call_empty, until

SPOOFED = {
    "x-auth-subject": "usr_root",
    "x-auth-spiffe": "spiffe://holdfast.local/network/demo",
    "X-Auth-Roles": "admin",
    "x-auth-anything": "1",
    "x-auth-address": "192.0.2.66",
    "x-forwarded-for": "192.0.2.67",
}


@pytest.mark.parametrize(
    ("roles", "verb", "path", "status"),
    [
        ("admin", "POST", "/v1/accounts", 200),
        ("admin", "GET", "/v1/ledger/trial-balance", 200),
        ("admin", "POST", "/v1/authorizations", 200),
        ("auditor", "GET", "/v1/ledger/trial-balance", 200),
        ("auditor", "GET", "/v1/authorizations", 200),
        ("auditor", "POST", "/v1/accounts", 403),
        ("auditor", "POST", "/v1/authorizations", 403),
        ("auditor", "POST", "/v1/cards/card_1:freeze", 403),
        ("merchant", "POST", "/v1/authorizations", 200),
        ("merchant", "POST", "/v1/authorizations/auth_1:capture", 200),
        ("merchant", "POST", "/v1/authorizations/auth_1:reverse", 200),
        ("merchant", "GET", "/v1/authorizations/auth_1", 200),
        ("merchant", "GET", "/v1/authorizations", 200),
        ("merchant", "GET", "/v1/accounts/acct_1/balance", 403),
        ("merchant", "POST", "/v1/cards/card_1:unfreeze", 403),
        ("auditor merchant", "POST", "/v1/authorizations", 200),
        ("auditor merchant", "GET", "/v1/accounts", 200),
        ("merchant auditor", "POST", "/v1/accounts", 403),
        ("", "GET", "/v1/accounts", 403),
        (None, "GET", "/v1/accounts", 403),
        ("administrator", "GET", "/v1/accounts", 403),
        ("anonymous", "GET", "/v1/accounts", 403),
    ],
)
async def test_roles_decide(
    world: World, roles: str | None, verb: str, path: str, status: int
) -> None:
    body = b"{}" if verb == "POST" else None
    answer = await world.web.request(verb, path, headers=world.bearer(roles=roles), content=body)

    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["code"] == 7
        assert world.upstream.calls == []


async def test_grpc_obeys_the_same_roles(world: World) -> None:
    async with world.edge_channel() as channel:
        stub = pb_grpc.AuthorizationServiceStub(channel)
        merchant = list(world.bearer(roles="merchant").items())
        await stub.Authorize(pb.AuthorizeRequest(), metadata=merchant)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.GetBalance(pb.GetBalanceRequest(), metadata=merchant)
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_identities_that_callers_claim_are_dropped(world: World) -> None:
    answer = await world.web.get(
        "/v1/authorizations/auth_1", headers={**world.bearer(roles="merchant"), **SPOOFED}
    )
    assert answer.status_code == 200
    call = world.upstream.last
    assert call.values("x-auth-subject") == ["usr_alice"]
    assert call.values("x-auth-roles") == ["merchant"]
    assert call.values("x-auth-spiffe") == []
    assert call.values("x-auth-anything") == []
    assert call.values("x-auth-address") == ["127.0.0.1"]
    assert call.identity.peer == "127.0.0.1"


async def test_identities_claimed_over_grpc_are_dropped(world: World) -> None:
    spoofed = [(key.lower(), value) for key, value in SPOOFED.items()]
    async with world.edge_channel() as channel:
        await pb_grpc.AuthorizationServiceStub(channel).GetAuthorization(
            pb.GetAuthorizationRequest(),
            metadata=[*world.bearer(roles="merchant").items(), *spoofed, *spoofed],
        )
    call = world.upstream.last
    assert call.values("x-auth-subject") == ["usr_alice"]
    assert call.values("x-auth-roles") == ["merchant"]
    assert call.values("x-auth-spiffe") == []


async def test_mesh_methods_are_out_of_reach(world: World) -> None:
    """Not even an administrator: the edge has no route there."""
    async with world.edge_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await projection_pb_grpc.ProjectionServiceStub(channel).ApplyAccount(
                projection_pb.ApplyAccountRequest(), metadata=list(world.bearer().items())
            )
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert world.upstream.calls == []


@pytest.mark.parametrize(
    "path", ["/grpc.health.v1.Health/Check", "/holdfast.authz.v1.AuthorizationService/Nope"]
)
async def test_what_is_not_listed_is_denied(world: World, path: str) -> None:
    async with world.edge_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call_empty(channel, path, world.bearer())
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_callers_cannot_order_retries(world: World) -> None:
    await world.web.get(
        "/v1/authorizations/auth_1",
        headers={**world.bearer(), "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "5"},
    )
    assert [key for key, _ in world.upstream.last.metadata if "retr" in key] == []


async def test_a_dead_server_is_a_json_503(world: World) -> None:
    """Accounts fails its health; the answer is JSON, and it is served again afterwards."""
    await world.servers["accounts"].set_serving(False)
    try:

        async def refused() -> bool:
            answer = await world.web.get("/v1/accounts", headers=world.bearer())
            if answer.status_code != 503:
                return False
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["code"] == 14
            return True

        await until(refused)
    finally:
        await world.servers["accounts"].set_serving(True)

    async def served() -> bool:
        answer = await world.web.get("/v1/accounts", headers=world.bearer())
        return answer.status_code == 200

    await until(served)


async def test_too_much_junk_is_told_to_wait(world: World) -> None:
    """In JSON and in gRPC, with the time: it is a limit, not an outage."""
    headers = {"x-api-key": JUNK_KEY}
    answer = await world.web.get("/v1/authorizations/auth_1", headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["details"][0]["reason"] == "RATE_LIMITED"
    async with world.edge_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call_empty(
                channel, "/holdfast.authz.v1.AuthorizationService/GetAuthorization", headers
            )
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert world.upstream.calls == []


async def test_headers_that_grpc_does_not_allow_are_dropped(world: World) -> None:
    """HTTP allows these names; a server would answer INTERNAL."""
    strange = {"a&b": "1", "z!": "2", "#": "3"}
    answer = await world.web.get(
        "/v1/authorizations/auth_1", headers={**world.bearer(), **strange, "x-mine": "4"}
    )
    assert answer.status_code == 200
    keys = [key for key, _ in world.upstream.last.metadata]
    assert "x-mine" in keys
    assert strange.keys().isdisjoint(keys)
