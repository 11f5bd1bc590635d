"""CompanyService: convert, load, decide, commit, convert."""

from __future__ import annotations

import os
from dataclasses import replace

from accounts import convert_company as convert
from accounts.caller import (
    calling_user,
    company_not_found,
    is_staff,
    require,
    require_seeing,
    sees_all,
)
from accounts.company import (
    Action,
    Company,
    CompanyState,
    Department,
    Member,
    Role,
    move_company,
)
from accounts.company_store import Companies
from accounts.convert import refusal
from accounts.machine import IllegalTransition
from accounts.mutation import Context, Mutations
from accounts.requests import Answer
from accounts.rules_flow import RulesFlow
from accounts.transaction import Transaction
from holdfast.accounts.v1 import company_pb2
from holdfast.accounts.v1 import company_service_pb2 as pb
from holdfast.accounts.v1.company_service_pb2_grpc import CompanyServiceServicer
from runtime import ids
from runtime.clock import Clock
from runtime.errors import AlreadyExists, PermissionDenied
from runtime.pages import cut

#: Random bytes that choose a new company's partition.
_SEED_BYTES = 16


class CompanyService(CompanyServiceServicer):
    """Companies, their settings, departments and rules."""

    def __init__(
        self,
        companies: Companies,
        mutations: Mutations,
        new_ids: ids.IdSource,
        clock: Clock,
        rules: RulesFlow,
    ) -> None:
        self._companies = companies
        self._mutations = mutations
        self._ids = new_ids
        self._clock = clock
        self._rules = rules

    async def CreateCompany(
        self, request: pb.CreateCompanyRequest, context: Context
    ) -> pb.CreateCompanyResponse:
        """Creates a company."""
        key = convert.create_company(request, context)
        now_ms = self._clock.now_ms()
        partition = ids.partition_for_owner(os.urandom(_SEED_BYTES).hex())
        company = Company(
            id=self._ids.new(ids.COMPANY, partition),
            legal_name=request.legal_name,
            registration_number=request.registration_number,
            country_code=request.country_code,
            time_zone=request.time_zone or "UTC",
            state=CompanyState.ACTIVE,
            settings=b"",
            version=1,
            create_time_ms=now_ms,
            update_time_ms=now_ms,
        )
        founder = calling_user()

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            await companies.insert(company)
            if founder:
                await companies.insert_member(_first_member(company, founder))
            return _answer(company)

        answer = await self._mutations.run(key, effect, context)
        return pb.CreateCompanyResponse(company=company_pb2.Company.FromString(answer))

    async def GetCompany(
        self, request: pb.GetCompanyRequest, context: Context
    ) -> pb.GetCompanyResponse:
        """Returns one company."""
        del context
        company_id = convert.company_id(request)
        await require_seeing(self._companies, company_id, Action.SEE)
        company = await self._companies.get(company_id)
        if company is None:
            raise company_not_found(company_id)
        return pb.GetCompanyResponse(company=convert.company(company))

    async def ListCompanies(
        self, request: pb.ListCompaniesRequest, context: Context
    ) -> pb.ListCompaniesResponse:
        """Lists companies, newest first."""
        del context
        user_id = calling_user() if not sees_all() else ""
        page = convert.companies_page(request, user_id=user_id)
        if not user_id and not sees_all():
            return pb.ListCompaniesResponse()
        listed = await self._companies.page(page, user_id=user_id)
        found, token = cut(page, listed, lambda one: one.id)
        return pb.ListCompaniesResponse(
            companies=[convert.company(one) for one in found], next_page_token=token
        )

    async def UpdateCompany(
        self, request: pb.UpdateCompanyRequest, context: Context
    ) -> pb.UpdateCompanyResponse:
        """Changes what may be changed."""
        key = convert.update_company(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            company = await self._locked(companies, request.company_id, Action.CHANGE_COMPANY)
            changed = _updated(company, request, now_ms=now_ms)
            if changed is not company:
                await companies.update(changed)
            return _answer(changed)

        answer = await self._mutations.run(key, effect, context)
        return pb.UpdateCompanyResponse(company=company_pb2.Company.FromString(answer))

    async def CreateDepartment(
        self, request: pb.CreateDepartmentRequest, context: Context
    ) -> pb.CreateDepartmentResponse:
        """Creates a department."""
        key = convert.create_department(request, context)
        now_ms = self._clock.now_ms()
        department = Department(
            id=self._ids.new(ids.DEPARTMENT, ids.partition_of(request.company_id)),
            company_id=request.company_id,
            display_name=request.display_name,
            closed=False,
            version=1,
            create_time_ms=now_ms,
            update_time_ms=now_ms,
        )

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            await self._locked(companies, request.company_id, Action.KEEP_DEPARTMENTS)
            await _refuse_taken_name(companies, department)
            await companies.insert_department(department)
            return _department_answer(department)

        answer = await self._mutations.run(key, effect, context)
        return pb.CreateDepartmentResponse(department=company_pb2.Department.FromString(answer))

    async def UpdateDepartment(
        self, request: pb.UpdateDepartmentRequest, context: Context
    ) -> pb.UpdateDepartmentResponse:
        """Renames or closes a department."""
        key = convert.update_department(request, context)
        now_ms = self._clock.now_ms()

        async def effect(transaction: Transaction) -> Answer:
            companies = Companies(transaction.connection)
            department = await self._department(companies, request.department_id)
            name = request.display_name if request.HasField("display_name") else ""
            changed = replace(
                department,
                display_name=name or department.display_name,
                closed=department.closed or request.close,
            )
            if changed != department:
                if not changed.closed:
                    await _refuse_taken_name(companies, changed)
                version = department.version + 1
                changed = replace(changed, version=version, update_time_ms=now_ms)
                await companies.update_department(changed)
            return _department_answer(changed)

        answer = await self._mutations.run(key, effect, context)
        return pb.UpdateDepartmentResponse(department=company_pb2.Department.FromString(answer))

    async def ListDepartments(
        self, request: pb.ListDepartmentsRequest, context: Context
    ) -> pb.ListDepartmentsResponse:
        """Lists the departments of a company, newest first."""
        del context
        page = convert.page_of_company(request)
        await require_seeing(self._companies, request.company_id, Action.SEE)
        listed = await self._companies.departments(page, company_id=request.company_id)
        if not listed and await self._companies.get(request.company_id) is None:
            raise company_not_found(request.company_id)
        found, token = cut(page, listed, lambda one: one.id)
        return pb.ListDepartmentsResponse(
            departments=[convert.department(one) for one in found], next_page_token=token
        )

    async def SetCompanyRules(
        self, request: pb.SetCompanyRulesRequest, context: Context
    ) -> pb.SetCompanyRulesResponse:
        """Replaces all rules of a company."""
        return pb.SetCompanyRulesResponse(rules=await self._rules.set(request, context))

    async def GetCompanyRules(
        self, request: pb.GetCompanyRulesRequest, context: Context
    ) -> pb.GetCompanyRulesResponse:
        """Returns the rules of a company."""
        del context
        return pb.GetCompanyRulesResponse(rules=await self._rules.get(request))

    async def _locked(self, companies: Companies, company_id: str, action: Action) -> Company:
        """The company, if the caller may do it there."""
        await require(companies, company_id, action)
        company = await companies.get(company_id, locked=True)
        if company is None:
            raise company_not_found(company_id)
        return company

    async def _department(self, companies: Companies, department_id: str) -> Department:
        """A department of a locked company; one of a stranger's company does not exist."""
        department = await companies.department(department_id)
        if department is None:
            raise convert.department_not_found(department_id)
        if not is_staff():
            member = await companies.member(department.company_id, calling_user())
            if member is None or not member.active:
                raise convert.department_not_found(department_id)
        await self._locked(companies, department.company_id, Action.KEEP_DEPARTMENTS)
        # Read again: it may have changed before the lock.
        department = await companies.department(department_id)
        assert department is not None, "departments are never deleted"
        return department


def _first_member(company: Company, user_id: str) -> Member:
    return Member(
        company_id=company.id,
        user_id=user_id,
        role=Role.ADMIN,
        department_id="",
        active=True,
        version=1,
        create_time_ms=company.create_time_ms,
        update_time_ms=company.create_time_ms,
    )


def _updated(company: Company, request: pb.UpdateCompanyRequest, *, now_ms: int) -> Company:
    """The company as it is to be; the same object if it is so."""
    after = company
    if request.HasField("state"):
        if not is_staff():
            raise PermissionDenied("only the bank's staff changes this", reason="STAFF_ONLY")
        moved = move_company(company, convert.state_of(request.state), now_ms=now_ms)
        if isinstance(moved, IllegalTransition):
            raise refusal(moved)
        after = replace(moved, version=company.version, update_time_ms=company.update_time_ms)
    if request.HasField("legal_name"):
        after = replace(after, legal_name=request.legal_name)
    if request.HasField("time_zone"):
        after = replace(after, time_zone=request.time_zone)
    if request.HasField("settings"):
        after = replace(after, settings=convert.settings_of(request))
    if after == company:
        return company
    return replace(after, version=company.version + 1, update_time_ms=now_ms)


async def _refuse_taken_name(companies: Companies, department: Department) -> None:
    other = await companies.department_named(department.company_id, department.display_name)
    if other is not None and other.id != department.id:
        raise AlreadyExists("the company has a department of this name", reason="DEPARTMENT_EXISTS")


def _answer(company: Company) -> Answer:
    return Answer(response=convert.company(company).SerializeToString(), outbox_key=company.id)


def _department_answer(department: Department) -> Answer:
    message = convert.department(department).SerializeToString()
    return Answer(response=message, outbox_key=department.company_id)
