"""What becomes of people's sign-in: the gateway is told before the answer."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.accounts.v1 import user_service_pb2 as pb
from holdfast.gateway.v1.session_service_pb2 import SetSignInRequest
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused

SignIn = SetSignInRequest.SignIn


async def person(mesh: AccountsMesh) -> str:
    request = pb.CreateUserRequest(
        request_id=mesh.request_id(), name="Ada", email="ada@example.com"
    )
    user_id: str = (await call(mesh.users.CreateUser, request)).user.id
    return user_id


def asking(mesh: AccountsMesh, name: str, user_id: str) -> Any:
    return getattr(pb, f"{name}Request")(request_id=mesh.request_id(), user_id=user_id)


def told(mesh: AccountsMesh) -> list[tuple[str, int, str]]:
    return [
        (one.user_id, one.version, SignIn.Name(one.sign_in).removeprefix("SIGN_IN_"))
        for one in mesh.authorizer.requests
        if isinstance(one, SetSignInRequest)
    ]


async def test_every_move_is_told(mesh: AccountsMesh) -> None:
    """Also that it is the same: nothing more is told then."""
    user_id = await person(mesh)
    for name in (
        *("VerifyUser", "SuspendUser", "SuspendUser", "ReactivateUser", "CloseUser"),
        *("EraseUser", "EraseUser"),
    ):
        await call(getattr(mesh.users, name), asking(mesh, name, user_id))
    assert told(mesh) == [
        (user_id, 3, "BARRED"),
        (user_id, 4, "ALLOWED"),
        (user_id, 5, "BARRED"),
        (user_id, 6, "FORGOTTEN"),
    ]


async def test_who_is_deleted_is_forgotten(mesh: AccountsMesh) -> None:
    user_id = await person(mesh)
    await call(mesh.users.DeleteUser, asking(mesh, "DeleteUser", user_id))
    ((told_id, version, sign_in),) = told(mesh)
    assert (told_id, sign_in) == (user_id, "FORGOTTEN")
    assert version > 1


async def test_answered_once_the_gateway_knows(mesh: AccountsMesh) -> None:
    """Else the outcome is unknown; the outbox goes on, and the same request is answered then."""
    user_id = await person(mesh)
    request = asking(mesh, "SuspendUser", user_id)
    mesh.authorizer.refusing = True
    error = await refused(mesh.users.SuspendUser, request, timeout_s=1)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    mesh.authorizer.refusing = False
    answer, replayed = await call_replayed(mesh.users.SuspendUser, request)
    assert (replayed, answer.user.version) == (True, 2)
    assert told(mesh) == [(user_id, 2, "BARRED")]
