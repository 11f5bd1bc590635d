"""MemberService: members and invitations."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import (
    company_pb2,
    company_service_pb2,
    member_pb2,
    user_service_pb2,
)
from holdfast.accounts.v1 import member_service_pb2 as pb
from tests.accounts_applying import create_user
from tests.accounts_mesh import AccountsMesh, call, refused
from tests.accounts_people import (
    ANNA,
    AUDITOR,
    BORIS,
    CHLOE,
    NOBODY,
    STAFF,
    as_user,
    found_company,
    invite,
    join,
)

Role = member_pb2.Member.Role
Invited = member_pb2.Invitation.State
DAY_MS = 86_400_000


def accept(token: str, request_id: str = "a") -> pb.AcceptInvitationRequest:
    return pb.AcceptInvitationRequest(request_id=request_id, token=token)


async def members_of(mesh: AccountsMesh, company_id: str) -> dict[str, int]:
    request = pb.ListMembersRequest(company_id=company_id)
    listed = await call(mesh.members.ListMembers, request, **STAFF)
    return {one.user_id: one.role for one in listed.members}


async def test_an_invitation_is_accepted_once(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    invited = await invite(mesh, company.id, "MANAGER", by=ANNA)
    invitation = invited.invitation
    assert (invitation.state, invitation.email) == (Invited.STATE_PENDING, "b***@example.com")
    assert len(invited.token) == 43
    member = await call(mesh.members.AcceptInvitation, accept(invited.token), **as_user(BORIS))
    assert (member.member.user_id, member.member.role) == (BORIS, Role.ROLE_MANAGER)
    again = accept(invited.token)
    assert await call(mesh.members.AcceptInvitation, again, **as_user(BORIS)) == member
    error = await refused(mesh.members.AcceptInvitation, accept(invited.token), **as_user(CHLOE))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ILLEGAL_TRANSITION",
    )
    assert error.metadata["from"] == "ACCEPTED"
    assert await members_of(mesh, company.id) == {
        ANNA: Role.ROLE_ADMIN,
        BORIS: Role.ROLE_MANAGER,
    }
    for user_id, count in ((BORIS, 1), (CHLOE, 0)):
        request = pb.ListMembershipsRequest(user_id=user_id)
        listed = await call(mesh.members.ListMemberships, request, **as_user(user_id))
        assert len(listed.members) == count
    error = await refused(
        mesh.members.ListMemberships,
        pb.ListMembershipsRequest(user_id=BORIS),
        **as_user(CHLOE),
    )
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")


async def test_the_token_is_shown_once_and_stored_nowhere(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    request = pb.CreateInvitationRequest(
        request_id="i",
        company_id=company.id,
        email="boris.sample@example.com",
        role=Role.ROLE_EMPLOYEE,
    )
    first = await call(mesh.members.CreateInvitation, request, **as_user(ANNA))
    second = await call(mesh.members.CreateInvitation, request, **as_user(ANNA))
    assert first.token
    assert (second.token, second.invitation) == ("", first.invitation)
    for table in ("invitation", "request_record", "outbox"):
        for row in await mesh.pool.fetch(f"SELECT t::text AS line FROM {table} t"):
            for secret in (first.token, "boris.sample"):
                assert secret not in row["line"]
                assert secret.encode().hex() not in row["line"]


async def test_invitations_end(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    revoked = await invite(mesh, company.id, "EMPLOYEE", by=ANNA)
    late = await invite(mesh, company.id, "EMPLOYEE", by=ANNA)
    request = pb.RevokeInvitationRequest(request_id="r", invitation_id=revoked.invitation.id)
    answer = await call(mesh.members.RevokeInvitation, request, **as_user(ANNA))
    assert answer.invitation.state == Invited.STATE_REVOKED
    mesh.clock.advance(7 * DAY_MS)
    for invited, state in ((revoked, "REVOKED"), (late, "EXPIRED")):
        error = await refused(
            mesh.members.AcceptInvitation, accept(invited.token), **as_user(BORIS)
        )
        assert (error.reason, error.metadata["from"]) == ("ILLEGAL_TRANSITION", state)
    listing = pb.ListInvitationsRequest(company_id=company.id)
    listed = await call(mesh.members.ListInvitations, listing, **as_user(ANNA))
    assert {one.state for one in listed.invitations} == {
        Invited.STATE_REVOKED,
        Invited.STATE_EXPIRED,
    }
    error = await refused(mesh.members.RevokeInvitation, request, **as_user(BORIS))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "INVITATION_NOT_FOUND")


async def test_who_accepts(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    token = (await invite(mesh, company.id, "EMPLOYEE", by=ANNA)).token
    error = await refused(mesh.members.AcceptInvitation, accept(token), **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_A_USER")
    error = await refused(mesh.members.AcceptInvitation, accept(token), **as_user(ANNA))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_MEMBER")
    error = await refused(mesh.members.AcceptInvitation, accept("x" * 43), **as_user(BORIS))
    assert error.reason == "INVITATION_NOT_FOUND"
    error = await refused(mesh.members.AcceptInvitation, accept("x"), **as_user(BORIS))
    assert error.fields == ["token"]
    suspend = company_service_pb2.UpdateCompanyRequest(
        request_id="s", company_id=company.id, state=company_pb2.Company.STATE_SUSPENDED
    )
    await call(mesh.companies.UpdateCompany, suspend, **STAFF)
    error = await refused(mesh.members.AcceptInvitation, accept(token), **as_user(BORIS))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "COMPANY_NOT_ACTIVE",
    )


async def test_twenty_at_once_with_one_token_are_one_member(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    token = (await invite(mesh, company.id, "EMPLOYEE", by=ANNA)).token
    users = [f"usr_{number:02x}" + "d" * 32 for number in range(20)]
    answers = await asyncio.gather(
        *(call(mesh.members.AcceptInvitation, accept(token), **as_user(one)) for one in users),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert len(await members_of(mesh, company.id)) == 2


def update(company_id: str, user_id: str, **fields: Any) -> pb.UpdateMemberRequest:
    return pb.UpdateMemberRequest(request_id="u", company_id=company_id, user_id=user_id, **fields)


async def test_roles_and_departments_change(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "EMPLOYEE", by=ANNA)
    create = company_service_pb2.CreateDepartmentRequest(
        request_id="d", company_id=company.id, display_name="Sales"
    )
    made = await call(mesh.companies.CreateDepartment, create, **STAFF)
    request = update(company.id, BORIS, role=Role.ROLE_MANAGER, department_id=made.department.id)
    changed = (await call(mesh.members.UpdateMember, request, **as_user(ANNA))).member
    assert (changed.role, changed.department_id, changed.version) == (
        Role.ROLE_MANAGER,
        made.department.id,
        2,
    )
    close = company_service_pb2.UpdateDepartmentRequest(
        request_id="c", department_id=made.department.id, close=True
    )
    await call(mesh.companies.UpdateDepartment, close, **STAFF)
    memberships = pb.ListMembershipsRequest(user_id=BORIS)
    (left,) = (await call(mesh.members.ListMemberships, memberships, **AUDITOR)).members
    assert (left.department_id, left.version) == ("", 3)
    wrong = update(company.id, BORIS, department_id=made.department.id)
    error = await refused(mesh.members.UpdateMember, wrong, **STAFF)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["department_id"])


async def test_the_last_administrator_stays(mesh: AccountsMesh) -> None:
    """Also when both try to leave at once."""
    company = await found_company(mesh, ANNA)
    remove = pb.RemoveMemberRequest(request_id="r", company_id=company.id, user_id=ANNA)
    error = await refused(mesh.members.RemoveMember, remove, **as_user(ANNA))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMIN")
    await join(mesh, company.id, BORIS, "ADMIN", by=ANNA)
    results = await asyncio.gather(
        *(
            call(
                mesh.members.RemoveMember,
                pb.RemoveMemberRequest(request_id="x", company_id=company.id, user_id=one),
                **as_user(one),
            )
            for one in (ANNA, BORIS)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(result, grpc.aio.AioRpcError) for result in results) == 1
    assert len(await members_of(mesh, company.id)) == 1


async def test_who_was_removed_can_come_back(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "EMPLOYEE", by=ANNA)
    remove = pb.RemoveMemberRequest(request_id="r", company_id=company.id, user_id=BORIS)
    assert not (await call(mesh.members.RemoveMember, remove, **as_user(ANNA))).member.active
    get = company_service_pb2.GetCompanyRequest(company_id=company.id)
    assert (await refused(mesh.companies.GetCompany, get, **as_user(BORIS))).reason == (
        "COMPANY_NOT_FOUND"
    )
    again = await join(mesh, company.id, BORIS, "MANAGER", by=ANNA)
    assert (again.role, again.version, again.active) == (Role.ROLE_MANAGER, 3, True)


@pytest.mark.parametrize("role", ["MANAGER", "EMPLOYEE"])
async def test_what_low_roles_may_not(mesh: AccountsMesh, role: str) -> None:
    """A manager keeps employees, an employee nobody; neither makes itself more."""
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, role, by=ANNA)
    await join(mesh, company.id, CHLOE, "EMPLOYEE", by=ANNA)
    invitation = pb.CreateInvitationRequest(
        request_id="i", company_id=company.id, email="d@example.com", role=Role.ROLE_ADMIN
    )
    forbidden: list[tuple[Any, Any]] = [
        (mesh.members.CreateInvitation, invitation),
        (mesh.members.UpdateMember, update(company.id, BORIS, role=Role.ROLE_ADMIN)),
        (mesh.members.UpdateMember, update(company.id, CHLOE, role=Role.ROLE_ADMIN)),
        (
            mesh.members.RemoveMember,
            pb.RemoveMemberRequest(request_id="r", company_id=company.id, user_id=ANNA),
        ),
    ]
    if role == "EMPLOYEE":
        forbidden += [
            (mesh.members.ListMembers, pb.ListMembersRequest(company_id=company.id)),
            (mesh.members.ListInvitations, pb.ListInvitationsRequest(company_id=company.id)),
        ]
    for method, request in forbidden:
        error = await refused(method, request, **as_user(BORIS))
        assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_TOO_LOW")
    remove = pb.RemoveMemberRequest(request_id="r2", company_id=company.id, user_id=CHLOE)
    if role == "MANAGER":
        assert await invite(mesh, company.id, "EMPLOYEE", by=BORIS)
        await call(mesh.members.RemoveMember, remove, **as_user(BORIS))
    for who in (NOBODY, as_user("usr_0d" + "9" * 32)):
        for method, request in forbidden:
            error = await refused(method, request, **who)
            assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "COMPANY_NOT_FOUND")


async def test_unknown_members_and_wrong_fields(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    error = await refused(mesh.members.UpdateMember, update(company.id, CHLOE), **as_user(ANNA))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND")
    error = await refused(mesh.members.UpdateMember, update("co", "usr", role=9), **STAFF)
    assert error.fields == ["company_id", "user_id", "role"]
    for email in ("", "x", "a@b", "a b@example.com", "a@" + "x" * 300 + ".com"):
        request = pb.CreateInvitationRequest(
            request_id="i", company_id=company.id, email=email, role=Role.ROLE_EMPLOYEE
        )
        error = await refused(mesh.members.CreateInvitation, request, **as_user(ANNA))
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["email"])


@pytest.mark.parametrize("how", [("SuspendUser",), ("CloseUser",), ("CloseUser", "EraseUser")])
async def test_who_cannot_act_is_no_other_administrator(
    mesh: AccountsMesh, how: tuple[str, ...]
) -> None:
    """Goal: leave a company to somebody who is away for good. Such a one is removed all the same.
    Who is not known here may be another system's, and counts.
    """
    company = await found_company(mesh, ANNA)
    await create_user(mesh, BORIS)
    await join(mesh, company.id, BORIS, "ADMIN", by=ANNA)
    for name in how:
        moving = getattr(user_service_pb2, f"{name}Request")(request_id=name, user_id=BORIS)
        await call(getattr(mesh.users, name), moving, **STAFF)
    leave = pb.RemoveMemberRequest(request_id="r", company_id=company.id, user_id=ANNA)
    demote = update(company.id, ANNA, role=Role.ROLE_EMPLOYEE)
    for method, request in (
        (mesh.members.RemoveMember, leave),
        (mesh.members.UpdateMember, demote),
    ):
        error = await refused(method, request, **as_user(ANNA))
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMIN")
    gone = pb.RemoveMemberRequest(request_id="g", company_id=company.id, user_id=BORIS)
    assert not (await call(mesh.members.RemoveMember, gone, **as_user(ANNA))).member.active
    await join(mesh, company.id, CHLOE, "ADMIN", by=ANNA)
    await call(mesh.members.RemoveMember, leave, **as_user(ANNA))
