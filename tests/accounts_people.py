"""Who calls in tests of companies and applications, and how they come together."""

from __future__ import annotations

from typing import Any

from holdfast.accounts.v1 import company_pb2, company_service_pb2, member_pb2, member_service_pb2
from tests.accounts_mesh import AccountsMesh, call

ANNA = "usr_0a" + "a" * 32
BORIS = "usr_0b" + "b" * 32
CHLOE = "usr_0c" + "c" * 32

#: Options of a call that say who calls.
STAFF: dict[str, Any] = {"metadata": (("x-auth-roles", "admin"),)}
AUDITOR: dict[str, Any] = {"metadata": (("x-auth-roles", "auditor"),)}
#: A role that opens methods, but no user who has it.
NOBODY: dict[str, Any] = {"metadata": (("x-auth-roles", "cardholder"),)}


def as_user(user_id: str) -> dict[str, Any]:
    """A cardholder, who may be a member of companies."""
    return {
        "principal": ("x-auth-subject", user_id),
        "metadata": (("x-auth-roles", "cardholder"),),
    }


async def found_company(mesh: AccountsMesh, user_id: str) -> company_pb2.Company:
    """A company with this user as its first administrator."""
    request = company_service_pb2.CreateCompanyRequest(
        request_id=mesh.request_id(),
        legal_name="Acme Inc.",
        registration_number="12-3456789",
        country_code="US",
    )
    answer: company_service_pb2.CreateCompanyResponse = await call(
        mesh.companies.CreateCompany, request, **as_user(user_id)
    )
    return answer.company


async def invite(
    mesh: AccountsMesh, company_id: str, role: str, *, by: str, **fields: Any
) -> member_service_pb2.CreateInvitationResponse:
    """An invitation and its token."""
    request = member_service_pb2.CreateInvitationRequest(
        request_id=mesh.request_id(),
        company_id=company_id,
        email="boris.sample@example.com",
        role=member_pb2.Member.Role.Value(f"ROLE_{role}"),
        **fields,
    )
    answer: member_service_pb2.CreateInvitationResponse = await call(
        mesh.members.CreateInvitation, request, **as_user(by)
    )
    return answer


async def join(
    mesh: AccountsMesh, company_id: str, user_id: str, role: str, *, by: str
) -> member_pb2.Member:
    """Makes a user a member."""
    token = (await invite(mesh, company_id, role, by=by)).token
    request = member_service_pb2.AcceptInvitationRequest(request_id=mesh.request_id(), token=token)
    answer: member_service_pb2.AcceptInvitationResponse = await call(
        mesh.members.AcceptInvitation, request, **as_user(user_id)
    )
    return answer.member
