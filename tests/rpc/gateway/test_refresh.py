from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.junk_keys import JUNK_MAX
from gateway.limits import WINDOW_MS
from gateway.session import IDLE_MS, LIFE_MS, REPEAT_MS
from holdfast.gateway.v1.session_service_pb2 import RefreshRequest, SetUserAccessRequest
from runtime.key_ring import SETTLE_MS
from tests.accounts_mesh import Refused, call, refused
from tests.gateway_mesh import ADDRESS, ADMIN, ANONYMOUS, COMPANY, GatewayMesh, _from


async def _refused(mesh: GatewayMesh, token: str, *, request_id: str = "") -> Refused:
    request = RefreshRequest(request_id=request_id or mesh.request_id(), refresh_token=token)
    return await refused(mesh.stub.Refresh, request, principal=ANONYMOUS, metadata=_from(ADDRESS))


async def test_each_token_works_once_and_reuse_ends_the_session(mesh: GatewayMesh) -> None:
    await mesh.register()
    first = await mesh.login()
    mesh.clock.advance(1_000)
    second = await mesh.refresh(first.tokens.refresh_token)
    assert second.session.id == first.session.id
    assert second.tokens.refresh_token != first.tokens.refresh_token
    assert mesh.claims(second.tokens.access_token)["sid"] == first.session.id
    third = await mesh.refresh(second.tokens.refresh_token)
    stolen = await _refused(mesh, first.tokens.refresh_token)
    assert (stolen.code, stolen.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SESSION_ENDED")
    assert not await mesh.check.lives(first.session.id, mutates=True)
    assert (await _refused(mesh, third.tokens.refresh_token)).reason == "SESSION_ENDED"


async def test_a_request_repeats_itself_for_a_while(mesh: GatewayMesh) -> None:
    """A lost answer is no theft; but after a minute, or under another id, it is taken for one."""
    await mesh.register()
    token = (await mesh.login()).tokens.refresh_token
    first = await mesh.refresh(token, request_id="f-1")
    mesh.clock.advance(REPEAT_MS)
    again = await mesh.refresh(token, request_id="f-1")
    assert again.tokens.refresh_token == first.tokens.refresh_token
    await mesh.refresh(again.tokens.refresh_token)

    token = (await mesh.login()).tokens.refresh_token
    await mesh.refresh(token, request_id="f-2")
    mesh.clock.advance(REPEAT_MS + 1)
    assert (await _refused(mesh, token, request_id="f-2")).reason == "SESSION_ENDED"


async def test_of_many_at_once_one_wins_and_the_session_ends(mesh: GatewayMesh) -> None:
    """Two clients with one token are one too many."""
    await mesh.register()
    for _ in range(5):
        begun = await mesh.login()
        token = begun.tokens.refresh_token
        answers = await asyncio.gather(
            *(mesh.refresh(token) for _ in range(8)), return_exceptions=True
        )
        won = [answer for answer in answers if not isinstance(answer, BaseException)]
        assert len(won) == 1
        assert (await _refused(mesh, won[0].tokens.refresh_token)).reason == "SESSION_ENDED"
        assert not await mesh.check.lives(begun.session.id, mutates=True)


async def test_guesses_end_nothing(mesh: GatewayMesh) -> None:
    """Whoever knows a session's id and makes up a token cannot end the session."""
    await mesh.register()
    begun = await mesh.login()
    token = begun.tokens.refresh_token
    head, secret, mac = token.split(".")
    guesses = [
        f"{head}.{'0' * 64}.{mac}",
        f"{head}.{secret}.{'0' * 32}",
        token[:-1],
        token + "0",
        token.upper(),
        f"hfr_{'0' * 34}.{secret}.{mac}",
        "junk",
    ]
    for guess in guesses:
        assert (await _refused(mesh, guess)).reason == "SESSION_ENDED"
    await mesh.refresh(token)


async def test_only_what_we_never_made_is_junk(mesh: GatewayMesh) -> None:
    """A used token, or one of a session that has ended, is no guess: of an office with many users
    an address may show any number.
    """
    await mesh.register()
    first = (await mesh.login()).tokens.refresh_token
    await mesh.refresh(first)
    for _ in range(JUNK_MAX + 1):
        assert (await _refused(mesh, first)).reason == "SESSION_ENDED"
    assert mesh.junk.wait_ms(ADDRESS, now_ms=mesh.clock.now_ms()) == 0
    for _ in range(JUNK_MAX):
        assert mesh.junk.wait_ms(ADDRESS, now_ms=mesh.clock.now_ms()) == 0
        assert (await _refused(mesh, first[:-32] + "0" * 32)).reason == "SESSION_ENDED"
    assert mesh.junk.wait_ms(ADDRESS, now_ms=mesh.clock.now_ms()) == WINDOW_MS


async def test_tokens_outlive_a_rotation_of_their_key(mesh: GatewayMesh) -> None:
    await mesh.register()
    begun = await mesh.login()
    mesh.rings.refresh_tokens.rotate()
    mesh.clock.advance(2 * SETTLE_MS)
    after = await mesh.refresh(begun.tokens.refresh_token)
    await mesh.refresh(after.tokens.refresh_token)


async def test_roles_follow_and_the_disabled_are_out(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    await mesh.pool.execute("UPDATE credential SET roles = '{manager}', company_id = $1", COMPANY)
    begun = await mesh.refresh((await mesh.login()).tokens.refresh_token)
    claims = mesh.claims(begun.tokens.access_token)
    assert (claims["roles"], claims["company"]) == ("manager", COMPANY)
    request = SetUserAccessRequest(
        request_id="a-1", user_id=user_id, roles=["cardholder"], disabled=True
    )
    await call(mesh.stub.SetUserAccess, request, principal=ADMIN)
    assert (await _refused(mesh, begun.tokens.refresh_token)).reason == "SESSION_ENDED"


@pytest.mark.parametrize("step_ms", [IDLE_MS // 2, IDLE_MS - 1])
async def test_a_session_ends_anyway(mesh: GatewayMesh, step_ms: int) -> None:
    """Use prolongs it, but not beyond its life."""
    await mesh.register()
    begun = await mesh.login()
    end_ms = mesh.clock.now_ms() + LIFE_MS
    token = begun.tokens.refresh_token
    for _ in range(4):
        mesh.clock.advance(step_ms)
        answer = await mesh.refresh(token)
        token = answer.tokens.refresh_token
        expire_ms = answer.session.expire_time.ToMilliseconds()
        assert expire_ms == min(mesh.clock.now_ms() + IDLE_MS, end_ms)


@pytest.mark.parametrize(
    ("request_id", "token", "wrong"),
    [("", "x", "request_id"), ("r", "", "refresh_token"), ("r", "x" * 257, "refresh_token")],
)
async def test_names_what_is_wrong(
    mesh: GatewayMesh, request_id: str, token: str, wrong: str
) -> None:
    request = RefreshRequest(request_id=request_id, refresh_token=token)
    answer = await refused(mesh.stub.Refresh, request, principal=ANONYMOUS)
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])
