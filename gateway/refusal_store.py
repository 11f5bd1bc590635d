"""Audit entries of what Envoy refused, and how far its file has been read, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import asyncpg

from runtime.audit.spool import Pending
from runtime.audit.writer import write_once
from runtime.queries import load_queries
from runtime.refusal_files import Place

_SQL = load_queries(Path(__file__).with_name("sql") / "refusals.sql")


class RefusalStore:
    """Reads and writes `refusal_place`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def place(self) -> Place:
        """Where to read on."""
        row = await self._pool.fetchrow(_SQL["select_place"])
        return Place(row["file"], row["place"]) if row else Place()

    async def write(self, entries: Sequence[Pending], place: Place) -> None:
        """Entries that are there already stay as they are."""
        async with self._pool.acquire() as connection, connection.transaction():
            await write_once(connection, entries, late=True)
            await connection.execute(_SQL["write_place"], *place)
