"""SetMembership: what a company says of its people counts beside what operators say."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.gateway.v1.session_service_pb2 import (
    LoginRequest,
    RefreshRequest,
    SetMembershipRequest,
    SetUserAccessRequest,
)
from tests.accounts_mesh import call, refused
from tests.gateway_mesh import (
    ADMIN,
    ANONYMOUS,
    COMPANY,
    EMAIL,
    PASSWORD,
    UNKNOWN_USER,
    GatewayMesh,
)

ACCOUNTS: dict[str, Any] = {
    "principal": ("x-auth-spiffe", "spiffe://holdfast.local/service/accounts"),
    "metadata": (("x-auth-roles", ""),),
}
OTHER_COMPANY = "co_0a" + "2" * 32


async def tell(
    mesh: GatewayMesh, user_id: str, version: int, *, manages: bool, company_id: str = COMPANY
) -> int:
    request = SetMembershipRequest(
        user_id=user_id, company_id=company_id, version=version, manages=manages
    )
    counts: int = (await call(mesh.stub.SetMembership, request, **ACCOUNTS)).version
    return counts


async def manager(mesh: GatewayMesh, *more: str) -> str:
    """A user whom operators have made manager of the company, and what else they say."""
    user_id = await mesh.register()
    await give(mesh, user_id, *more)
    return user_id


async def give(mesh: GatewayMesh, user_id: str, *more: str, company_id: str = COMPANY) -> None:
    request = SetUserAccessRequest(
        request_id=mesh.request_id(),
        user_id=user_id,
        roles=["manager", *more],
        company_id=company_id,
    )
    await call(mesh.stub.SetUserAccess, request, principal=ADMIN)


async def claimed(mesh: GatewayMesh) -> tuple[str, str]:
    """Roles and company of a token of now."""
    mesh.clock.advance(60_000)
    claims = mesh.claims((await mesh.login()).tokens.access_token)
    return claims["roles"], claims.get("company", "")


async def test_who_is_removed_manages_nothing_until_taken_back(mesh: GatewayMesh) -> None:
    user_id = await manager(mesh, "cardholder")
    before = await mesh.login()
    assert await tell(mesh, user_id, 3, manages=False) == 3
    assert not await mesh.check.lives(before.session.id, mutates=True)
    assert await claimed(mesh) == ("cardholder", "")
    # Told again, told late, and against the company's word: nothing more.
    for version in (3, 2):
        assert await tell(mesh, user_id, version, manages=version == 2) == 3
    await give(mesh, user_id, "cardholder")
    assert await claimed(mesh) == ("cardholder", "")
    later = await mesh.login()
    assert await tell(mesh, user_id, 4, manages=True) == 4
    assert await mesh.check.lives(later.session.id, mutates=True)
    renewed = mesh.claims((await mesh.refresh(later.tokens.refresh_token)).tokens.access_token)
    assert (renewed["roles"], renewed["company"]) == ("manager cardholder", COMPANY)


async def test_who_is_nothing_else_cannot_sign_in(mesh: GatewayMesh) -> None:
    user_id = await manager(mesh)
    before = await mesh.login()
    await tell(mesh, user_id, 2, manages=False)
    request = RefreshRequest(request_id="r", refresh_token=before.tokens.refresh_token)
    error = await refused(mesh.stub.Refresh, request, principal=ANONYMOUS)
    assert error.reason == "SESSION_ENDED"
    mesh.clock.advance(60_000)
    login = LoginRequest(request_id=mesh.request_id(), email=EMAIL, password=PASSWORD)
    error = await refused(mesh.stub.Login, login, principal=ANONYMOUS)
    assert error.reason == "WRONG_CREDENTIALS"
    await tell(mesh, user_id, 3, manages=True)
    assert await claimed(mesh) == ("manager", COMPANY)


async def test_other_companies_and_other_roles_stay(mesh: GatewayMesh) -> None:
    """Of a company that the user does not manage here, nothing follows until it does."""
    user_id = await manager(mesh, "auditor")
    session = (await mesh.login()).session
    await tell(mesh, user_id, 1, manages=False, company_id=OTHER_COMPANY)
    await tell(mesh, user_id, 1, manages=True)
    assert await mesh.check.lives(session.id, mutates=True)
    assert await claimed(mesh) == ("manager auditor", COMPANY)
    await give(mesh, user_id, "auditor", company_id=OTHER_COMPANY)
    assert await claimed(mesh) == ("auditor", "")
    assert await tell(mesh, UNKNOWN_USER, 7, manages=False) == 7


async def test_it_is_recorded(mesh: GatewayMesh) -> None:
    user_id = await manager(mesh)
    await tell(mesh, user_id, 2, manages=False)
    row = await mesh.pool.fetchrow(
        "SELECT * FROM audit.entry WHERE service = 'gateway' ORDER BY id DESC LIMIT 1"
    )
    assert row is not None
    assert (row["code"], row["actor"]) == ("OK", ACCOUNTS["principal"][1])
    assert {user_id, COMPANY} <= set(row["targets"])


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"user_id": "card_1"}, "user_id"),
        ({"company_id": "x"}, "company_id"),
        ({"version": 0}, "version"),
    ],
)
async def test_names_what_is_wrong(mesh: GatewayMesh, fields: dict[str, Any], wrong: str) -> None:
    good: dict[str, Any] = {"user_id": UNKNOWN_USER, "company_id": COMPANY, "version": 1}
    request = SetMembershipRequest(**(good | fields))
    error = await refused(mesh.stub.SetMembership, request, **ACCOUNTS)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])
