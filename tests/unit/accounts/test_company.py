"""What members may do, and how companies, members and invitations change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from accounts.company import (
    Action,
    Company,
    CompanyState,
    Invitation,
    InvitationState,
    LastAdmin,
    Member,
    Role,
    action_on,
    change_member,
    mask_email,
    may,
    move_company,
    move_invitation,
)
from accounts.machine import IllegalTransition

COMPANY = Company(
    id="co",
    legal_name="Acme",
    registration_number="1",
    country_code="US",
    time_zone="UTC",
    state=CompanyState.ACTIVE,
    settings=b"",
    version=3,
    create_time_ms=1,
    update_time_ms=1,
)
MEMBER = Member(
    company_id="co",
    user_id="usr",
    role=Role.ADMIN,
    department_id="",
    active=True,
    version=1,
    create_time_ms=1,
    update_time_ms=1,
)
INVITATION = Invitation(
    id="inv",
    company_id="co",
    email="j***@example.com",
    role=Role.EMPLOYEE,
    department_id="",
    state=InvitationState.PENDING,
    expire_time_ms=100,
    user_id="",
    version=1,
    create_time_ms=1,
    update_time_ms=1,
)


@pytest.mark.parametrize(
    ("action", "who"),
    [
        (Action.SEE, {Role.ADMIN, Role.MANAGER, Role.EMPLOYEE}),
        (Action.SEE_MEMBERS, {Role.ADMIN, Role.MANAGER}),
        (Action.KEEP_EMPLOYEES, {Role.ADMIN, Role.MANAGER}),
        (Action.KEEP_DEPARTMENTS, {Role.ADMIN, Role.MANAGER}),
        (Action.GIVE_ROLES, {Role.ADMIN}),
        (Action.CHANGE_COMPANY, {Role.ADMIN}),
        (Action.APPLY, {Role.ADMIN}),
    ],
)
def test_roles(action: Action, who: set[Role]) -> None:
    assert {role for role in Role if may(role, action)} == who
    assert not may(None, action)


def test_managers_touch_employees_only() -> None:
    assert action_on(Role.EMPLOYEE) is Action.KEEP_EMPLOYEES
    assert action_on(Role.EMPLOYEE, Role.EMPLOYEE) is Action.KEEP_EMPLOYEES
    for other in (Role.MANAGER, Role.ADMIN):
        assert action_on(other) is Action.GIVE_ROLES
        assert action_on(Role.EMPLOYEE, other) is Action.GIVE_ROLES


@pytest.mark.parametrize(
    ("source", "targets"),
    [
        (CompanyState.ACTIVE, {CompanyState.SUSPENDED, CompanyState.CLOSED}),
        (CompanyState.SUSPENDED, {CompanyState.ACTIVE, CompanyState.CLOSED}),
        (CompanyState.CLOSED, set()),
    ],
)
def test_states_of_companies(source: CompanyState, targets: set[CompanyState]) -> None:
    company = replace(COMPANY, state=source)
    for target in CompanyState:
        moved = move_company(company, target, now_ms=9)
        if target is source:
            assert moved is company
        elif target in targets:
            assert moved == replace(company, state=target, version=4, update_time_ms=9)
        else:
            assert isinstance(moved, IllegalTransition)
            assert set(moved.allowed) == targets


@pytest.mark.parametrize(
    ("change", "others", "refused"),
    [
        ({}, False, False),
        ({"department_id": "dept"}, False, False),
        ({"role": Role.MANAGER}, False, True),
        ({"active": False}, False, True),
        ({"role": Role.MANAGER}, True, False),
        ({"active": False}, True, False),
    ],
)
def test_the_last_admin_stays(change: dict[str, object], others: bool, refused: bool) -> None:
    fields = {"role": Role.ADMIN, "department_id": "", "active": True} | change
    changed = change_member(MEMBER, others=others, now_ms=9, **fields)  # type: ignore[arg-type]
    assert isinstance(changed, LastAdmin) is refused
    if not change:
        assert changed is MEMBER
    elif isinstance(changed, Member):
        assert (changed.version, changed.update_time_ms) == (2, 9)


@pytest.mark.parametrize("state", InvitationState)
@pytest.mark.parametrize("target", [InvitationState.ACCEPTED, InvitationState.REVOKED])
@pytest.mark.parametrize("now_ms", [99, 100])
def test_invitations_move_once(
    state: InvitationState, target: InvitationState, now_ms: int
) -> None:
    invitation = replace(INVITATION, state=state)
    moved = move_invitation(invitation, target, now_ms=now_ms, user_id="usr")
    if state is InvitationState.PENDING and now_ms < 100:
        assert isinstance(moved, Invitation)
        assert (moved.state, moved.user_id, moved.version) == (target, "usr", 2)
    elif state is target is InvitationState.REVOKED:
        assert moved is invitation
    else:
        assert isinstance(moved, IllegalTransition)
        expired = state is InvitationState.PENDING
        assert moved.source == (InvitationState.EXPIRED if expired else state)


def test_masked_addresses() -> None:
    assert mask_email("jane@example.com") == "j***@example.com"
    assert mask_email("j@a.b") == "j***@a.b"
