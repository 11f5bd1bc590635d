"""The smaller RPCs of SessionService: Logout, RevokeSession, GetSession, ListSessions."""

from __future__ import annotations

import grpc

from gateway.session_check import READ_CACHE_MS
from holdfast.gateway.v1.session_service_pb2 import (
    GetSessionRequest,
    ListSessionsRequest,
    LoginResponse,
    LogoutRequest,
    RevokeSessionRequest,
)
from tests.accounts_mesh import call, refused
from tests.gateway_mesh import ADMIN, GatewayMesh, whose

OTHER = "bob@example.com"
NO_SESSION = "ses_0a" + "7" * 32


async def _lives(mesh: GatewayMesh, *begun: LoginResponse) -> list[bool]:
    return [await mesh.check.lives(one.session.id, mutates=True) for one in begun]


async def test_logout_ends_this_session_or_all(mesh: GatewayMesh) -> None:
    await mesh.register()
    await mesh.register(OTHER)
    one, two, three = [await mesh.login() for _ in range(3)]
    others = await mesh.login(OTHER)
    await call(mesh.stub.Logout, LogoutRequest(request_id="o-1"), **whose(one.session))
    assert await _lives(mesh, one, two, three, others) == [False, True, True, True]
    # Again: nothing more.
    await call(mesh.stub.Logout, LogoutRequest(request_id="o-1"), **whose(one.session))
    request = LogoutRequest(request_id="o-2", all=True)
    await call(mesh.stub.Logout, request, **whose(two.session))
    assert await _lives(mesh, one, two, three, others) == [False, False, False, True]


async def test_whoever_has_no_session_cannot_end_it(mesh: GatewayMesh) -> None:
    answer = await refused(mesh.stub.Logout, LogoutRequest(request_id="o-1"), principal=ADMIN)
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_SESSION")
    answer = await refused(mesh.stub.Logout, LogoutRequest(), principal=ADMIN)
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["request_id"])


async def test_a_session_ends_at_once_for_mutations_and_soon_for_reads(mesh: GatewayMesh) -> None:
    await mesh.register()
    begun = await mesh.login()
    session_id = begun.session.id
    assert await mesh.check.lives(session_id, mutates=False)
    await mesh.sessions.end(begun.session.user_id, session_id)
    assert not await mesh.check.lives(session_id, mutates=True)
    assert not await mesh.check.lives(session_id, mutates=False)

    begun = await mesh.login()
    session_id = begun.session.id
    assert await mesh.check.lives(session_id, mutates=False)
    await mesh.sessions.end(begun.session.user_id, session_id)
    mesh.clock.advance(READ_CACHE_MS - 1)
    assert await mesh.check.lives(session_id, mutates=False)
    mesh.clock.advance(1)
    assert not await mesh.check.lives(session_id, mutates=False)


async def test_revokes_own_sessions_only(mesh: GatewayMesh) -> None:
    await mesh.register()
    await mesh.register(OTHER)
    mine, old, others = await mesh.login(), await mesh.login(), await mesh.login(OTHER)
    for session_id in (old.session.id, old.session.id, others.session.id, NO_SESSION):
        request = RevokeSessionRequest(request_id="v-1", session_id=session_id)
        await call(mesh.stub.RevokeSession, request, **whose(mine.session))
    assert await _lives(mesh, mine, old, others) == [True, False, True]
    bad = RevokeSessionRequest(session_id="usr_1")
    answer = await refused(mesh.stub.RevokeSession, bad, **whose(mine.session))
    assert (answer.code, answer.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["request_id", "session_id"],
    )


async def test_says_who_asks(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    await mesh.register(OTHER)
    mine, second, others = await mesh.login(), await mesh.login(), await mesh.login(OTHER)
    request = GetSessionRequest(session_id="current")
    answer = await call(mesh.stub.GetSession, request, **whose(mine.session))
    assert answer.session == mine.session
    assert (answer.session.user_id, answer.session.current) == (user_id, True)
    request = GetSessionRequest(session_id=second.session.id)
    answer = await call(mesh.stub.GetSession, request, **whose(mine.session))
    assert (answer.session.id, answer.session.current) == (second.session.id, False)
    for missing in (others.session.id, NO_SESSION):
        request = GetSessionRequest(session_id=missing)
        gone = await refused(mesh.stub.GetSession, request, **whose(mine.session))
        assert gone.code is grpc.StatusCode.NOT_FOUND
    bad = await refused(mesh.stub.GetSession, GetSessionRequest(), **whose(mine.session))
    assert (bad.code, bad.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["session_id"])
    request = GetSessionRequest(session_id="current")
    nobody = await refused(mesh.stub.GetSession, request, principal=ADMIN)
    assert nobody.reason == "NO_SESSION"


async def test_lists_own_sessions_newest_first(mesh: GatewayMesh) -> None:
    await mesh.register()
    await mesh.register(OTHER)
    await mesh.login(OTHER)
    begun = []
    for _ in range(5):
        begun.append(await mesh.login())
        mesh.clock.advance(1)
    await mesh.sessions.end(begun[1].session.user_id, begun[1].session.id)
    expected = [one.session.id for one in reversed(begun) if one is not begun[1]]
    found, token = [], ""
    while True:
        request = ListSessionsRequest(page_size=3, page_token=token)
        page = await call(mesh.stub.ListSessions, request, **whose(begun[0].session))
        found += [(one.id, one.current) for one in page.sessions]
        token = page.next_page_token
        if not token:
            break
    assert found == [(one, one == begun[0].session.id) for one in expected]
    bad = ListSessionsRequest(page_size=-1, page_token="junk")
    answer = await refused(mesh.stub.ListSessions, bad, **whose(begun[0].session))
    assert answer.fields == ["page_size", "page_token"]
