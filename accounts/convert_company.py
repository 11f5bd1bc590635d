"""Companies, departments, members and invitations: from the wire and back."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, TypeAlias

from accounts.company import (
    Company,
    CompanyState,
    Department,
    Invitation,
    Member,
    Role,
    standing,
)
from accounts.company_settings import KindNotAllowed
from accounts.convert_programme import check_programme_id, check_time_zone
from holdfast.accounts.v1 import (
    card_pb2,
    company_pb2,
    company_service_pb2,
    member_pb2,
    member_service_pb2,
)
from runtime import ids
from runtime.email_address import is_email_address
from runtime.errors import FailedPrecondition, NotFound, PermissionDenied
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp

ListOfCompanyRequest: TypeAlias = (
    company_service_pb2.ListDepartmentsRequest
    | member_service_pb2.ListMembersRequest
    | member_service_pb2.ListInvitationsRequest
)
MemberRequest: TypeAlias = (
    member_service_pb2.UpdateMemberRequest | member_service_pb2.RemoveMemberRequest
)

LEGAL_NAME_LENGTH_MAX = 200
NAME_LENGTH_MAX = 100
INVITATION_DAYS = 7
_INVITATION_DAYS_MAX = 30
#: Characters of an invitation's token.
TOKEN_LENGTH = 43

_REGISTRATION = re.compile(r"[A-Za-z0-9 ./-]{1,32}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_LENGTH}}}")

_STATES: dict[int, object] = dict(company_pb2.Company.State.DESCRIPTOR.values_by_number)
_ROLES: dict[int, object] = dict(member_pb2.Member.Role.DESCRIPTOR.values_by_number)
_CARD_KINDS: dict[int, object] = dict(card_pb2.Card.Kind.DESCRIPTOR.values_by_number)


def create_company(request: company_service_pb2.CreateCompanyRequest, context: Any) -> RequestKey:
    """Checks CreateCompanyRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.text("legal_name", request.legal_name, limit=LEGAL_NAME_LENGTH_MAX, required=True)
    if not _REGISTRATION.fullmatch(request.registration_number):
        violations.add("registration_number", "is required: 1 to 32 of A-Z a-z 0-9 space . / -")
    if not _COUNTRY.fullmatch(request.country_code):
        violations.add("country_code", "is required: two upper-case letters, e.g. US")
    check_time_zone("time_zone", request.time_zone or "UTC", violations)
    violations.raise_if_any()
    return key


def update_company(request: company_service_pb2.UpdateCompanyRequest, context: Any) -> RequestKey:
    """Checks UpdateCompanyRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("company_id", request.company_id, ids.COMPANY)
    if request.HasField("legal_name"):
        limit = LEGAL_NAME_LENGTH_MAX
        violations.text("legal_name", request.legal_name, limit=limit, required=True)
    if request.HasField("time_zone"):
        check_time_zone("time_zone", request.time_zone or " ", violations)
    if request.HasField("state"):
        violations.enum("state", request.state, _STATES, required=True)
    _check_settings(request.settings, violations)
    violations.raise_if_any()
    return key


def settings_of(request: company_service_pb2.UpdateCompanyRequest) -> bytes:
    """The settings to keep."""
    kept = company_pb2.CompanySettings()
    kept.CopyFrom(request.settings)
    kept.DiscardUnknownFields()
    return kept.SerializeToString(deterministic=True)


def create_department(
    request: company_service_pb2.CreateDepartmentRequest, context: Any
) -> RequestKey:
    """Checks CreateDepartmentRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("company_id", request.company_id, ids.COMPANY)
    violations.text("display_name", request.display_name, limit=NAME_LENGTH_MAX, required=True)
    violations.raise_if_any()
    return key


def update_department(
    request: company_service_pb2.UpdateDepartmentRequest, context: Any
) -> RequestKey:
    """Checks UpdateDepartmentRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("department_id", request.department_id, ids.DEPARTMENT)
    if request.HasField("display_name"):
        violations.text("display_name", request.display_name, limit=NAME_LENGTH_MAX, required=True)
    violations.raise_if_any()
    return key


def company_id(request: company_service_pb2.GetCompanyRequest) -> str:
    """Checks GetCompanyRequest."""
    violations = Violations()
    violations.id("company_id", request.company_id, ids.COMPANY)
    violations.raise_if_any()
    return request.company_id


def companies_page(request: company_service_pb2.ListCompaniesRequest, *, user_id: str) -> Page:
    """Checks ListCompaniesRequest."""
    violations = Violations()
    scope = f"ListCompanies|{user_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def page_of_company(request: ListOfCompanyRequest) -> Page:
    """Checks a request for a list of one company."""
    violations = Violations()
    violations.id("company_id", request.company_id, ids.COMPANY)
    scope = f"{request.DESCRIPTOR.name}|{request.company_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def memberships_page(request: member_service_pb2.ListMembershipsRequest) -> Page:
    """Checks ListMembershipsRequest."""
    violations = Violations()
    violations.id("user_id", request.user_id, ids.USER)
    scope = f"ListMemberships|{request.user_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def member_request(request: MemberRequest, context: Any) -> RequestKey:
    """Checks UpdateMemberRequest, RemoveMemberRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("company_id", request.company_id, ids.COMPANY)
    violations.id("user_id", request.user_id, ids.USER)
    if isinstance(request, member_service_pb2.UpdateMemberRequest):
        if request.HasField("role"):
            violations.enum("role", request.role, _ROLES, required=True)
        violations.id("department_id", request.department_id, ids.DEPARTMENT, required=False)
    violations.raise_if_any()
    return key


def create_invitation(
    request: member_service_pb2.CreateInvitationRequest, context: Any
) -> RequestKey:
    """Checks CreateInvitationRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("company_id", request.company_id, ids.COMPANY)
    local, _, domain = request.email.rpartition("@")
    if not is_email_address(f"{local}@{domain.lower()}"):
        violations.add("email", "is required: an address such as name@example.com")
    violations.enum("role", request.role, _ROLES, required=True)
    violations.id("department_id", request.department_id, ids.DEPARTMENT, required=False)
    violations.raise_if_any()
    return key


def accept_invitation(
    request: member_service_pb2.AcceptInvitationRequest, context: Any
) -> tuple[RequestKey, bytes]:
    """Checks AcceptInvitationRequest; returns the hash of the token."""
    violations = Violations()
    key = key_of(request, context, violations)
    if not _TOKEN.fullmatch(request.token):
        violations.add("token", "is required: what the invitation said")
    violations.raise_if_any()
    return key, token_hash(request.token)


def revoke_invitation(
    request: member_service_pb2.RevokeInvitationRequest, context: Any
) -> RequestKey:
    """Checks RevokeInvitationRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("invitation_id", request.invitation_id, ids.INVITATION)
    violations.raise_if_any()
    return key


def token_hash(token: str) -> bytes:
    """What is kept of a token: 256 random bits need no salt and no slow hash."""
    return sha256(token.encode()).digest()


def role_of(value: member_pb2.Member.Role.ValueType) -> Role:
    """A checked role."""
    return Role(member_pb2.Member.Role.Name(value).removeprefix("ROLE_"))


def state_of(value: company_pb2.Company.State.ValueType) -> CompanyState:
    """A checked state."""
    return CompanyState(company_pb2.Company.State.Name(value).removeprefix("STATE_"))


def company(value: Company) -> company_pb2.Company:
    """The company on the wire."""
    return company_pb2.Company(
        id=value.id,
        legal_name=value.legal_name,
        registration_number=value.registration_number,
        country_code=value.country_code,
        time_zone=value.time_zone,
        state=company_pb2.Company.State.Value(f"STATE_{value.state}"),
        settings=company_pb2.CompanySettings.FromString(value.settings),
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
    )


def department(value: Department) -> company_pb2.Department:
    """The department on the wire."""
    return company_pb2.Department(
        id=value.id,
        company_id=value.company_id,
        display_name=value.display_name,
        closed=value.closed,
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
    )


def member(value: Member) -> member_pb2.Member:
    """The member on the wire."""
    return member_pb2.Member(
        company_id=value.company_id,
        user_id=value.user_id,
        role=member_pb2.Member.Role.Value(f"ROLE_{value.role}"),
        department_id=value.department_id,
        active=value.active,
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
    )


def invitation(value: Invitation, *, now_ms: int) -> member_pb2.Invitation:
    """The invitation on the wire."""
    state = standing(value, now_ms=now_ms)
    return member_pb2.Invitation(
        id=value.id,
        company_id=value.company_id,
        email=value.email,
        role=member_pb2.Member.Role.Value(f"ROLE_{value.role}"),
        department_id=value.department_id,
        state=member_pb2.Invitation.State.Value(f"STATE_{state}"),
        expire_time=timestamp(value.expire_time_ms),
        user_id=value.user_id,
        version=value.version,
        create_time=timestamp(value.create_time_ms),
        update_time=timestamp(value.update_time_ms),
    )


def department_not_found(name: str) -> NotFound:
    """The error for an unknown department, or another company's."""
    metadata = {"department_id": name}
    return NotFound("no such department", reason="DEPARTMENT_NOT_FOUND", metadata=metadata)


def member_not_found(name: str) -> NotFound:
    """The error for a user who is no member."""
    metadata = {"user_id": name}
    return NotFound("no such member", reason="MEMBER_NOT_FOUND", metadata=metadata)


def invitation_not_found() -> NotFound:
    """The error for an unknown invitation or token, or another company's."""
    return NotFound("no such invitation", reason="INVITATION_NOT_FOUND")


def company_not_active(value: Company) -> FailedPrecondition:
    """The error for a company that takes nobody and nothing new."""
    return FailedPrecondition(
        f"the company is {value.state}",
        reason="COMPANY_NOT_ACTIVE",
        metadata={"company_id": value.id, "state": value.state},
    )


def refuse_inactive(value: Company | None) -> None:
    """Refuses to give a company that is suspended or closed anything new; None: a person's."""
    if value is not None and value.state is not CompanyState.ACTIVE:
        raise company_not_active(value)


def kind_not_allowed(value: KindNotAllowed) -> FailedPrecondition:
    """The error for a kind of card that the company does not want."""
    allowed = ", ".join(value.allowed)
    return FailedPrecondition(
        f"the company's accounts get cards of other kinds only: {allowed}",
        reason="CARD_KIND_NOT_ALLOWED",
        metadata={"kind": value.kind, "allowed": allowed},
    )


def managers_issue_no_cards(company_id: str) -> PermissionDenied:
    """The error for a manager whose company has not said that managers issue cards."""
    return PermissionDenied(
        "the company's settings do not let managers issue cards",
        reason="MANAGERS_ISSUE_NO_CARDS",
        metadata={"company_id": company_id},
    )


def last_admin() -> FailedPrecondition:
    """The error for taking away the last administrator."""
    return FailedPrecondition(
        "a company keeps at least one administrator: name another first", reason="LAST_ADMIN"
    )


def _check_settings(value: company_pb2.CompanySettings, violations: Violations) -> None:
    field = "settings"
    if value.default_programme_id:
        name = f"{field}.default_programme_id"
        check_programme_id(name, value.default_programme_id, violations)
    for number, kind in enumerate(value.card_kinds):
        violations.enum(f"{field}.card_kinds[{number}]", kind, _CARD_KINDS, required=True)
    violations.money(f"{field}.employee_monthly_limit", value, minimum=1, required=False)
    if not 0 <= value.invitation_days <= _INVITATION_DAYS_MAX:
        violations.add(f"{field}.invitation_days", "must be between 1 and 30")
