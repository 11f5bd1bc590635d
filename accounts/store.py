"""Accounts, cards and request records in PostgreSQL: reads, and the transactions that change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from accounts import rows
from accounts.account import Account
from accounts.account_user import AccountUser
from accounts.card import LIVING, Card, CardState
from accounts.rules import Rules
from accounts.transaction import Transaction
from accounts.vault.access import HeldCard
from runtime.clock import datetime_of
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

#: Request records that one statement forgets.
FORGET_BATCH = 1_000
#: Above the number of every change.
NEWEST = 2**63 - 1

_SQL = load_queries(Path(__file__).with_name("sql") / "queries.sql")
_SUSPENSIONS = load_queries(Path(__file__).with_name("sql") / "suspensions.sql")


class Expiring(NamedTuple):
    """A card by its expiry."""

    year: int
    month: int
    card_id: str


#: Before all of them.
NO_EXPIRING = Expiring(0, 0, "")


class Store:
    """Reads, and opens transactions."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self, *, now_ms: int) -> AsyncIterator[Transaction]:
        """Commits at the end; an exception rolls everything back, the claimed id included."""
        with refusing_when_down():
            async with self._pool.acquire() as connection, connection.transaction():
                yield Transaction(connection, now_ms=now_ms)

    async def account(self, account_id: str) -> Account | None:
        """One account."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_account"], account_id)
        return rows.account(row) if row else None

    async def accounts(self, page: Page, *, owner_id: str) -> list[Account]:
        """Accounts, newest first; of one owner unless `owner_id` is empty."""
        arguments = after(page)
        with refusing_when_down():
            if owner_id:
                found = await self._pool.fetch(_SQL["list_accounts_of_owner"], *arguments, owner_id)
            else:
                found = await self._pool.fetch(_SQL["list_accounts"], *arguments)
        return [rows.account(row) for row in found]

    async def closing(self, *, now_ms: int, limit: int) -> list[str]:
        """Closing accounts that are due to be looked at."""
        found = await self._pool.fetch(_SQL["list_closing"], datetime_of(now_ms), limit)
        return [row["id"] for row in found]

    async def card(self, card_id: str) -> Card | None:
        """One card."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_card"], card_id)
        return rows.card(row) if row else None

    async def held_card(self, card_id: str) -> HeldCard | None:
        """Whose card it is, and until when: the vault asks before it shows a number."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_held_card"], card_id)
        if row is None:
            return None
        return HeldCard(
            holder_id=row["holder_id"],
            closed=CardState(row["state"]) not in LIVING,
            expiry_month=row["expiry_month"],
            expiry_year=row["expiry_year"],
        )

    async def expiring(
        self, *, year: int, month: int, after: Expiring, limit: int
    ) -> list[Expiring]:
        """Cards in use that expire in a month or before, behind another such card."""
        found = await self._pool.fetch(_SQL["list_expiring"], year, month, limit, *after)
        return [Expiring(*row) for row in found]

    async def all_cards(self, page: Page) -> list[Card]:
        """All cards, newest first."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_all_cards"], *after(page))
        return [rows.card(row) for row in found]

    async def cards(self, page: Page, *, account_id: str) -> list[Card]:
        """The cards of an account, newest first."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_cards"], *after(page), account_id)
        return [rows.card(row) for row in found]

    async def account_user(self, account_id: str, user_id: str) -> AccountUser:
        """A user of an account; at version 0 if nothing was ever set."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_account_user"], account_id, user_id)
        return rows.account_user_of(row, account_id, user_id)

    async def account_users(self, page: Page, *, account_id: str) -> list[AccountUser]:
        """The users of an account who were ever added, newest first."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_users_of_account"], *after(page), account_id)
        return [rows.account_user(row) for row in found]

    async def changes(self, page: Page, *, line_id: str) -> list[rows.Change]:
        """The changes of an account, or of a line of cards, newest first."""
        before_id = page.after.key if page.after else NEWEST
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_changes"], before_id, page.fetch, line_id)
        return [rows.change(row) for row in found]

    async def suspensions(self, page: Page, *, account_id: str) -> list[rows.Suspension]:
        """Why an account is, or was, suspended, newest first."""
        before_id = page.after.key if page.after else NEWEST
        with refusing_when_down():
            found = await self._pool.fetch(
                _SUSPENSIONS["list_suspensions"], before_id, page.fetch, account_id
            )
        return [rows.suspension(row) for row in found]

    async def rules(self, scope_id: str) -> Rules:
        """The rules of a programme or company; at version 0 if none were ever set."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_rules"], scope_id)
        return rows.rules(row) if row else Rules(scope_id=scope_id)
