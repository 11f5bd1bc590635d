"""The database that a test is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from runtime import migrations
from runtime.devstack.settings import StackSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database of one test, with every migration applied."""

    name: str
    #: Logged in as the server's owner.
    owner_dsn: str = field(repr=False)
    #: Settings whose `postgres_dsn` leads here.
    settings: StackSettings

    def dsn(self, service: str) -> str:
        """URL logged in as the role of one service."""
        return migrations.service_dsn(self.settings, service, owner_dsn=self.owner_dsn)


@asynccontextmanager
async def connected(dsn: str, **more: Any) -> AsyncIterator[Any]:
    """A connection that is closed also if the test fails: a later test would be blamed for it."""
    connection = await asyncpg.connect(dsn, **more)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def held(dsn: str, table: str) -> AsyncIterator[None]:
    """Nobody writes into a table meanwhile; the first who wants to is in mid-transaction."""
    async with connected(dsn) as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield
