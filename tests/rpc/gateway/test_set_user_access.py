from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.gateway.v1.session_service_pb2 import LoginRequest, SetUserAccessRequest
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


def _request(user_id: str, **fields: Any) -> SetUserAccessRequest:
    good: dict[str, Any] = {"request_id": "a-1", "user_id": user_id, "roles": ["cardholder"]}
    return SetUserAccessRequest(**(good | fields))


async def test_gives_roles_and_ends_the_sessions(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    before = await mesh.login()
    request = _request(user_id, roles=["manager", "cardholder", "manager"], company_id=COMPANY)
    answer = await call(mesh.stub.SetUserAccess, request, principal=ADMIN)
    assert (list(answer.roles), answer.company_id) == (["manager", "cardholder"], COMPANY)
    assert not await mesh.check.lives(before.session.id, mutates=True)
    claims = mesh.claims((await mesh.login()).tokens.access_token)
    assert (claims["roles"], claims["company"]) == ("manager cardholder", COMPANY)
    # Replayed, and refused with other content.
    assert await call(mesh.stub.SetUserAccess, request, principal=ADMIN) == answer
    other = await refused(mesh.stub.SetUserAccess, _request(user_id), principal=ADMIN)
    assert other.reason == "REQUEST_ID_REUSED"


async def test_a_merchant_works_for_one(mesh: GatewayMesh) -> None:
    """A row: neither tokens nor sessions say which, so that the next call sees a change."""
    user_id = await mesh.register()
    request = _request(user_id, roles=["merchant"], merchant_id="mer_bakery")
    answer = await call(mesh.stub.SetUserAccess, request, principal=ADMIN)
    assert answer.merchant_id == "mer_bakery"
    stored = "SELECT merchant_id FROM credential WHERE user_id = $1"
    assert await mesh.pool.fetchval(stored, user_id) == "mer_bakery"
    claims = mesh.claims((await mesh.login()).tokens.access_token)
    assert (claims["roles"], "mer_bakery" in str(claims)) == ("merchant", False)
    await call(mesh.stub.SetUserAccess, _request(user_id, request_id="a-2"), principal=ADMIN)
    assert await mesh.pool.fetchval(stored, user_id) is None


async def test_the_disabled_learn_nothing(mesh: GatewayMesh) -> None:
    user_id = await mesh.register()
    await call(mesh.stub.SetUserAccess, _request(user_id, disabled=True), principal=ADMIN)
    request = LoginRequest(request_id="l", email=EMAIL, password=PASSWORD)
    answer = await refused(mesh.stub.Login, request, principal=ANONYMOUS)
    assert answer.reason == "WRONG_CREDENTIALS"
    again = _request(user_id, request_id="a-2")
    await call(mesh.stub.SetUserAccess, again, principal=ADMIN)
    mesh.clock.advance(60_000)
    await mesh.login()


async def test_an_unknown_user(mesh: GatewayMesh) -> None:
    answer = await refused(mesh.stub.SetUserAccess, _request(UNKNOWN_USER), principal=ADMIN)
    assert answer.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": ""}, "request_id"),
        ({"user_id": "card_1"}, "user_id"),
        ({"roles": []}, "roles"),
        ({"roles": ["root"]}, "roles"),
        ({"roles": ["manager"]}, "company_id"),
        ({"company_id": "usr_1"}, "company_id"),
        ({"roles": ["merchant"]}, "merchant_id"),
        ({"merchant_id": "usr_1"}, "merchant_id"),
    ],
)
async def test_names_what_is_wrong(mesh: GatewayMesh, fields: dict[str, Any], wrong: str) -> None:
    good = {"request_id": "a-1", "user_id": UNKNOWN_USER, "roles": ["cardholder"]}
    request = SetUserAccessRequest(**(good | fields))
    answer = await refused(mesh.stub.SetUserAccess, request, principal=ADMIN)
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])
