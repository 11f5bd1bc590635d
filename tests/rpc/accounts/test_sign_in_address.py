"""UpdateUser with another email: who may, and that the gateway is told before the answer."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import user_service_pb2 as pb
from holdfast.gateway.v1.sign_in_email_pb2 import SetSignInEmailRequest
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused
from tests.rpc.accounts.test_users import EMAIL, create, full, move

NEW, TAKEN = "ada@new.example.com", "ada@taken.example"
ROLE = ("x-auth-roles", "cardholder")


def themselves(mesh: AccountsMesh, user_id: str, *, age_s: int | None) -> dict[str, Any]:
    """The person, whose second factor is this old."""
    given = (
        () if age_s is None else (("x-auth-mfa-time", str(mesh.clock.now_ms() // 1000 - age_s)),)
    )
    return {"principal": ("x-auth-subject", user_id), "metadata": (ROLE, *given)}


def change(mesh: AccountsMesh, user_id: str, email: str = NEW) -> pb.UpdateUserRequest:
    return pb.UpdateUserRequest(request_id=mesh.request_id(), user_id=user_id, email=email)


def told(mesh: AccountsMesh) -> list[tuple[str, int, str]]:
    return [
        (one.user_id, one.version, one.email)
        for one in mesh.authorizer.requests
        if isinstance(one, SetSignInEmailRequest) and not one.validate_only
    ]


async def test_the_gateway_is_told(mesh: AccountsMesh) -> None:
    """Of a change, once; not of what stays, nor of an email that is removed."""
    user = await create(mesh)
    request = change(mesh, user.id)
    who = themselves(mesh, user.id, age_s=300)
    answer = await call(mesh.users.UpdateUser, request, **who)
    assert told(mesh) == [(user.id, 2, NEW)]
    assert await call_replayed(mesh.users.UpdateUser, request, **who) == (answer, True)
    await call(
        mesh.users.UpdateUser, change(mesh, user.id), **themselves(mesh, user.id, age_s=None)
    )
    await call(mesh.users.UpdateUser, change(mesh, user.id, ""), **who)
    assert told(mesh) == [(user.id, 2, NEW)]
    await call(mesh.users.UpdateUser, change(mesh, user.id, EMAIL))
    assert told(mesh)[1:] == [(user.id, 4, EMAIL)]


@pytest.mark.parametrize("email", [NEW, ""])
@pytest.mark.parametrize("age_s", [301, None])
async def test_a_token_alone_takes_no_login_over(
    mesh: AccountsMesh, email: str, age_s: int | None
) -> None:
    """Goal: with a stolen token, have the account's login lead to another address."""
    user = await create(mesh)
    who = themselves(mesh, user.id, age_s=age_s)
    error = await refused(mesh.users.UpdateUser, change(mesh, user.id, email), **who)
    assert (error.code, error.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "SECOND_FACTOR_REQUIRED",
    )
    assert error.metadata["max_age_s"] == "300"
    assert ((await full(mesh, user.id)).email, told(mesh)) == (EMAIL, [])
    other = pb.UpdateUserRequest(request_id="p", user_id=user.id, phone="")
    assert (await call(mesh.users.UpdateUser, other, **who)).user.version == 2


async def test_the_address_of_another_login_is_refused(mesh: AccountsMesh) -> None:
    user = await create(mesh)
    error = await refused(mesh.users.UpdateUser, change(mesh, user.id, TAKEN))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN")
    assert ((await full(mesh, user.id)).version, told(mesh)) == (1, [])


async def test_nothing_changes_while_the_gateway_cannot_be_asked(mesh: AccountsMesh) -> None:
    user = await create(mesh)
    mesh.authorizer.refusing = True
    request = change(mesh, user.id)
    error = await refused(mesh.users.UpdateUser, request)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "GATEWAY_UNAVAILABLE")
    assert (await full(mesh, user.id)).version == 1
    mesh.authorizer.refusing = False
    assert (await call(mesh.users.UpdateUser, request)).user.version == 2


async def test_who_dies_behind_the_commit_is_followed_by_the_outbox(mesh: AccountsMesh) -> None:
    """What waits there names nobody's address; of who is erased meanwhile nothing is told."""
    user = await create(mesh)
    async with mesh.people.transaction(now_ms=mesh.clock.now_ms()) as transaction:
        found = await transaction.user(user.id)
        assert found is not None
        await transaction.tell_address(found)
        row = await transaction.connection.fetchrow("SELECT * FROM outbox")
        assert (row["topic"], row["key"], row["payload"]) == ("sign_in_address", user.id, b"")
    assert await mesh.outbox.wait_delivered(user.id, timeout_s=5)
    assert told(mesh) == [(user.id, 1, EMAIL)]
    for name in ("CloseUser", "EraseUser"):
        await move(mesh, name, user.id)
    async with mesh.people.transaction(now_ms=mesh.clock.now_ms()) as transaction:
        await transaction.tell_address(found)
    assert await mesh.outbox.wait_delivered(user.id, timeout_s=5)
    assert len(told(mesh)) == 1
