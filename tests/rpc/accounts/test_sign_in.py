"""What becomes of people's sign-in and roles: the gateway is told before the answer."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.accounts.v1 import member_service_pb2 as member_pb
from holdfast.accounts.v1 import user_service_pb2 as pb
from holdfast.accounts.v1.member_pb2 import Member
from holdfast.gateway.v1.session_service_pb2 import SetMembershipRequest, SetSignInRequest
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused
from tests.accounts_people import ANNA, BORIS, as_user, found_company, join

SignIn = SetSignInRequest.SignIn


async def person(mesh: AccountsMesh) -> str:
    request = pb.CreateUserRequest(
        request_id=mesh.request_id(),
        name="Ada",
        email="ada@example.com",
        birth_date="1990-12-10",
        tax_id="123-45-6789",
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


async def test_what_a_company_says_of_its_people_is_told(mesh: AccountsMesh) -> None:
    """Each version of a member: whether the user runs the company; answered once it is known."""
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "MANAGER", by=ANNA)
    named = {"company_id": company.id, "user_id": BORIS}
    for number, role in enumerate((Member.ROLE_EMPLOYEE, Member.ROLE_EMPLOYEE, Member.ROLE_ADMIN)):
        change = member_pb.UpdateMemberRequest(request_id=f"u{number}", role=role, **named)
        await call(mesh.members.UpdateMember, change, **as_user(ANNA))
    remove = member_pb.RemoveMemberRequest(request_id="r", **named)
    mesh.authorizer.refusing = True
    error = await refused(mesh.members.RemoveMember, remove, timeout_s=1, **as_user(ANNA))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    mesh.authorizer.refusing = False
    await call(mesh.members.RemoveMember, remove, **as_user(ANNA))
    await join(mesh, company.id, BORIS, "EMPLOYEE", by=ANNA)
    memberships = [
        (one.version, one.manages)
        for one in mesh.authorizer.requests
        if isinstance(one, SetMembershipRequest) and one.user_id == BORIS
    ]
    assert list(dict.fromkeys(memberships)) == [
        *((1, True), (2, False), (3, True)),
        *((4, False), (5, False)),
    ]
