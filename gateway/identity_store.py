"""Who users are elsewhere, in PostgreSQL. Every method takes the connection of a transaction or the
pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from runtime.clock import ms_of
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "identities.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """An identity of a user: the URL of its issuer, and since when."""

    issuer: str
    create_ms: int


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

    async def of_user(self, user_id: str) -> list[Linked]:
        """What a user can sign in by; at most one of each issuer."""
        rows = await self._connection.fetch(_SQL["list_identities"], user_id)
        return [Linked(issuer=row["issuer"], create_ms=ms_of(row["create_time"])) for row in rows]

    async def unlink(self, user_id: str, issuer: str) -> None:
        """Unlinks the identity of an issuer."""
        await self._connection.execute(_SQL["delete_identity"], user_id, issuer)

    async def unlink_all(self, user_id: str) -> None:
        """Unlinks all of a user."""
        await self._connection.execute(_SQL["delete_identities"], user_id)
