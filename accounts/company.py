"""Companies, their members, and what members may do. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from accounts.machine import IllegalTransition, Machine, Step


class CompanyState(StrEnum):
    """State of a company; the names are the contract's."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


class Role(StrEnum):
    """Role of a member; the names are the contract's."""

    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    EMPLOYEE = "EMPLOYEE"


class Action(StrEnum):
    """What members do in their company."""

    SEE = "SEE"
    SEE_MEMBERS = "SEE_MEMBERS"
    KEEP_EMPLOYEES = "KEEP_EMPLOYEES"
    KEEP_DEPARTMENTS = "KEEP_DEPARTMENTS"
    GIVE_ROLES = "GIVE_ROLES"
    CHANGE_COMPANY = "CHANGE_COMPANY"
    APPLY = "APPLY"


class InvitationState(StrEnum):
    """State of an invitation; the names are the contract's."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"


_EMPLOYEE = frozenset({Action.SEE})
_MANAGER = _EMPLOYEE | {Action.SEE_MEMBERS, Action.KEEP_EMPLOYEES, Action.KEEP_DEPARTMENTS}
#: What each role may do; more is never less.
ALLOWED: dict[Role, frozenset[Action]] = {
    Role.EMPLOYEE: _EMPLOYEE,
    Role.MANAGER: _MANAGER,
    Role.ADMIN: _MANAGER | {Action.GIVE_ROLES, Action.CHANGE_COMPANY, Action.APPLY},
}

_C, _I = CompanyState, InvitationState
#: Companies and invitations are moved by saying where to.
COMPANIES: Machine[CompanyState, CompanyState] = Machine(
    "company",
    {
        _C.ACTIVE: Step(_C.ACTIVE, frozenset({_C.SUSPENDED})),
        _C.SUSPENDED: Step(_C.SUSPENDED, frozenset({_C.ACTIVE})),
        _C.CLOSED: Step(_C.CLOSED, frozenset({_C.ACTIVE, _C.SUSPENDED})),
    },
)
INVITATIONS: Machine[InvitationState, InvitationState] = Machine(
    "invitation",
    {
        _I.ACCEPTED: Step(_I.ACCEPTED, frozenset({_I.PENDING})),
        _I.REVOKED: Step(_I.REVOKED, frozenset({_I.PENDING})),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A company at one version."""

    id: str
    legal_name: str
    registration_number: str
    country_code: str
    time_zone: str
    state: CompanyState
    #: Its settings, as the contract serializes them.
    settings: bytes
    version: int
    create_time_ms: int
    update_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Department:
    """A department at one version."""

    id: str
    company_id: str
    display_name: str
    closed: bool
    version: int
    create_time_ms: int
    update_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A user of a company at one version."""

    company_id: str
    user_id: str
    role: Role
    #: Empty: none.
    department_id: str
    active: bool
    version: int
    create_time_ms: int
    update_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """An offer to join, at one version. Its token is kept as a hash."""

    id: str
    company_id: str
    #: Masked.
    email: str
    role: Role
    #: Empty: none.
    department_id: str
    state: InvitationState
    expire_time_ms: int
    #: Who accepted it; empty: nobody.
    user_id: str
    version: int
    create_time_ms: int
    update_time_ms: int


class LastAdmin:
    """Refusal: a company without an administrator could never have one again."""


def may(role: Role | None, action: Action) -> bool:
    """True if a member with this role may do it; None: no member at all."""
    return role is not None and action in ALLOWED[role]


def action_on(*roles: Role) -> Action:
    """What somebody must be allowed who gives, takes or changes these roles."""
    return Action.KEEP_EMPLOYEES if set(roles) == {Role.EMPLOYEE} else Action.GIVE_ROLES


def move_company(
    company: Company, target: CompanyState, *, now_ms: int
) -> Company | IllegalTransition:
    """The company in its new state; the same object if it is there already."""
    state = COMPANIES.move(company.state, target)
    if isinstance(state, IllegalTransition):
        return state
    if state is company.state:
        return company
    return replace(company, state=target, version=company.version + 1, update_time_ms=now_ms)


def change_member(
    member: Member,
    *,
    role: Role,
    department_id: str,
    active: bool,
    others: bool,
    now_ms: int,
) -> Member | LastAdmin:
    """The member as it is to be; the same object if it is so. `others`: whether somebody else
    administers the company.
    """
    after = replace(member, role=role, department_id=department_id, active=active)
    if after == member:
        return member
    was_admin = member.active and member.role is Role.ADMIN
    if was_admin and not others and not (active and role is Role.ADMIN):
        return LastAdmin()
    return replace(after, version=member.version + 1, update_time_ms=now_ms)


def move_invitation(
    invitation: Invitation, target: InvitationState, *, now_ms: int, user_id: str = ""
) -> Invitation | IllegalTransition:
    """The invitation in its new state; the same object if it is revoked already. Nobody accepts one
    twice, nor one whose time is over.
    """
    source = standing(invitation, now_ms=now_ms)
    state = INVITATIONS.move(source, target)
    if isinstance(state, IllegalTransition):
        return state
    if state is source is InvitationState.ACCEPTED:
        return IllegalTransition(
            subject=INVITATIONS.subject, source=source, target=target, allowed=()
        )
    if state is source:
        return invitation
    return replace(
        invitation,
        state=state,
        user_id=user_id,
        version=invitation.version + 1,
        update_time_ms=now_ms,
    )


def standing(invitation: Invitation, *, now_ms: int) -> InvitationState:
    """The state, which becomes EXPIRED by itself."""
    if invitation.state is InvitationState.PENDING and now_ms >= invitation.expire_time_ms:
        return InvitationState.EXPIRED
    return invitation.state


def mask_email(address: str) -> str:
    """`j***@example.com`: enough to recognize, not to write to."""
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}***@{domain}"
