"""Reads how the API was used, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import asyncpg

from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.record import record

_SQL = load_queries(Path(__file__).with_name("sql") / "usage.sql")


@record
class UsageQuery:
    """Which requests are asked about, and how they are summed up."""

    first: date
    last: date
    #: True: who asked does not matter; then no field below says anything about it.
    everybody: bool
    #: None: all.
    callers: tuple[str, ...] | None = None
    method: str = ""
    api_key_id: str = ""
    #: `DAY`, `WEEK` or empty.
    by_time: str = ""
    by_method: bool = False
    by_caller: bool = False
    by_api_key: bool = False
    #: `CALLS`, `ERRORS`, `REFUSED`, `FAILED`, `SLOWEST` or `TIME`.
    order: str = "CALLS"
    top: int = 1


class UsageStore:
    """Reads `api_usage`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def sums(self, query: UsageQuery) -> Sequence[Any]:
        """The first groups; each row says how many there are."""
        with refusing_when_down():
            rows: list[Any] = await self._pool.fetch(
                _SQL["sum_usage"],
                query.everybody,
                query.first,
                query.last,
                None if query.callers is None else list(query.callers),
                query.method,
                query.api_key_id,
                query.by_time,
                query.by_method,
                query.by_caller,
                query.by_api_key,
                query.order,
                query.top,
            )
        return rows

    async def counted_until(self) -> datetime | None:
        """When the last request that was counted began."""
        with refusing_when_down():
            found: datetime | None = await self._pool.fetchval(_SQL["select_counted_until"])
        return found
