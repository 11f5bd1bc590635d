"""What Envoy does when gateway does not answer its questions: here it has no such services."""

from __future__ import annotations

import grpc
import pytest

from tests.e2e.edge.world import World, call_empty

KEY = {"x-api-key": "hf_" + "0" * 34 + "_" + "0" * 56}


async def test_calls_with_an_api_key_are_unavailable(world: World) -> None:
    answer = await world.web.get("/v1/authorizations/auth_1", headers=KEY)
    assert answer.status_code == 503
    assert answer.json()["code"] == 14
    assert answer.json()["details"][0]["reason"] == "CHECK_UNAVAILABLE"
    async with world.edge_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call_empty(
                channel, "/holdfast.authz.v1.AuthorizationService/GetAuthorization", KEY
            )
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert world.upstream.calls == []


async def test_calls_with_a_token_go_on_uncounted(world: World) -> None:
    for _ in range(120):
        answer = await world.web.get("/v1/authorizations/auth_1", headers=world.bearer())
        assert answer.status_code == 200


async def test_guarded_calls_are_unavailable(world: World) -> None:
    answer = await world.web.post("/v1/sessions:login", json={})
    assert answer.status_code == 503
    assert answer.json()["details"][0]["reason"] == "LIMITER_UNAVAILABLE"
