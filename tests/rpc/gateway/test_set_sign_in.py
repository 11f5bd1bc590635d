"""SetSignIn: what accounts says of a person ends sessions, and bars who may not sign in."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.gateway.v1.session_service_pb2 import (
    LoginRequest,
    RefreshRequest,
    SetSignInRequest,
    SetUserAccessRequest,
)
from tests.accounts_mesh import call, refused
from tests.gateway_mesh import (
    ADMIN,
    ANONYMOUS,
    EMAIL,
    PASSWORD,
    UNKNOWN_USER,
    GatewayMesh,
)

ACCOUNTS: dict[str, Any] = {
    "principal": ("x-auth-spiffe", "spiffe://holdfast.local/service/accounts"),
    "metadata": (("x-auth-roles", ""),),
}
ALLOWED, BARRED, FORGOTTEN = (
    SetSignInRequest.SIGN_IN_ALLOWED,
    SetSignInRequest.SIGN_IN_BARRED,
    SetSignInRequest.SIGN_IN_FORGOTTEN,
)


async def tell(
    mesh: GatewayMesh, user_id: str, version: int, sign_in: SetSignInRequest.SignIn.ValueType
) -> int:
    request = SetSignInRequest(user_id=user_id, version=version, sign_in=sign_in)
    counts: int = (await call(mesh.stub.SetSignIn, request, **ACCOUNTS)).version
    return counts


async def login_reason(mesh: GatewayMesh) -> str:
    mesh.clock.advance(60_000)
    request = LoginRequest(request_id=mesh.request_id(), email=EMAIL, password=PASSWORD)
    return (await refused(mesh.stub.Login, request, principal=ANONYMOUS)).reason


async def test_who_is_barred_has_no_session_and_gets_none(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    before = await mesh.login()
    assert await tell(mesh, user_id, 2, BARRED) == 2
    assert not await mesh.check.lives(before.session.id, mutates=True)
    assert await login_reason(mesh) == "WRONG_CREDENTIALS"
    request = RefreshRequest(request_id="r", refresh_token=before.tokens.refresh_token)
    error = await refused(mesh.stub.Refresh, request, principal=ANONYMOUS)
    assert error.reason == "SESSION_ENDED"
    # Repeated, and told of what was before: nothing more.
    assert await tell(mesh, user_id, 2, BARRED) == 2
    assert await tell(mesh, user_id, 1, ALLOWED) == 2
    assert await login_reason(mesh) == "WRONG_CREDENTIALS"
    assert await tell(mesh, user_id, 3, ALLOWED) == 3
    mesh.clock.advance(60_000)
    after = await mesh.login()
    # The suspension comes again, late: the session goes on.
    assert await tell(mesh, user_id, 2, BARRED) == 3
    assert await mesh.check.lives(after.session.id, mutates=True)


async def test_what_operators_say_counts_beside_it(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    access = SetUserAccessRequest(
        request_id="a", user_id=user_id, roles=["cardholder"], disabled=True
    )
    await call(mesh.stub.SetUserAccess, access, principal=ADMIN)
    await tell(mesh, user_id, 2, BARRED)
    await tell(mesh, user_id, 3, ALLOWED)
    assert await login_reason(mesh) == "WRONG_CREDENTIALS"
    await tell(mesh, user_id, 4, BARRED)
    access.request_id, access.disabled = "b", False
    await call(mesh.stub.SetUserAccess, access, principal=ADMIN)
    assert await login_reason(mesh) == "WRONG_CREDENTIALS"


async def test_of_who_is_forgotten_nothing_is_left(mesh: GatewayMesh) -> None:
    user_id, other_id = await mesh.register(), await mesh.register("bob@example.com")
    await mesh.pool.execute(
        "INSERT INTO second_factor (user_id, secret, confirmed, last_step, create_time)"
        " VALUES ($1, 'secret', false, 0, now())",
        user_id,
    )
    await mesh.pool.execute(
        "INSERT INTO recovery_code SELECT $1, sha256('code')",
        user_id,
    )
    for table in ("identity", "external_identity"):
        await mesh.pool.execute(
            f"INSERT INTO {table} (issuer, subject_hash, subject_key, user_id, create_time)"
            " VALUES ('https://issuer', sha256('me'), '1', $1, now())",
            user_id,
        )
    before = await mesh.login()
    for _ in range(2):
        assert await tell(mesh, user_id, 5, FORGOTTEN) == 5
    assert not await mesh.check.lives(before.session.id, mutates=True)
    for table in ("credential", "second_factor", "recovery_code", "identity", "external_identity"):
        rows = await mesh.pool.fetch(f"SELECT user_id FROM {table}")
        assert [row["user_id"] for row in rows] == ([other_id] if table == "credential" else [])
    assert await login_reason(mesh) == "WRONG_CREDENTIALS"
    mesh.clock.advance(60_000)
    # The address is free again, for somebody else.
    assert await mesh.register() != user_id


async def test_who_cannot_sign_in_anyway(mesh: GatewayMesh) -> None:
    for sign_in in (ALLOWED, BARRED, FORGOTTEN):
        assert await tell(mesh, UNKNOWN_USER, 7, sign_in) == 7


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"user_id": "card_1"}, "user_id"),
        ({"version": 0}, "version"),
        ({"sign_in": 0}, "sign_in"),
        ({"sign_in": 9}, "sign_in"),
    ],
)
async def test_names_what_is_wrong(mesh: GatewayMesh, fields: dict[str, Any], wrong: str) -> None:
    good: dict[str, Any] = {"user_id": UNKNOWN_USER, "version": 1, "sign_in": BARRED}
    error = await refused(mesh.stub.SetSignIn, SetSignInRequest(**(good | fields)), **ACCOUNTS)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])
