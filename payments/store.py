"""Payments in PostgreSQL: reads, what is due, and the transactions that change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from payments import rows
from payments.autopay import Autopay
from payments.funding import FundingSource
from payments.payment import Payment, Source
from payments.transaction import Transaction
from runtime import request_records
from runtime.clock import datetime_of
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.request_records import RequestKey, Stored

_SQL = load_queries(Path(__file__).with_name("sql") / "payments.sql")
_FUNDING = load_queries(Path(__file__).with_name("sql") / "funding.sql")


class Store:
    """Reads, takes what is due, and opens transactions."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self, *, now_ms: int) -> AsyncIterator[Transaction]:
        """Commits at the end; an exception rolls everything back, the claimed id included."""
        with refusing_when_down():
            async with self._pool.acquire() as connection, connection.transaction():
                yield Transaction(connection, now_ms=now_ms)

    async def stored(self, key: RequestKey) -> Stored | None:
        """What a request id was answered before, if it was."""
        with refusing_when_down():
            return await request_records.stored(self._pool, key)

    async def payment(self, payment_id: str) -> Payment | None:
        """One payment."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_payment"], payment_id)
        return rows.payment(row) if row else None

    async def payments(self, page: Page, *, account_id: str) -> list[Payment]:
        """Payments of an account, newest first."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_payments"], *after(page), account_id)
        return [rows.payment(row) for row in found]

    async def autopay(self, account_id: str) -> Autopay | None:
        """What is paid by itself."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_autopay"], account_id)
        return rows.autopay(row) if row else None

    async def source(self, source_id: str) -> FundingSource | None:
        """One funding source."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_FUNDING["select_source"], source_id)
        return rows.funding_source(row) if row else None

    async def sources(self, page: Page, *, account_id: str) -> list[FundingSource]:
        """Funding sources of an account that were not removed, newest first."""
        with refusing_when_down():
            found = await self._pool.fetch(_FUNDING["list_sources"], *after(page), account_id)
        return [rows.funding_source(row) for row in found]

    async def under_way(self, account_id: str) -> dict[str, int]:
        """Amounts of payments that were begun and have not lowered the balance yet, by id."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_under_way"], account_id)
        return {row["id"]: row["amount_minor"] for row in found}

    async def count_credited(self, account_id: str) -> int:
        """How many payments of an account have ever lowered its balance."""
        with refusing_when_down():
            counted: int = await self._pool.fetchval(_SQL["count_credited"], account_id, [])
        return counted

    async def last_change_ms(self, account_id: str) -> int | None:
        """When a payment of an account last lowered its balance, or went back."""
        return rows.ms(await self._pool.fetchval(_SQL["select_last_change"], account_id))

    async def hold_days(self, account_id: str, source: Source) -> int | None:
        """How long payments are held, where it is not as the settings say."""
        with refusing_when_down():
            found: int | None = await self._pool.fetchval(
                _SQL["select_hold_days"], account_id, source
            )
        return found

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows, for stores beside this one."""
        with refusing_when_down():
            return list(await self._pool.fetch(query, *arguments))

    async def claim_payments(
        self, *, now_ms: int, until_ms: int, limit: int
    ) -> list[tuple[Payment, int]]:
        """Payments that have something to do, and how often it was tried in vain. Whoever takes
        them does it before `until_ms`.
        """
        found = await self._pool.fetch(
            _SQL["claim_payments"], datetime_of(now_ms), datetime_of(until_ms), limit
        )
        return [(rows.payment(row), row["attempts"]) for row in found]

    async def claim_autopays(self, *, now_ms: int, until_ms: int, limit: int) -> list[Autopay]:
        """The same of what is paid by itself."""
        found = await self._pool.fetch(
            _SQL["claim_autopays"], datetime_of(now_ms), datetime_of(until_ms), limit
        )
        return [rows.autopay(row) for row in found]

    async def save(self, payment: Payment) -> bool:
        """Writes the next version; False if somebody else was faster."""
        async with self.transaction(now_ms=payment.update_ms) as transaction:
            return await transaction.update_payment(payment)

    async def postpone(self, payment: Payment, *, until_ms: int) -> None:
        """Lets a step that was tried in vain wait."""
        await self._pool.execute(
            _SQL["postpone_payment"], payment.id, payment.version, datetime_of(until_ms)
        )
