"""API keys in PostgreSQL, and the answers to requests about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
from google.protobuf.message import Message

from gateway.api_key import ApiKey, KeyState, SecretHash
from runtime import outbox, request_records
from runtime.audit.log import record
from runtime.clock import datetime_of, ms_of
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.request_records import RequestKey, Stored

_SQL = load_queries(Path(__file__).with_name("sql") / "api_keys.sql")


class ApiKeyTransaction:
    """One mutation."""

    def __init__(self, connection: Any, *, now_ms: int) -> None:
        self._connection = connection
        self._now = datetime_of(now_ms)

    async def claim(self, key: RequestKey) -> Stored | None:
        """Takes the request id, or returns what it was used for; waits for a concurrent use."""
        return await request_records.claim(self._connection, key, self._now)

    async def answer(self, key: RequestKey, response: bytes) -> None:
        """Stores the answer to the claimed request id."""
        await request_records.answer(self._connection, key, response)

    async def record(
        self,
        *,
        before: Message | None = None,
        after: Message | None = None,
        targets: tuple[str, ...] = (),
        reason: str = "",
    ) -> None:
        """Writes the change, or its repetition, into the audit log."""
        await record(self._connection, before=before, after=after, targets=targets, reason=reason)

    async def deliver(self, message: outbox.Message) -> None:
        """Has a message delivered once this is committed."""
        await outbox.append(self._connection, message)

    async def key(self, api_key_id: str) -> ApiKey | None:
        """One key, locked until the end."""
        row = await self._connection.fetchrow(_SQL["select_api_key_for_update"], api_key_id)
        return _key(row) if row else None

    async def count(self, owner_id: str) -> int:
        """Active keys of an owner; nobody adds one until the end."""
        await self._connection.execute(_SQL["lock_owner"], owner_id)
        counted: int = await self._connection.fetchval(_SQL["count_api_keys"], owner_id)
        return counted

    async def insert(self, key: ApiKey) -> None:
        """Adds a key."""
        await self._connection.execute(
            _SQL["insert_api_key"],
            key.id,
            key.owner_id,
            key.display_name,
            str(key.state),
            list(key.scopes),
            list(key.allowed_networks),
            key.limit_per_minute,
            key.secret.digest,
            key.secret.key_id,
            _time(key.expire_time_ms),
            key.version,
            datetime_of(key.create_time_ms),
            datetime_of(key.update_time_ms),
        )

    async def update(self, key: ApiKey) -> None:
        """Writes the next version of a locked key."""
        await self._connection.execute(
            _SQL["update_api_key"],
            key.id,
            key.version,
            str(key.state),
            key.secret.digest,
            key.secret.key_id,
            key.previous.digest if key.previous else None,
            key.previous.key_id if key.previous else None,
            _time(key.previous_expire_time_ms),
            datetime_of(key.update_time_ms),
        )


class ApiKeyStore:
    """Reads keys; writes them in transactions."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self, *, now_ms: int) -> AsyncIterator[ApiKeyTransaction]:
        """All of it, or nothing."""
        with refusing_when_down():
            async with self._pool.acquire() as connection, connection.transaction():
                yield ApiKeyTransaction(connection, now_ms=now_ms)

    async def key(self, api_key_id: str) -> ApiKey | None:
        """One key."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_api_key"], api_key_id)
        return _key(row) if row else None

    async def merchant_of(self, user_id: str) -> str:
        """The merchant whose keys a user manages; empty if there is none."""
        with refusing_when_down():
            found: str | None = await self._pool.fetchval(_SQL["select_merchant"], user_id)
        return found or ""

    async def keys(self, page: Page, *, owner_id: str) -> list[ApiKey]:
        """One page, newest first, and one key more; of everybody without an owner."""
        with refusing_when_down():
            rows = await self._pool.fetch(_SQL["list_api_keys"], *after(page), owner_id or None)
        return [_key(row) for row in rows]


def _key(row: Any) -> ApiKey:
    previous = (
        SecretHash(key_id=row["previous_key"], digest=row["previous_hash"])
        if row["previous_hash"] is not None
        else None
    )
    return ApiKey(
        id=row["id"],
        owner_id=row["owner_id"],
        display_name=row["display_name"],
        state=KeyState(row["state"]),
        scopes=tuple(row["scopes"]),
        allowed_networks=tuple(row["allowed_networks"]),
        limit_per_minute=row["limit_per_minute"],
        secret=SecretHash(key_id=row["secret_key"], digest=row["secret_hash"]),
        previous=previous,
        previous_expire_time_ms=_ms(row["previous_expire_time"]),
        expire_time_ms=_ms(row["expire_time"]),
        version=row["version"],
        create_time_ms=ms_of(row["create_time"]),
        update_time_ms=ms_of(row["update_time"]),
    )


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime_of(ms)


def _ms(value: datetime | None) -> int | None:
    return None if value is None else ms_of(value)
