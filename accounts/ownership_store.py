"""Whose accounts and cards are whose, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import asyncpg

from accounts import rows
from accounts.account import Account
from runtime.ownership import Belongs
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "ownership.sql")


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

    async def account_belongs(self, account_id: str, user_id: str) -> Belongs | None:
        """To whom an account belongs, and whether a user shares it."""
        return await self._belongs("account_belongs", account_id, user_id)

    async def card_belongs(self, card_id: str, user_id: str) -> Belongs | None:
        """To whom a card belongs, and whether it is a user's."""
        return await self._belongs("card_belongs", card_id, user_id)

    async def company_belongs(self, company_id: str, user_id: str) -> Belongs | None:
        """A company, and whether it still has the user as a manager."""
        return await self._belongs("company_belongs", company_id, user_id)

    async def _belongs(self, query: str, name: str, user_id: str) -> Belongs | None:
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL[query], name, user_id)
        return Belongs(**row) if row else None
