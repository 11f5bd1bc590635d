"""Identities of other issuers: who may link them, who sees them, what removes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from gateway.sign_in import FRESH_MS
from holdfast.gateway.v1 import oidc_service_pb2 as pb
from holdfast.gateway.v1.second_factor_service_pb2 import EnrollSecondFactorRequest
from holdfast.gateway.v1.session_pb2 import Session
from holdfast.gateway.v1.session_service_pb2 import ChangePasswordRequest
from tests.accounts_mesh import Refused, call, refused
from tests.gateway_mesh import ADDRESS, ADMIN, ANONYMOUS, PASSWORD, GatewayMesh, _from, whose
from tests.oidc_emulator import REDIRECT_URI, Emulator, emulator

SUBJECT = "ada|at issuer"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Emulator]:
    with emulator() as running:
        running.knows(SUBJECT, email="ada@elsewhere.example", email_verified=True, name="Ada")
        yield running


@pytest.fixture(autouse=True)
async def _configured(mesh: GatewayMesh, elsewhere: Emulator) -> AsyncIterator[None]:
    mesh.providers["example"] = elsewhere.provider()
    yield
    await elsewhere.close_clients()


async def _returned(mesh: GatewayMesh, elsewhere: Emulator) -> dict[str, str]:
    request = pb.BeginOidcSignInRequest(
        request_id=mesh.request_id(), issuer="example", redirect_uri=REDIRECT_URI
    )
    begun = await call(mesh.oidc.BeginOidcSignIn, request, principal=ANONYMOUS)
    state, code = elsewhere.agree(begun.authorization_url, SUBJECT)
    return {"flow_token": begun.flow_token, "state": state, "authorization_code": code}


async def _signed_in(mesh: GatewayMesh, elsewhere: Emulator) -> Session:
    """By the issuer alone: whoever that makes is a user without a password."""
    shown = await _returned(mesh, elsewhere)
    request = pb.CompleteOidcSignInRequest(request_id=mesh.request_id(), **shown)
    options: dict[str, Any] = {"principal": ANONYMOUS, "metadata": _from(ADDRESS)}
    answer: pb.CompleteOidcSignInResponse = await call(
        mesh.oidc.CompleteOidcSignIn, request, **options
    )
    return answer.session


async def _linked(mesh: GatewayMesh, elsewhere: Emulator) -> Session:
    await mesh.register()
    session = (await mesh.login()).session
    shown = await _returned(mesh, elsewhere)
    request = pb.LinkOidcIdentityRequest(request_id="link-1", password=PASSWORD, **shown)
    await call(mesh.oidc.LinkOidcIdentity, request, **whose(session))
    return session


async def _issuers(mesh: GatewayMesh, session: Session) -> list[str]:
    request = pb.ListOidcIdentitiesRequest()
    answer = await call(mesh.oidc.ListOidcIdentities, request, **whose(session))
    assert answer.next_page_token == ""
    return [one.issuer for one in answer.identities]


async def _unlink_refused(mesh: GatewayMesh, session: Session, **fields: str) -> Refused:
    given = {"request_id": mesh.request_id(), "issuer": "example", **fields}
    request = pb.UnlinkOidcIdentityRequest(**given)
    return await refused(mesh.oidc.UnlinkOidcIdentity, request, **whose(session))


@pytest.mark.parametrize(
    ("password", "reason"), [("", "PASSWORD_REQUIRED"), ("wrong horse", "WRONG_CREDENTIALS")]
)
async def test_a_token_links_nothing(
    mesh: GatewayMesh, elsewhere: Emulator, *, password: str, reason: str
) -> None:
    """Not in a session that has just begun, either. The flow is not used up by it."""
    await mesh.register()
    session = (await mesh.login()).session
    shown = await _returned(mesh, elsewhere)
    request = pb.LinkOidcIdentityRequest(request_id="link-1", password=password, **shown)
    error = await refused(mesh.oidc.LinkOidcIdentity, request, **whose(session))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert await _issuers(mesh, session) == []
    request = pb.LinkOidcIdentityRequest(request_id="link-2", password=PASSWORD, **shown)
    await call(mesh.oidc.LinkOidcIdentity, request, **whose(session))
    assert await _issuers(mesh, session) == ["example"]


async def test_without_a_password_a_fresh_sign_in_is_asked_for(
    mesh: GatewayMesh, elsewhere: Emulator
) -> None:
    session = await _signed_in(mesh, elsewhere)
    enroll = EnrollSecondFactorRequest(request_id="e-1")
    mesh.clock.advance(FRESH_MS)
    await call(mesh.factors.EnrollSecondFactor, enroll, **whose(session))
    mesh.clock.advance(1)
    error = await refused(mesh.factors.EnrollSecondFactor, enroll, **whose(session))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SIGN_IN_TOO_OLD")
    shown = await _returned(mesh, elsewhere)
    link = pb.LinkOidcIdentityRequest(request_id="link-1", **shown)
    error = await refused(mesh.oidc.LinkOidcIdentity, link, **whose(session))
    assert error.reason == "SIGN_IN_TOO_OLD"
    assert (await _unlink_refused(mesh, session)).reason == "SIGN_IN_TOO_OLD"


async def test_it_is_listed_unlinked_and_opens_nothing_more(
    mesh: GatewayMesh, elsewhere: Emulator
) -> None:
    session = await _linked(mesh, elsewhere)
    thief = await _signed_in(mesh, elsewhere)
    assert thief.user_id == session.user_id
    assert await _issuers(mesh, session) == ["example"]
    assert (await _unlink_refused(mesh, session)).reason == "PASSWORD_REQUIRED"
    request = pb.UnlinkOidcIdentityRequest(
        request_id="unlink-1", issuer="example", password=PASSWORD
    )
    answer = await call(mesh.oidc.UnlinkOidcIdentity, request, **whose(session))
    assert (answer.user_id, answer.issuer) == (session.user_id, "example")
    assert await call(mesh.oidc.UnlinkOidcIdentity, request, **whose(session)) == answer
    assert await _issuers(mesh, session) == []
    assert [one.id for one in await mesh.sessions.of_user(session.user_id)] == [session.id]
    assert (await _signed_in(mesh, elsewhere)).user_id != session.user_id


async def test_who_dies_behind_it_leaves_no_session_of_the_identity(
    mesh: GatewayMesh, elsewhere: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await _linked(mesh, elsewhere)
    thief = await _signed_in(mesh, elsewhere)

    async def killed(user_id: str, *, but: str = "") -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(mesh.sessions, "end_all", killed)
    request = pb.UnlinkOidcIdentityRequest(
        request_id="unlink-1", issuer="example", password=PASSWORD
    )
    error = await refused(mesh.oidc.UnlinkOidcIdentity, request, **whose(session))
    assert error.code is grpc.StatusCode.INTERNAL
    async with asyncio.timeout(30):
        while await mesh.outbox.pending():
            mesh.outbox.wake()
            await asyncio.sleep(0.02)
    assert not await mesh.check.lives(thief.id, mutates=True)
    assert await mesh.check.lives(session.id, mutates=True)


async def test_another_password_unlinks_all(mesh: GatewayMesh, elsewhere: Emulator) -> None:
    """Whoever has known the password may have linked an identity: it goes with the sessions."""
    session = await _linked(mesh, elsewhere)
    await _signed_in(mesh, elsewhere)
    change = ChangePasswordRequest(request_id="p-1", password=PASSWORD, new_password=PASSWORD[::-1])
    await call(mesh.stub.ChangePassword, change, **whose(session))
    assert await _issuers(mesh, session) == []
    assert [one.id for one in await mesh.sessions.of_user(session.user_id)] == [session.id]


async def test_nobody_loses_the_only_way_in(mesh: GatewayMesh, elsewhere: Emulator) -> None:
    session = await _signed_in(mesh, elsewhere)
    error = await _unlink_refused(mesh, session)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAST_IDENTITY")
    insert = "INSERT INTO identity VALUES ('https://gone.example', $1, 'v1', $2, now())"
    await mesh.pool.execute(insert, b"0" * 32, session.user_id)
    # An issuer that is not configured any more is named by its URL. Pages go on where one ended.
    first = await call(
        mesh.oidc.ListOidcIdentities, pb.ListOidcIdentitiesRequest(page_size=1), **whose(session)
    )
    more = pb.ListOidcIdentitiesRequest(page_size=1, page_token=first.next_page_token)
    last = await call(mesh.oidc.ListOidcIdentities, more, **whose(session))
    assert {one.issuer for one in (*first.identities, *last.identities)} == {
        "example",
        "https://gone.example",
    }
    assert last.next_page_token == ""
    request = pb.UnlinkOidcIdentityRequest(request_id="u-1", issuer="https://gone.example")
    await call(mesh.oidc.UnlinkOidcIdentity, request, **whose(session))
    assert await _issuers(mesh, session) == ["example"]


async def test_each_wrong_field_is_named(mesh: GatewayMesh) -> None:
    await mesh.register()
    session = (await mesh.login()).session
    error = await _unlink_refused(mesh, session, request_id="", issuer="", password="x" * 1025)
    assert (error.code, error.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["request_id", "issuer", "password"],
    )
    listed = pb.ListOidcIdentitiesRequest(page_size=-1, page_token="junk")
    error = await refused(mesh.oidc.ListOidcIdentities, listed, **whose(session))
    assert (error.code, set(error.fields)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        {"page_size", "page_token"},
    )
    nobody = pb.UnlinkOidcIdentityRequest(request_id="u-1", issuer="example")
    error = await refused(mesh.oidc.UnlinkOidcIdentity, nobody, principal=ADMIN)
    assert error.reason == "NO_SESSION"
