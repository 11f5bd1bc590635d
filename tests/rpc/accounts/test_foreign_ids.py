"""Every method that managers or cardholders may call, about something of somebody else."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import application_pb2, dispute_pb2, member_pb2
from runtime.access import OWNING_ROLES, Policy
from tests.accounts_applying import applicant, create_programme, submit
from tests.accounts_disputing import Shopper
from tests.accounts_mesh import AccountsMesh, call, refused, usd
from tests.accounts_people import ANNA, STAFF, found_company, invite, join
from tests.policies import about_owners, fields_of, filled, stub_of

STRANGER, BEN = "usr_0d" + "6" * 32, "usr_0e" + "7" * 32
#: What cannot be about somebody else: it lists the caller's own, begins something new, needs a
#: secret, or shows what everybody may see.
ABOUT_NOBODY = {
    "ListAccounts": "lists the caller's own",
    "ListApplications": "lists the caller's own",
    "ListCompanies": "lists the caller's own",
    "CreateCompany": "founds a company of the caller's",
    "AcceptInvitation": "whoever has its token may",
    "GetProgramme": "programmes are public",
    "ListProgrammes": "programmes are public",
    "GetProgrammeTerms": "programmes are public",
    "ListProgrammeTerms": "programmes are public",
}
_DISPUTE: dict[str, Any] = {"reason": dispute_pb2.Dispute.REASON_FRAUD}
_FILE: dict[str, Any] = {"media_type": "application/pdf", "content": b"%PDF-1.7 x"}
#: What else a valid request has.
FIELDS: dict[str, dict[str, Any]] = {
    "SubmitApplication": {
        "programme_id": "prog_gold",
        "requested_limit": usd(500_000),
        "applicant": applicant(),
    },
    "AddDocument": {"kind": application_pb2.Document.KIND_INCOME, **_FILE},
    "AddDisputeDocument": _FILE,
    "DisputeAuthorization": _DISPUTE,
    "UpdateCompany": {"legal_name": "Mine now"},
    "CreateDepartment": {"display_name": "Mine"},
    "UpdateDepartment": {"display_name": "Mine now"},
    "UpdateMember": {"role": member_pb2.Member.ROLE_EMPLOYEE},
    "CreateInvitation": {"email": "me@example.com", "role": member_pb2.Member.ROLE_ADMIN},
}
POLICIES = about_owners("accounts")
#: What else a method names besides what must be the caller's, and how another's is refused there.
REFUSED = {
    ("SubmitApplication", "user_id"): grpc.StatusCode.INVALID_ARGUMENT,
    ("UpdateCard", "user_id"): grpc.StatusCode.FAILED_PRECONDITION,
    ("ListDisputes", "card_id"): grpc.StatusCode.NOT_FOUND,
    ("UpdateMember", "user_id"): grpc.StatusCode.NOT_FOUND,
    ("UpdateMember", "department_id"): grpc.StatusCode.INVALID_ARGUMENT,
    ("RemoveMember", "user_id"): grpc.StatusCode.NOT_FOUND,
    ("CreateInvitation", "department_id"): grpc.StatusCode.INVALID_ARGUMENT,
}
#: Users of an account may be anybody, and are told; IssueCard has its own tests of whom it is for.
ANYBODY = {
    (name, "user_id")
    for name in (
        *("AddAccountUser", "GetAccountUser", "RemoveAccountUser", "SetAccountUserControls"),
        "IssueCard",
    )
}


def _name(policy: Policy) -> str:
    return policy.path.rpartition("/")[2]


async def _things(mesh: AccountsMesh) -> dict[str, str]:
    """One of each, of Anna and her company."""
    await create_programme(mesh)
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BEN, "EMPLOYEE", by=ANNA)
    department = await call(
        mesh.companies.CreateDepartment,
        filled(_policy("CreateDepartment"), {"company_id": company.id}, display_name="Sales"),
        **STAFF,
    )
    account = await mesh.open_account(company.id)
    card = await mesh.issue_card(account.id)
    purchase, _ = await Shopper(mesh, account.id, card.id).charged(500)
    disputed = await call(
        mesh.disputes.DisputeAuthorization,
        filled(_policy("DisputeAuthorization"), {"authorization_id": purchase}, **_DISPUTE),
        **STAFF,
    )
    return {
        "account_id": account.id,
        "card_id": card.id,
        "authorization_id": purchase,
        "dispute_id": disputed.dispute.id,
        "company_id": company.id,
        "department_id": department.department.id,
        "invitation_id": (await invite(mesh, company.id, "EMPLOYEE", by=ANNA)).invitation.id,
        "application_id": (await submit(mesh)).id,
        "user_id": BEN,
        "owner_id": company.id,
    }


async def _own_things(mesh: AccountsMesh) -> dict[str, str]:
    """What the stranger's company has itself."""
    company, colleague = await found_company(mesh, STRANGER), "usr_0f" + "3" * 32
    await join(mesh, company.id, colleague, "EMPLOYEE", by=STRANGER)
    request = filled(_policy("CreateDepartment"), {"company_id": company.id}, display_name="Own")
    request.request_id = mesh.request_id()  # type: ignore[attr-defined]
    department = await call(mesh.companies.CreateDepartment, request, **STAFF)
    account = await mesh.open_account(company.id)
    return {
        "account_id": account.id,
        "card_id": (await mesh.issue_card(account.id)).id,
        "company_id": company.id,
        "department_id": department.department.id,
        "user_id": colleague,
    }


def _policy(name: str) -> Policy:
    (found,) = [one for one in POLICIES if _name(one) == name]
    return found


def _as(role: str) -> dict[str, Any]:
    """Neither of them has to do with Anna."""
    company = (("x-auth-company", "co_0d" + "8" * 32),) if role == "manager" else ()
    return {
        "principal": ("x-auth-subject", STRANGER),
        "metadata": (("x-auth-roles", role), *company),
    }


def test_what_is_left_out_is_there() -> None:
    assert ABOUT_NOBODY.keys() | FIELDS.keys() <= {_name(one) for one in POLICIES}


async def test_foreign_things_are_not_there(mesh: AccountsMesh) -> None:
    """Whatever a stranger names: it is not found, and nothing of it changes."""
    things = await _things(mesh)
    changes = await mesh.count("change")
    for policy in POLICIES:
        name = _name(policy)
        if name in ABOUT_NOBODY:
            assert policy.own, name
            continue
        about = {"company_id": things["company_id"]} if name == "SubmitApplication" else things
        named = fields_of(policy) & about.keys()
        assert named, f"{name} names nothing: say why in ABOUT_NOBODY"
        request = filled(policy, about, **FIELDS.get(name, {}))
        for role in sorted(policy.roles & OWNING_ROLES):
            error = await refused(stub_of(mesh.channel, policy), request, **_as(role))
            assert error.code is grpc.StatusCode.NOT_FOUND, (name, role, error)
    assert await mesh.count("change") == changes


@pytest.mark.parametrize("role", sorted(OWNING_ROLES))
async def test_lists_have_nothing_of_others(mesh: AccountsMesh, role: str) -> None:
    await _things(mesh)
    for name in ("ListAccounts", "ListApplications", "ListCompanies"):
        policy = _policy(name)
        request = filled(policy, {"page_size": 100})
        answer = await call(stub_of(mesh.channel, policy), request, **_as(role))
        assert not answer.ListFields(), name


async def test_nothing_of_others_serves_ones_own(mesh: AccountsMesh) -> None:
    """Each method that names two things, of which what must be the caller's is: the other one is
    somebody else's, and nothing comes of it.
    """
    theirs, own = await _things(mesh), await _own_things(mesh)
    changes, asked = await mesh.count("change"), set()
    manager: dict[str, Any] = {
        "principal": ("x-auth-subject", STRANGER),
        "metadata": (("x-auth-roles", "manager"), ("x-auth-company", own["company_id"])),
    }
    for policy in POLICIES:
        name, named = _name(policy), fields_of(policy) & own.keys()
        whose = {policy.owner[0]} if policy.owner else {"company_id"} & named
        for field in sorted(named - whose if whose else ()):
            asked.add((name, field))
            if (name, field) in ANYBODY:
                continue
            request = filled(policy, {**own, field: theirs[field]}, **FIELDS.get(name, {}))
            error = await refused(stub_of(mesh.channel, policy), request, **manager)
            assert error.code is REFUSED[name, field], (name, field, error)
    assert asked == REFUSED.keys() | ANYBODY
    assert await mesh.count("change") == changes
