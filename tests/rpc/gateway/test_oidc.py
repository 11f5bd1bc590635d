"""OidcService against an issuer that others wrote: begin, complete, link; all that is refused."""

from __future__ import annotations

import json
from base64 import b32decode
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from gateway import totp
from gateway.oidc import Issuer
from gateway.oidc_sign_in import FLOW_MS
from holdfast.gateway.v1 import oidc_service_pb2 as pb
from holdfast.gateway.v1 import second_factor_service_pb2 as factor_pb
from holdfast.gateway.v1.session_service_pb2 import SetUserAccessRequest
from tests.accounts_mesh import Refused, call, refused
from tests.gateway_mesh import (
    ADDRESS,
    ADMIN,
    ANONYMOUS,
    EMAIL,
    PASSWORD,
    GatewayMesh,
    _from,
    whose,
)
from tests.oidc_emulator import REDIRECT_URI, Emulator, emulator

SUBJECT = "ada|at issuer"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Emulator]:
    with emulator() as running:
        running.knows(SUBJECT, email=EMAIL, email_verified=True, name="Ada")
        running.knows("unverified", email="eve@example.com", email_verified=False)
        yield running


@pytest.fixture(autouse=True)
async def _configured(mesh: GatewayMesh, elsewhere: Emulator) -> AsyncIterator[None]:
    mesh.providers["example"] = elsewhere.provider()
    yield
    await elsewhere.close_clients()


async def _begun(mesh: GatewayMesh) -> pb.BeginOidcSignInResponse:
    request = pb.BeginOidcSignInRequest(
        request_id=mesh.request_id(), issuer="example", redirect_uri=REDIRECT_URI
    )
    answer: pb.BeginOidcSignInResponse = await call(
        mesh.oidc.BeginOidcSignIn, request, principal=ANONYMOUS
    )
    return answer


async def _returned(
    mesh: GatewayMesh, elsewhere: Emulator, subject: str = SUBJECT
) -> dict[str, str]:
    """What a client has once its user is back."""
    begun = await _begun(mesh)
    state, code = elsewhere.agree(begun.authorization_url, subject)
    return {"flow_token": begun.flow_token, "state": state, "authorization_code": code}


async def _complete(mesh: GatewayMesh, shown: dict[str, str], **fields: str) -> Any:
    request = pb.CompleteOidcSignInRequest(**{"request_id": mesh.request_id(), **shown, **fields})
    options: dict[str, Any] = {"principal": ANONYMOUS, "metadata": _from(ADDRESS)}
    return await call(mesh.oidc.CompleteOidcSignIn, request, **options)


async def _refused(mesh: GatewayMesh, shown: dict[str, str], **fields: str) -> Refused:
    request = pb.CompleteOidcSignInRequest(**{"request_id": mesh.request_id(), **shown, **fields})
    options: dict[str, Any] = {"principal": ANONYMOUS, "metadata": _from(ADDRESS)}
    return await refused(mesh.oidc.CompleteOidcSignIn, request, **options)


async def test_a_newcomer_is_registered_and_known_again(
    mesh: GatewayMesh, elsewhere: Emulator
) -> None:
    first = await _complete(mesh, await _returned(mesh, elsewhere))
    assert (first.registered, first.issuer) == (True, "example")
    assert list(first.session.roles) == ["cardholder"]
    assert mesh.claims(first.tokens.access_token)["sub"] == first.session.user_id
    assert await mesh.check.lives(first.session.id, mutates=True)
    assert await mesh.outbox.wait_delivered(first.session.user_id, timeout_s=5)
    (profile,) = mesh.accounts.profiles
    assert (profile.email, profile.name) == (EMAIL, "Ada")
    # Whatever address the issuer names by now: the subject says who it is.
    elsewhere.knows(SUBJECT, email="other@example.com", email_verified=False)
    again = await _complete(mesh, await _returned(mesh, elsewhere))
    elsewhere.knows(SUBJECT, email=EMAIL, email_verified=True, name="Ada")
    assert (again.registered, again.session.user_id) == (False, first.session.user_id)
    assert again.session.id != first.session.id


async def test_a_sign_in_is_recorded_and_nothing_secret_with_it(
    mesh: GatewayMesh, elsewhere: Emulator
) -> None:
    shown = await _returned(mesh, elsewhere)
    answer = await _complete(mesh, shown)
    row = await mesh.pool.fetchrow(
        "SELECT * FROM audit.entry WHERE service = 'gateway' ORDER BY id DESC LIMIT 1"
    )
    assert row is not None
    assert row["method"].endswith("/CompleteOidcSignIn")
    assert answer.session.user_id in row["targets"]
    assert "example" in str(row["after"])
    kept = repr(dict(row)) + repr(await mesh.pool.fetch("SELECT * FROM identity"))
    for secret in (*shown.values(), answer.tokens.access_token, EMAIL, SUBJECT):
        assert secret not in kept


async def test_a_verified_address_opens_nobodys_account(
    mesh: GatewayMesh, elsewhere: Emulator
) -> None:
    """Only its owner, signed in, links the identity; with the same sign-in, too."""
    user_id = await mesh.register()
    shown = await _returned(mesh, elsewhere)
    error = await _refused(mesh, shown)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN")
    session = (await mesh.login()).session
    request = pb.LinkOidcIdentityRequest(request_id="link-1", password=PASSWORD, **shown)
    linked = await call(mesh.oidc.LinkOidcIdentity, request, **whose(session))
    said = await mesh.pool.fetchval(
        "SELECT after FROM audit.entry WHERE service = 'gateway' ORDER BY id DESC LIMIT 1"
    )
    assert json.loads(said) == {"user_id": user_id, "issuer": "example"}
    assert (linked.user_id, linked.issuer) == (user_id, "example")
    answer = await _complete(mesh, await _returned(mesh, elsewhere))
    assert (answer.registered, answer.session.user_id) == (False, user_id)
    # Once more is nothing new; somebody else's, or another one of the same issuer, is refused.
    shown = await _returned(mesh, elsewhere)
    request = pb.LinkOidcIdentityRequest(request_id="link-2", password=PASSWORD, **shown)
    await call(mesh.oidc.LinkOidcIdentity, request, **whose(session))
    other = await mesh.login(await _second_user(mesh))
    for subject, owner in ((SUBJECT, other.session), ("unverified", session)):
        shown = await _returned(mesh, elsewhere, subject)
        request = pb.LinkOidcIdentityRequest(
            request_id=mesh.request_id(), password=PASSWORD, **shown
        )
        error = await refused(mesh.oidc.LinkOidcIdentity, request, **whose(owner))
        assert (error.code, error.reason) == (
            grpc.StatusCode.ALREADY_EXISTS,
            "IDENTITY_TAKEN",
        )


async def _second_user(mesh: GatewayMesh) -> str:
    await mesh.register("bob@example.com")
    return "bob@example.com"


async def test_a_flow_works_once_and_for_who_began_it(
    mesh: GatewayMesh, elsewhere: Emulator
) -> None:
    shown = await _returned(mesh, elsewhere)
    another = await _begun(mesh)
    for wrong in (
        {**shown, "flow_token": another.flow_token},
        {**shown, "flow_token": "hff_" + "0" * 64},
        {**shown, "state": "0" * 64},
    ):
        assert (await _refused(mesh, wrong)).reason == "FLOW_ENDED"
    done = await _complete(mesh, shown, request_id="once")
    # A lost answer may be asked for again; the first session is then replaced.
    again = await _complete(mesh, shown, request_id="once")
    assert again.session.id != done.session.id
    assert await mesh.sessions.find(done.session.id) is None
    assert (await _refused(mesh, shown, request_id="twice")).reason == "FLOW_ENDED"
    assert (await _refused(mesh, shown, request_id="once")).reason == "FLOW_ENDED"


async def test_a_code_of_another_sign_in_is_refused(mesh: GatewayMesh, elsewhere: Emulator) -> None:
    """The nonce binds the ID token to the flow; the issuer refuses codes that it never gave."""
    mine, theirs = await _returned(mesh, elsewhere), await _returned(mesh, elsewhere)
    swapped = {**mine, "authorization_code": theirs["authorization_code"]}
    error = await _refused(mesh, swapped)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "ID_TOKEN_INVALID")
    assert error.metadata["because"] == "nonce"
    assert (await _refused(mesh, {**theirs, "authorization_code": "junk"})).reason == (
        "ISSUER_REFUSED"
    )


async def test_a_flow_ends_in_time(mesh: GatewayMesh) -> None:
    begun = await _begun(mesh)
    state = begun.authorization_url.partition("&state=")[2].partition("&")[0]
    left_ms = await mesh.sessions._pipe.command("PTTL", f"oidc:{state}")
    assert FLOW_MS - 5_000 < left_ms <= FLOW_MS


@pytest.mark.parametrize(
    ("registers", "subject", "reason"),
    [(True, "unverified", "EMAIL_UNVERIFIED"), (False, SUBJECT, "IDENTITY_UNKNOWN")],
)
async def test_not_everybody_is_registered(
    mesh: GatewayMesh, elsewhere: Emulator, *, registers: bool, subject: str, reason: str
) -> None:
    mesh.providers["example"] = elsewhere.provider(elsewhere.issuer(registers=registers))
    error = await _refused(mesh, await _returned(mesh, elsewhere, subject))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    assert await mesh.pool.fetchval("SELECT count(*) FROM credential") == 0


async def test_a_second_factor_is_asked_for(mesh: GatewayMesh, elsewhere: Emulator) -> None:
    session = (await _complete(mesh, await _returned(mesh, elsewhere))).session
    enrolled = await call(
        mesh.factors.EnrollSecondFactor,
        factor_pb.EnrollSecondFactorRequest(request_id="e-1"),
        **whose(session),
    )

    def code() -> str:
        mesh.clock.advance(totp.STEP_MS)
        return totp.code_at(b32decode(enrolled.secret), mesh.clock.now_ms() // totp.STEP_MS)

    request = factor_pb.ConfirmSecondFactorRequest(request_id="c-1", code=code())
    await call(mesh.factors.ConfirmSecondFactor, request, **whose(session))
    shown = await _returned(mesh, elsewhere)
    assert (await _refused(mesh, shown)).reason == "CODE_REQUIRED"
    assert (await _refused(mesh, shown, code="000000")).reason == "WRONG_CODE"
    answer = await _complete(mesh, shown, code=code())
    assert answer.session.HasField("mfa_time")


async def test_the_disabled_do_not_sign_in(mesh: GatewayMesh, elsewhere: Emulator) -> None:
    user_id = (await _complete(mesh, await _returned(mesh, elsewhere))).session.user_id
    request = SetUserAccessRequest(
        request_id="off", user_id=user_id, roles=["cardholder"], disabled=True
    )
    await call(mesh.stub.SetUserAccess, request, principal=ADMIN)
    error = await _refused(mesh, await _returned(mesh, elsewhere))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "WRONG_CREDENTIALS")


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({"issuer": "nobody"}, grpc.StatusCode.NOT_FOUND, "ISSUER_UNKNOWN"),
        (
            {"redirect_uri": "https://evil.example"},
            grpc.StatusCode.INVALID_ARGUMENT,
            ["redirect_uri"],
        ),
        (
            {"redirect_uri": f"{REDIRECT_URI}/more"},
            grpc.StatusCode.INVALID_ARGUMENT,
            ["redirect_uri"],
        ),
        (
            {"request_id": "", "issuer": "", "redirect_uri": ""},
            grpc.StatusCode.INVALID_ARGUMENT,
            ["request_id", "redirect_uri", "issuer"],
        ),
    ],
)
async def test_begin_refuses(
    mesh: GatewayMesh, *, fields: dict[str, str], code: grpc.StatusCode, told: Any
) -> None:
    given = {"request_id": "b-1", "issuer": "example", "redirect_uri": REDIRECT_URI, **fields}
    error = await refused(
        mesh.oidc.BeginOidcSignIn, pb.BeginOidcSignInRequest(**given), principal=ANONYMOUS
    )
    assert error.code is code
    assert told in (error.reason, error.fields)


async def test_each_wrong_field_is_named(mesh: GatewayMesh) -> None:
    error = await _refused(mesh, {}, request_id="", code="9" * 33)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(error.fields) == {
        *("request_id", "code", "flow_token", "state", "authorization_code")
    }


async def test_an_issuer_that_is_away_or_another_one(
    mesh: GatewayMesh, elsewhere: Emulator
) -> None:
    """It is believed only if it says that it is the one that is configured."""

    def wrong(url: str) -> Issuer:
        return replace(elsewhere.issuer(), url=url)

    for url in ("http://localhost:9", elsewhere.url.replace("localhost", "127.0.0.1") + "/"):
        mesh.providers["example"] = elsewhere.provider(wrong(url))
        request = pb.BeginOidcSignInRequest(
            request_id="b-1", issuer="example", redirect_uri=REDIRECT_URI
        )
        error = await refused(mesh.oidc.BeginOidcSignIn, request, principal=ANONYMOUS)
        assert (error.code, error.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "ISSUER_UNAVAILABLE",
        )
