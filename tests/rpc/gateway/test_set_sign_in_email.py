"""SetSignInEmail: whoever changes the email of their profile signs in with the new one."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from gateway.addresses import RESERVED_MS
from gateway.credential_store import CredentialStore
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


async def test_a_reserved_address_is_nobody_elses(mesh: GatewayMesh) -> None:
    """Of all who want it at once one has it. Nobody takes it before it is set, also with another
    key of its hash, and a day later only who was given it.
    """
    people = [await mesh.register(f"{name}@example.com") for name in ("ada", "bob", "eve", "kim")]
    reserve = {"validate_only": True, "reserve": True}
    answers = await asyncio.gather(*(tell(mesh, one, 1, NEW, **reserve) for one in people))
    free = [number for number, one in enumerate(answers) if one == (1, False)]
    assert len(free) == 1, answers
    winner = people.pop(free[0])
    mesh.rings.emails.rotate()
    mesh.clock.advance(2 * SETTLE_MS)
    for loser in people:
        assert await tell(mesh, loser, 2, NEW) == (2, True)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await mesh.register(NEW)
    assert refusal.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert await tell(mesh, winner, 2, NEW, validate_only=True) == (2, False)
    assert await tell(mesh, winner, 2, NEW) == (2, False)
    assert await signs_in(mesh, NEW)
    assert await mesh.pool.fetchval("SELECT count(*) FROM reserved_address") == 0


async def test_who_registers_competes_too(mesh: GatewayMesh) -> None:
    ada, bob = await mesh.register(), await mesh.register(OTHER)
    for number in range(8):
        email = f"new{number}@example.com"
        answers = await asyncio.gather(
            tell(mesh, ada, 1, email, validate_only=True, reserve=True),
            mesh.register(email),
            tell(mesh, bob, 1, email, validate_only=True, reserve=True),
            return_exceptions=True,
        )
        got = [answer == (1, False) or isinstance(answer, str) for answer in answers]
        assert sum(got) == 1, answers


async def test_what_was_reserved_for_nothing_is_free_again(mesh: GatewayMesh) -> None:
    """After a day, for whoever comes; and nothing is left of it."""
    ada = await mesh.register()
    assert await tell(mesh, ada, 1, NEW, validate_only=True, reserve=True) == (1, False)
    store = CredentialStore(mesh.pool)
    assert await store.forget_reservations(before_ms=mesh.clock.now_ms()) == 0
    mesh.clock.advance(RESERVED_MS)
    bob = await mesh.register(NEW)
    assert await tell(mesh, ada, 2, NEW) == (2, True)
    assert bob != ada
    assert await store.forget_reservations(before_ms=mesh.clock.now_ms() + 1) == 1


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
