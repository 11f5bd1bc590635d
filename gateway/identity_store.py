"""Who users are elsewhere, in PostgreSQL. Every method takes the connection of a transaction or the
pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "identities.sql")


class IdentityStore:
    """Reads and writes on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def find(self, hashes: Iterable[bytes]) -> str | None:
        """The user of an identity."""
        found: str | None = await self._connection.fetchval(_SQL["select_identity"], list(hashes))
        return found

    async def link(
        self, issuer: str, hashed: tuple[str, bytes], user_id: str, now: datetime
    ) -> bool:
        """Links an identity (key id and hash of its subject) to a user; False if it is somebody's,
        or the user has another one of this issuer.
        """
        key_id, subject_hash = hashed
        row = (issuer, subject_hash, key_id, user_id, now)
        return bool(await self._connection.fetchval(_SQL["insert_identity"], *row))
