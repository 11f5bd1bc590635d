"""What Envoy does while gateway is down: what cannot be checked is refused, the rest goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import httpx
import pytest

from tests.e2e.edge.world import World, call_empty, stats, until

KEY = {"x-api-key": "hf_" + "0" * 34 + "_" + "0" * 56}
READ = "/v1/authorizations/auth_1"
CHANGE = "/v1/authorizations/auth_1:reverse"
READ_RPC = "/holdfast.authz.v1.AuthorizationService/GetAuthorization"
CHANGE_RPC = "/holdfast.authz.v1.AuthorizationService/ReverseAuthorization"


@pytest.fixture(autouse=True)
async def _gateway_is_down(world: World) -> AsyncIterator[None]:
    """Its limiter is not there at all; its checks fail their health."""

    async def healthy(count: int) -> bool:
        name = "cluster.gateway-checks.membership_healthy"
        return (await stats(world, name))[name] == count

    await world.servers["gateway"].set_serving(False)
    try:
        await until(lambda: healthy(0))
        yield
    finally:
        await world.servers["gateway"].set_serving(True)
        await until(lambda: healthy(1))


def _credential(world: World, kind: str) -> dict[str, str]:
    match kind:
        case "key":
            return KEY
        case "session":
            return world.bearer(sid="ses-alive")
        case _:
            return world.bearer()


async def _answers(world: World, headers: dict[str, str]) -> list[httpx.Response]:
    """To a read and to a change."""
    return [
        await world.web.get(READ, headers=headers),
        await world.web.post(CHANGE, headers=headers, json={"request_id": "down-1"}),
    ]


@pytest.mark.parametrize("kind", ["key", "session"])
async def test_what_cannot_be_checked_is_unavailable(world: World, kind: str) -> None:
    """Whether it reads or changes; the text is true of keys and of tokens."""
    headers = _credential(world, kind)
    for answer in await _answers(world, headers):
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert answer.json()["code"] == grpc.StatusCode.UNAVAILABLE.value[0]
        assert answer.json()["details"][0]["reason"] == "CHECK_UNAVAILABLE"
        assert answer.json()["message"] == "your credential cannot be checked now; try again"
    async with world.edge_channel() as channel:
        for method in (READ_RPC, CHANGE_RPC):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call_empty(channel, method, headers)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert world.upstream.calls == []


async def test_tokens_without_a_session_go_on_uncounted(world: World) -> None:
    """They need no check: an operator mends things with them."""
    for _ in range(120):
        answer = await world.web.get(READ, headers=world.bearer())
        assert answer.status_code == httpx.codes.OK
    for answer in await _answers(world, world.bearer()):
        assert answer.status_code == httpx.codes.OK


@pytest.mark.parametrize("kind", ["nothing", "session", "token"])
async def test_guarded_calls_are_unavailable(world: World, kind: str) -> None:
    """Also for whoever could show a card's number otherwise: nobody counts."""
    path, headers = "/v1/cards/card_1:reveal", _credential(world, kind)
    if kind == "nothing":
        path, headers = "/v1/sessions:login", {}
    answer = await world.web.post(path, headers=headers, json={})
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.json()["details"][0]["reason"] == "LIMITER_UNAVAILABLE"
    assert world.upstream.calls == []
