"""Second factors in PostgreSQL. Every method takes the connection of a transaction or the pool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "factors.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A second factor; its secret is sealed."""

    sealed: bytes = field(repr=False)
    confirmed: bool


class FactorStore:
    """Reads and writes on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def begin(self, user_id: str, sealed: bytes, now: datetime) -> bool:
        """Begins a second factor; False if one is confirmed."""
        begun = await self._connection.fetchval(_SQL["upsert_factor"], user_id, sealed, now)
        return bool(begun)

    async def find(self, user_id: str) -> Factor | None:
        """The second factor of a user."""
        row = await self._connection.fetchrow(_SQL["select_factor"], user_id)
        return Factor(sealed=row["secret"], confirmed=row["confirmed"]) if row else None

    async def use_step(self, user_id: str, step: int) -> bool:
        """Takes a time step; False if it or a later one was used."""
        return bool(await self._connection.fetchval(_SQL["use_step"], user_id, step))

    async def use_recovery_code(self, user_id: str, hashes: Iterable[bytes]) -> bool:
        """Uses up a recovery code; False if there is no such code."""
        used = await self._connection.fetchval(_SQL["use_recovery_code"], user_id, list(hashes))
        return bool(used)

    async def confirm(self, user_id: str, hashes: Iterable[bytes], now: datetime) -> None:
        """From now on the factor is asked for; `hashes` are those of its recovery codes."""
        await self._connection.execute(_SQL["confirm_factor"], user_id, now)
        await self._connection.execute(_SQL["delete_recovery_codes"], user_id)
        await self._connection.execute(_SQL["insert_recovery_codes"], user_id, list(hashes))

    async def remove(self, user_id: str) -> None:
        """Forgets the factor and its recovery codes."""
        await self._connection.execute(_SQL["delete_recovery_codes"], user_id)
        await self._connection.execute(_SQL["delete_factor"], user_id)
