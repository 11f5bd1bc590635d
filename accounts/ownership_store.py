"""Whose accounts and cards are whose, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import asyncpg

from accounts import rows
from accounts.account import Account
from runtime import ids
from runtime.ownership import Belongs
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "ownership.sql")

#: By prefix of the id.
_KNOWN = {
    ids.ACCOUNT: "account_belongs",
    ids.CARD: "card_belongs",
    ids.COMPANY: "company_known",
    ids.DEPARTMENT: "department_belongs",
    ids.USER: "user_known",
    ids.PROGRAMME: "programme_known",
}
_CURRENCIES = {ids.ACCOUNT: "currency_of_account", ids.CARD: "currency_of_card"}


class OwnershipStore:
    """Reads what managers and cardholders may see."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def accounts_of(
        self, page: Page, *, owner_ids: tuple[str, ...], user_id: str, owner_id: str
    ) -> list[Account]:
        """Accounts of these owners and those that a user shares, newest first; of one owner among
        them unless `owner_id` is empty.
        """
        with refusing_when_down():
            found = await self._pool.fetch(
                _SQL["list_accounts_of_caller"], *after(page), owner_ids, user_id, owner_id
            )
        return [rows.account(row) for row in found]

    async def owners_of(self, account_ids: Sequence[str]) -> dict[str, str]:
        """The owners of accounts that are known."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["owners_of"], list(account_ids))
        return {row["id"]: row["owner_id"] for row in found}

    async def managers_of(self, company_ids: Sequence[str], *, limit: int) -> list[tuple[str, str]]:
        """Companies and those who manage them, of each as many as `limit`."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["managers_of"], list(company_ids), limit)
        return [(row["company_id"], row["user_id"]) for row in found]

    async def account_belongs(self, account_id: str, user_id: str) -> Belongs | None:
        """To whom an account belongs, and whether a user shares it."""
        return await self._belongs("account_belongs", account_id, user_id)

    async def card_belongs(self, card_id: str, user_id: str) -> Belongs | None:
        """To whom a card belongs, and whether it is a user's."""
        return await self._belongs("card_belongs", card_id, user_id)

    async def company_belongs(self, company_id: str, user_id: str) -> Belongs | None:
        """A company, and whether it still has the user as a manager."""
        return await self._belongs("company_belongs", company_id, user_id)

    async def subject_belongs(self, subject_id: str, user_id: str) -> Belongs | None:
        """To whom something belongs that statistics are about; None: there is no such thing. The
        id must be valid.
        """
        return await self._belongs(_KNOWN[subject_id.partition("_")[0]], subject_id, user_id)

    async def currency_of(self, subject_id: str) -> str:
        """The currency of an account, or of a card's account; '' for anything else."""
        query = _CURRENCIES.get(subject_id.partition("_")[0])
        if query is None:
            return ""
        with refusing_when_down():
            return await self._pool.fetchval(_SQL[query], subject_id) or ""

    async def terms_of(self, account_ids: Sequence[str]) -> dict[str, bytes | None]:
        """The last terms of the programmes of those accounts that are known."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["terms_of_accounts"], list(account_ids))
        return {row["id"]: row["terms"] for row in found}

    async def departments_of(
        self, members: Sequence[tuple[str, str]]
    ) -> list[tuple[str, str, str]]:
        """Company, user and department of those members who have one."""
        companies, users = zip(*members, strict=True)
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["departments_of"], companies, users)
        return [tuple(row) for row in found]

    async def _belongs(self, query: str, name: str, user_id: str) -> Belongs | None:
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL[query], name, user_id)
        return Belongs(**row) if row else None
