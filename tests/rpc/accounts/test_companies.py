"""CompanyService without its rules, which have a file of their own."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import application_pb2, card_pb2, company_pb2, programme_pb2
from holdfast.accounts.v1 import company_service_pb2 as pb
from holdfast.accounts.v1.account_service_pb2 import OpenAccountRequest
from holdfast.accounts.v1.card_bulk_service_pb2 import ImportCardsRequest, ImportedCard
from holdfast.accounts.v1.card_service_pb2 import IssueCardRequest
from tests.accounts_applying import approve, create_programme, get, submit
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused, usd
from tests.accounts_people import ANNA, AUDITOR, BORIS, NOBODY, STAFF, as_user, found_company, join

State = company_pb2.Company.State
UNKNOWN = "co_0a" + "9" * 32


def creation(**fields: Any) -> pb.CreateCompanyRequest:
    valid = {
        "request_id": "r-1",
        "legal_name": "Acme Inc.",
        "registration_number": "12-3456789",
        "country_code": "US",
    }
    return pb.CreateCompanyRequest(**(valid | fields))


async def test_a_user_founds_a_company_and_keeps_it(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    assert (company.legal_name, company.state, company.version) == (
        "Acme Inc.",
        State.STATE_ACTIVE,
        1,
    )
    assert company.time_zone == "UTC"
    get = pb.GetCompanyRequest(company_id=company.id)
    for who in (as_user(ANNA), STAFF, AUDITOR):
        assert (await call(mesh.companies.GetCompany, get, **who)).company == company
    settings = company_pb2.CompanySettings(
        default_programme_id="prog_gold",
        card_kinds=[card_pb2.Card.KIND_VIRTUAL],
        employee_monthly_limit=usd(50_000),
        invitation_days=3,
    )
    change = pb.UpdateCompanyRequest(
        request_id="u",
        company_id=company.id,
        legal_name="Acme Ltd.",
        time_zone="Europe/Madrid",
        settings=settings,
    )
    changed = await call(mesh.companies.UpdateCompany, change, **as_user(ANNA))
    assert (changed.company.legal_name, changed.company.version) == ("Acme Ltd.", 2)
    assert (changed.company.settings, changed.company.time_zone) == (settings, "Europe/Madrid")
    change.request_id = "u2"
    again = await call(mesh.companies.UpdateCompany, change, **as_user(ANNA))
    assert again == changed


async def test_replay_and_reuse(mesh: AccountsMesh) -> None:
    first = await call(mesh.companies.CreateCompany, creation())
    assert await call_replayed(mesh.companies.CreateCompany, creation()) == (first, True)
    error = await refused(mesh.companies.CreateCompany, creation(country_code="ES"))
    assert error.reason == "REQUEST_ID_REUSED"
    assert await mesh.count("company") == 1


async def test_strangers_see_nothing(mesh: AccountsMesh) -> None:
    """To who is no member, a company is like one that does not exist."""
    company = await found_company(mesh, ANNA)
    for company_id in (company.id, UNKNOWN):
        for method, request in (
            (mesh.companies.GetCompany, pb.GetCompanyRequest(company_id=company_id)),
            (mesh.companies.ListDepartments, pb.ListDepartmentsRequest(company_id=company_id)),
            (
                mesh.companies.UpdateCompany,
                pb.UpdateCompanyRequest(request_id="u", company_id=company_id),
            ),
            (
                mesh.companies.CreateDepartment,
                pb.CreateDepartmentRequest(
                    request_id="d", company_id=company_id, display_name="Sales"
                ),
            ),
        ):
            for who in (as_user(BORIS), NOBODY):
                error = await refused(method, request, **who)
                assert (error.code, error.reason) == (
                    grpc.StatusCode.NOT_FOUND,
                    "COMPANY_NOT_FOUND",
                )
    listing = pb.ListCompaniesRequest()
    assert not (await call(mesh.companies.ListCompanies, listing, **NOBODY)).companies
    theirs = await call(mesh.companies.ListCompanies, listing, **as_user(BORIS))
    assert not theirs.companies
    mine = await call(mesh.companies.ListCompanies, listing, **as_user(ANNA))
    assert [one.id for one in mine.companies] == [company.id]
    unknown = pb.GetCompanyRequest(company_id=UNKNOWN)
    error = await refused(mesh.companies.GetCompany, unknown, **STAFF)
    assert error.reason == "COMPANY_NOT_FOUND"


async def test_states_are_the_banks(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)

    def change(state: State.ValueType) -> pb.UpdateCompanyRequest:
        return pb.UpdateCompanyRequest(
            request_id=mesh.request_id(), company_id=company.id, state=state
        )

    error = await refused(
        mesh.companies.UpdateCompany, change(State.STATE_SUSPENDED), **as_user(ANNA)
    )
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "STAFF_ONLY")
    for state in (State.STATE_SUSPENDED, State.STATE_ACTIVE, State.STATE_CLOSED):
        changed = await call(mesh.companies.UpdateCompany, change(state), **STAFF)
        assert changed.company.state == state
    error = await refused(mesh.companies.UpdateCompany, change(State.STATE_ACTIVE), **STAFF)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ILLEGAL_TRANSITION",
    )
    assert error.metadata == {"from": "CLOSED", "to": "ACTIVE", "allowed": ""}


@pytest.mark.parametrize("state", [State.STATE_SUSPENDED, State.STATE_CLOSED])
async def test_a_company_that_is_set_aside_gets_nothing_new(
    mesh: AccountsMesh, state: State.ValueType
) -> None:
    """Neither an account nor a card, and nothing that it applied for before."""
    await create_programme(mesh, kind=programme_pb2.Programme.KIND_BUSINESS)
    company = await found_company(mesh, ANNA)
    account = await mesh.open_account(company.id)
    applied = await submit(mesh, company_id=company.id)
    change = pb.UpdateCompanyRequest(request_id="away", company_id=company.id, state=state)
    await call(mesh.companies.UpdateCompany, change, **STAFF)
    await mesh.worker.work_due()
    assert (await get(mesh, applied.id)).state == application_pb2.Application.STATE_IN_REVIEW
    limit = usd(100_000)
    for method, request in (
        (mesh.applications.ApproveApplication, approve(applied.id)),
        (
            mesh.accounts.OpenAccount,
            OpenAccountRequest(request_id="o", owner_id=company.id, credit_limit=limit),
        ),
        (
            mesh.cards.IssueCard,
            IssueCardRequest(
                request_id="i", account_id=account.id, kind=card_pb2.Card.KIND_VIRTUAL
            ),
        ),
    ):
        error = await refused(method, request, **STAFF)
        assert (error.code, error.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "COMPANY_NOT_ACTIVE",
        )
    rows = [
        ImportedCard(reference="there", account_id=account.id),
        ImportedCard(reference="new", owner_id=company.id, credit_limit=limit),
    ]
    importing = ImportCardsRequest(request_id="m", cards=rows)
    imported = await call(mesh.card_bulk.ImportCards, importing, **STAFF)
    assert [[one.field for one in result.violations] for result in imported.results] == [
        ["account_id"],
        ["owner_id"],
    ]
    assert (await mesh.count("account"), await mesh.count("card")) == (1, 0)


async def test_departments(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "MANAGER", by=ANNA)
    create = pb.CreateDepartmentRequest(request_id="d", company_id=company.id, display_name="Sales")
    made = await call(mesh.companies.CreateDepartment, create, **as_user(BORIS))
    department = made.department
    assert (department.company_id, department.version) == (company.id, 1)
    assert department.id[5:7] == company.id[3:5]
    create.request_id = "d2"
    error = await refused(mesh.companies.CreateDepartment, create, **as_user(ANNA))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "DEPARTMENT_EXISTS")

    def update(**fields: Any) -> pb.UpdateDepartmentRequest:
        return pb.UpdateDepartmentRequest(
            request_id=mesh.request_id(), department_id=department.id, **fields
        )

    renamed = await call(
        mesh.companies.UpdateDepartment, update(display_name="Field"), **as_user(BORIS)
    )
    assert (renamed.department.display_name, renamed.department.version) == ("Field", 2)
    closed = await call(mesh.companies.UpdateDepartment, update(close=True), **STAFF)
    assert closed.department.closed
    create.request_id, create.display_name = "d3", "Field"
    assert await call(mesh.companies.CreateDepartment, create, **as_user(ANNA))
    error = await refused(
        mesh.companies.UpdateDepartment,
        update(close=True),
        **as_user("usr_0c" + "9" * 32),
    )
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "DEPARTMENT_NOT_FOUND")
    listing = pb.ListDepartmentsRequest(company_id=company.id)
    listed = await call(mesh.companies.ListDepartments, listing, **as_user(BORIS))
    assert len(listed.departments) == 2


async def test_employees_change_nothing(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "EMPLOYEE", by=ANNA)
    for method, request in (
        (
            mesh.companies.UpdateCompany,
            pb.UpdateCompanyRequest(request_id="u", company_id=company.id),
        ),
        (
            mesh.companies.CreateDepartment,
            pb.CreateDepartmentRequest(request_id="d", company_id=company.id, display_name="X"),
        ),
    ):
        error = await refused(method, request, **as_user(BORIS))
        assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_TOO_LOW")
        assert error.metadata["role"] == "EMPLOYEE"


async def test_wrong_fields(mesh: AccountsMesh) -> None:
    wrong: list[tuple[dict[str, Any], list[str]]] = [
        ({"request_id": ""}, ["request_id"]),
        ({"legal_name": ""}, ["legal_name"]),
        ({"legal_name": "x" * 201}, ["legal_name"]),
        ({"registration_number": "#"}, ["registration_number"]),
        ({"country_code": "usa"}, ["country_code"]),
        ({"time_zone": "Mars"}, ["time_zone"]),
    ]
    for fields, names in wrong:
        error = await refused(mesh.companies.CreateCompany, creation(**fields))
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, names)
    settings = company_pb2.CompanySettings(
        default_programme_id="gold", card_kinds=[card_pb2.Card.KIND_UNSPECIFIED], invitation_days=31
    )
    change = pb.UpdateCompanyRequest(request_id="u", company_id="co", settings=settings)
    error = await refused(mesh.companies.UpdateCompany, change, **STAFF)
    assert error.fields == [
        "company_id",
        "settings.default_programme_id",
        "settings.card_kinds[0]",
        "settings.invitation_days",
    ]
