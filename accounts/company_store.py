"""Companies, departments, members and invitations in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accounts.company import (
    Company,
    CompanyState,
    Department,
    Invitation,
    InvitationState,
    Member,
    Role,
)
from accounts.records import of_row, values
from runtime import ids
from runtime.clock import datetime_of
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "companies.sql")

_TIMES = ("version", "create_time_ms", "update_time_ms")
_COMPANY = ("id", "legal_name", "registration_number", "country_code", "time_zone", "state")
_DEPARTMENT = ("id", "company_id", "display_name", "closed")
_MEMBER = ("company_id", "user_id", "role", "department_id", "active")
_INVITATION = ("id", "company_id", "email", "role", "department_id", "state", "expire_time_ms")


class Companies:
    """Reads from a pool; reads and writes in a transaction's connection.

    Whoever changes members, departments or invitations has locked their company. Companies are
    always locked before accounts, and those before people.
    """

    def __init__(self, source: Any) -> None:
        self._source = source

    async def get(self, company_id: str, *, locked: bool = False) -> Company | None:
        """One company."""
        query = _SQL["select_company_for_update"] if locked else _SQL["select_company"]
        row = await self._row(query, company_id)
        return _company(row) if row else None

    async def of_owner(self, owner_id: str) -> Company | None:
        """The company that owns something; None if a person does, or if it is not known here."""
        return await self.get(owner_id) if ids.is_id(owner_id, ids.COMPANY) else None

    async def steady_of_owner(self, owner_id: str) -> Company | None:
        """The same; its state stands still until the commit."""
        if not ids.is_id(owner_id, ids.COMPANY):
            return None
        row = await self._row(_SQL["select_company_for_share"], owner_id)
        return _company(row) if row else None

    async def steady_of_account(self, account_id: str) -> Company | None:
        """The same of the company that owns an account."""
        row = await self._row(_SQL["select_company_of_account_for_share"], account_id)
        return _company(row) if row else None

    async def page(self, page: Page, *, user_id: str) -> list[Company]:
        """Companies, newest first; those of one user unless `user_id` is empty."""
        if user_id:
            found = await self._rows(_SQL["list_companies_of_user"], *after(page), user_id)
        else:
            found = await self._rows(_SQL["list_companies"], *after(page))
        return [_company(row) for row in found]

    async def insert(self, company: Company) -> None:
        """Adds a company."""
        await self._source.execute(
            _SQL["insert_company"], *values(company, *_COMPANY, "settings", *_TIMES)
        )

    async def update(self, company: Company) -> None:
        """Writes the next version of a locked company."""
        names = ("id", "version", "legal_name", "time_zone", "state", "settings", "update_time_ms")
        await self._update(_SQL["update_company"], company, *names)

    async def department(self, department_id: str) -> Department | None:
        """One department."""
        row = await self._row(_SQL["select_department"], department_id)
        return of_row(Department, row) if row else None

    async def department_named(self, company_id: str, name: str) -> Department | None:
        """The open department of that name."""
        row = await self._row(_SQL["select_department_named"], company_id, name)
        return of_row(Department, row) if row else None

    async def departments(self, page: Page, *, company_id: str) -> list[Department]:
        """The departments of a company, newest first."""
        found = await self._rows(_SQL["list_departments"], *after(page), company_id)
        return [of_row(Department, row) for row in found]

    async def insert_department(self, department: Department) -> None:
        """Adds a department."""
        await self._source.execute(
            _SQL["insert_department"], *values(department, *_DEPARTMENT, *_TIMES)
        )

    async def update_department(self, department: Department) -> None:
        """Writes the next version of a department; nobody stays in one that is closed."""
        names = ("id", "version", "display_name", "closed", "update_time_ms")
        await self._update(_SQL["update_department"], department, *names)
        if department.closed:
            instant = datetime_of(department.update_time_ms)
            await self._source.execute(_SQL["leave_department"], department.id, instant)

    async def member(self, company_id: str, user_id: str) -> Member | None:
        """One member, also one who was removed."""
        row = await self._row(_SQL["select_member"], company_id, user_id)
        return of_row(Member, row, role=Role) if row else None

    async def members(self, page: Page, *, company_id: str) -> list[Member]:
        """The members of a company, newest first."""
        found = await self._rows(_SQL["list_members"], *after(page), company_id)
        return [of_row(Member, row, role=Role) for row in found]

    async def memberships(self, page: Page, *, user_id: str) -> list[Member]:
        """The memberships of a user, newest first."""
        found = await self._rows(_SQL["list_memberships"], *after(page), user_id)
        return [of_row(Member, row, role=Role) for row in found]

    async def has_other_admin(self, member: Member) -> bool:
        """Whether a company has an administrator who can act, besides this member."""
        asked = (member.company_id, member.user_id)
        return bool(await self._source.fetchval(_SQL["has_other_admin"], *asked))

    async def insert_member(self, member: Member) -> bool:
        """Adds a member, or takes one back; False if the user is one."""
        tag = await self._source.execute(_SQL["insert_member"], *values(member, *_MEMBER, *_TIMES))
        return str(tag) == "INSERT 0 1"

    async def update_member(self, member: Member) -> None:
        """Writes the next version of a member."""
        names = ("company_id", "user_id", "version", "role", "department_id", "active")
        await self._update(_SQL["update_member"], member, *names, "update_time_ms")

    async def invitation(self, invitation_id: str) -> Invitation | None:
        """One invitation."""
        row = await self._row(_SQL["select_invitation"], invitation_id)
        return _invitation(row) if row else None

    async def invitation_of_token(self, token_hash: bytes) -> Invitation | None:
        """The invitation of a token."""
        row = await self._row(_SQL["select_invitation_of_token"], token_hash)
        return _invitation(row) if row else None

    async def invitations(self, page: Page, *, company_id: str) -> list[Invitation]:
        """The invitations of a company, newest first."""
        found = await self._rows(_SQL["list_invitations"], *after(page), company_id)
        return [_invitation(row) for row in found]

    async def insert_invitation(self, invitation: Invitation, *, token_hash: bytes) -> None:
        """Adds an invitation."""
        fields = values(invitation, *_INVITATION, "user_id", *_TIMES)
        await self._source.execute(_SQL["insert_invitation"], *fields, token_hash)

    async def update_invitation(self, invitation: Invitation) -> None:
        """Writes the next version of an invitation."""
        names = ("id", "version", "state", "user_id", "update_time_ms")
        await self._update(_SQL["update_invitation"], invitation, *names)

    async def _row(self, query: str, *arguments: Any) -> Any:
        with refusing_when_down():
            return await self._source.fetchrow(query, *arguments)

    async def _rows(self, query: str, *arguments: Any) -> list[Any]:
        with refusing_when_down():
            found: list[Any] = await self._source.fetch(query, *arguments)
        return found

    async def _update(self, query: str, record: Any, *names: str) -> None:
        tag = await self._source.execute(query, *values(record, *names))
        assert tag == "UPDATE 1", f"{type(record).__name__} was not locked at the version before"


def _company(row: Any) -> Company:
    return of_row(Company, row, state=CompanyState)


def _invitation(row: Any) -> Invitation:
    return of_row(Invitation, row, role=Role, state=InvitationState)
