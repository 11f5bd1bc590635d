"""The usage log in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from gateway.usage import UsageRow
from runtime.clock import datetime_of
from runtime.pages import TOP
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

#: Methods that a sum lists.
METHODS_MAX = 500

_SQL = load_queries(Path(__file__).with_name("sql") / "usage.sql")
_PARTITION = re.compile(r"usage_[0-9]{8}")


class UsageStore:
    """Writes and reads `usage`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def write(self, rows: Sequence[UsageRow]) -> None:
        """Adds rows. One process at a time: whoever follows ids misses none."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["take_turn"])
            await connection.copy_records_to_table(
                "usage", schema_name="gateway", columns=UsageRow._fields, records=rows
            )

    async def keep_days(self, today: date, *, retention_days: int) -> int:
        """Makes the partitions that are needed next, drops old ones; returns how many."""
        await self._pool.execute(_SQL["make_days"], today)
        first = today - timedelta(days=retention_days)
        old = [row["name"] for row in await self._pool.fetch(_SQL["old_days"], first)]
        for name in old:
            assert _PARTITION.fullmatch(name), f"{name} is none of ours"
            await self._pool.execute(f"DROP TABLE IF EXISTS {name}")
        return len(old)

    async def usage(
        self, page: Page, *, since: datetime, caller: str, method: str, trace_id: str
    ) -> list[Any]:
        """Rows, newest first."""
        time = datetime_of(page.after.key) if page.after else TOP
        place = int(page.after.id) if page.after else 0
        with refusing_when_down():
            rows: list[Any] = await self._pool.fetch(
                _SQL["list_usage"], time, place, page.fetch, caller, method, trace_id, since
            )
        return rows

    async def after(self, place: int, *, limit: int) -> list[Any]:
        """Rows in the order in which they were written."""
        with refusing_when_down():
            rows: list[Any] = await self._pool.fetch(_SQL["follow_usage"], place, limit)
        return rows

    async def sums(self, start: datetime, end: datetime, *, caller: str) -> list[Any]:
        """Totals by method."""
        with refusing_when_down():
            rows: list[Any] = await self._pool.fetch(
                _SQL["sum_usage"], start, end, caller, METHODS_MAX
            )
        return rows
