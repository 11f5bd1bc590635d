"""SetSignInEmail: whoever changes the email of their profile signs in with the new one."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.gateway.v1.session_service_pb2 import LoginRequest
from holdfast.gateway.v1.sign_in_email_pb2 import SetSignInEmailRequest, SetSignInEmailResponse
from runtime.key_ring import SETTLE_MS
from tests.accounts_mesh import call, refused
from tests.gateway_mesh import ANONYMOUS, EMAIL, PASSWORD, UNKNOWN_USER, GatewayMesh
from tests.rpc.gateway.test_set_sign_in import ACCOUNTS

NEW, OTHER = "ada@new.example.com", "bob@example.com"


async def tell(
    mesh: GatewayMesh, user_id: str, version: int, email: str, **fields: Any
) -> tuple[int, bool]:
    request = SetSignInEmailRequest(user_id=user_id, version=version, email=email, **fields)
    answer: SetSignInEmailResponse = await call(mesh.stub.SetSignInEmail, request, **ACCOUNTS)
    return answer.version, answer.taken


async def signs_in(mesh: GatewayMesh, email: str) -> bool:
    mesh.clock.advance(600_000)
    request = LoginRequest(request_id=mesh.request_id(), email=email, password=PASSWORD)
    try:
        await call(mesh.stub.Login, request, principal=ANONYMOUS)
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.UNAUTHENTICATED
    return True


async def test_signs_in_with_the_new_one_only(mesh: GatewayMesh) -> None:
    """Sessions go on. What comes twice, or late, changes nothing; the old address is free."""
    user_id = await mesh.register()
    before = await mesh.login()
    assert await tell(mesh, user_id, 3, NEW, validate_only=True) == (3, False)
    assert await signs_in(mesh, EMAIL)
    for _ in range(2):
        assert await tell(mesh, user_id, 3, " Ada@New.Example.COM") == (3, False)
    assert await mesh.check.lives(before.session.id, mutates=True)
    assert await tell(mesh, user_id, 2, EMAIL) == (3, False)
    assert (await signs_in(mesh, NEW), await signs_in(mesh, EMAIL)) == (True, False)
    assert await mesh.register() != user_id
    assert await tell(mesh, user_id, 4, EMAIL) == (4, True)
    assert await signs_in(mesh, NEW)
    stored = repr(await mesh.pool.fetch("SELECT * FROM credential"))
    assert "example.com" not in stored


async def test_two_logins_never_share_an_address(mesh: GatewayMesh) -> None:
    """Also after the key of its hash was replaced, and when both want it at once."""
    ada, bob = await mesh.register(), await mesh.register(OTHER)
    mesh.rings.emails.rotate()
    mesh.clock.advance(2 * SETTLE_MS)
    assert await tell(mesh, ada, 2, OTHER) == (2, True)
    assert await tell(mesh, ada, 2, OTHER, validate_only=True) == (2, True)
    answers = await asyncio.gather(
        tell(mesh, ada, 5, NEW),
        tell(mesh, bob, 5, NEW),
        mesh.register(NEW),
        return_exceptions=True,
    )
    got = [answer == (5, False) or isinstance(answer, str) for answer in answers]
    assert sum(got) == 1, answers
    rows = await mesh.pool.fetch("SELECT email_hash FROM credential")
    assert len({row["email_hash"] for row in rows}) == len(rows)


async def test_who_signs_in_with_no_address(mesh: GatewayMesh) -> None:
    """Is not given one: nor does it matter that another has it."""
    await mesh.register()
    assert await tell(mesh, UNKNOWN_USER, 7, EMAIL) == (7, False)
    await mesh.pool.execute(
        "INSERT INTO credential (user_id, roles, state, version, create_time, update_time)"
        " VALUES ($1, '{cardholder}', 'ACTIVE', 1, now(), now())",
        UNKNOWN_USER,
    )
    assert await tell(mesh, UNKNOWN_USER, 8, NEW) == (8, False)
    request = LoginRequest(request_id="l", email=NEW, password=PASSWORD)
    assert await refused(mesh.stub.Login, request, principal=ANONYMOUS)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [({"user_id": "card_1"}, "user_id"), ({"version": 0}, "version"), ({"email": "a"}, "email")],
)
async def test_names_what_is_wrong(mesh: GatewayMesh, fields: dict[str, Any], wrong: str) -> None:
    good: dict[str, Any] = {"user_id": UNKNOWN_USER, "version": 1, "email": NEW}
    request = SetSignInEmailRequest(**(good | fields))
    error = await refused(mesh.stub.SetSignInEmail, request, **ACCOUNTS)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])
