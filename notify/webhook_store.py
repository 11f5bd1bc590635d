"""Webhook endpoints and their deliveries in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from google.protobuf.message import Message

from notify.endpoint import DeliveryState, Endpoint, EndpointState
from runtime import request_records
from runtime.audit.log import record
from runtime.clock import datetime_of, ms_of
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.request_records import RequestKey, Stored, forget_requests

#: Rows that one statement forgets.
FORGET_BATCH = 5_000
#: Attempts that are shown.
ATTEMPTS_MAX = 50
_NEWEST = 2**63 - 1

_SQL = load_queries(Path(__file__).with_name("sql") / "webhooks.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event on its way to an endpoint."""

    endpoint_id: str
    event_id: str
    event_type: str
    event_number: int
    state: DeliveryState
    attempts: int
    due_time_ms: int
    create_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What an endpoint said."""

    number: int
    start_time_ms: int
    duration_ms: int
    status: int
    error: str
    response: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldEvent:
    """What counts of an event for a delivery."""

    id: str
    number: int
    type: str
    order_key: str


class WebhookTransaction:
    """One mutation."""

    def __init__(self, connection: Any, *, now_ms: int) -> None:
        self._connection = connection
        self._now = datetime_of(now_ms)

    @property
    def connection(self) -> Any:
        """What events are added through, in the same transaction."""
        return self._connection

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

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """One endpoint, locked until the end."""
        row = await self._connection.fetchrow(_SQL["select_endpoint_for_update"], endpoint_id)
        return endpoint_of(row) if row else None

    async def count(self, owner_id: str) -> int:
        """Endpoints of an owner; nobody adds one until the end."""
        await self._connection.execute(_SQL["lock_owner"], owner_id)
        counted: int = await self._connection.fetchval(_SQL["count_endpoints"], owner_id)
        return counted

    async def insert(self, endpoint: Endpoint) -> None:
        """Adds an endpoint."""
        await self._connection.execute(
            _SQL["insert_endpoint"],
            endpoint.id,
            endpoint.owner_id,
            endpoint.url,
            endpoint.description,
            list(endpoint.types),
            str(endpoint.state),
            endpoint.secret,
            endpoint.version,
            datetime_of(endpoint.create_time_ms),
            datetime_of(endpoint.update_time_ms),
        )

    async def update(self, endpoint: Endpoint) -> None:
        """Writes the next version of a locked endpoint."""
        tag = await self._connection.execute(
            _SQL["update_endpoint"],
            endpoint.id,
            endpoint.version,
            endpoint.url,
            endpoint.description,
            list(endpoint.types),
            str(endpoint.state),
            endpoint.secret,
            endpoint.previous_secret,
            _time(endpoint.previous_expire_time_ms),
            _time(endpoint.failing_since_ms),
            datetime_of(endpoint.update_time_ms),
        )
        assert tag == "UPDATE 1", f"{endpoint.id} was not locked at the version before"

    async def told_event(self, event_id: str, *, owner_id: str) -> ToldEvent | None:
        """An event that an endpoint of an owner may be told."""
        row = await self._connection.fetchrow(_SQL["select_event_of_owner"], event_id, owner_id)
        return _told(event_id, row) if row else None

    async def resend(self, endpoint_id: str, event: ToldEvent) -> Delivery:
        """Lets an event be sent now."""
        row = await self._connection.fetchrow(
            _SQL["resend_delivery"], endpoint_id, event.number, event.order_key, self._now
        )
        return Delivery(
            endpoint_id=endpoint_id,
            event_id=event.id,
            event_type=event.type,
            event_number=event.number,
            state=DeliveryState(row["state"]),
            attempts=row["attempts"],
            due_time_ms=ms_of(row["due_time"]),
            create_time_ms=ms_of(row["create_time"]),
        )

    async def replay(
        self, endpoint: Endpoint, types: tuple[str, ...], *, start_ms: int, end_ms: int, limit: int
    ) -> int:
        """Lets events be sent that were not taken; returns how many."""
        count: int = await self._connection.fetchval(
            _SQL["replay_events"],
            endpoint.id,
            endpoint.owner_id,
            list(types) or None,
            datetime_of(start_ms),
            datetime_of(end_ms),
            self._now,
            limit,
        )
        return count


class WebhookStore:
    """Reads endpoints and deliveries; writes them in transactions."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self, *, now_ms: int) -> AsyncIterator[WebhookTransaction]:
        """All of it, or nothing."""
        with refusing_when_down():
            async with self._pool.acquire() as connection, connection.transaction():
                yield WebhookTransaction(connection, now_ms=now_ms)

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """One endpoint."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_endpoint"], endpoint_id)
        return endpoint_of(row) if row else None

    async def endpoints(self, page: Page, *, owner_id: str) -> list[Endpoint]:
        """Endpoints, newest first; of one owner unless `owner_id` is empty."""
        arguments = after(page)
        with refusing_when_down():
            if owner_id:
                found = await self._pool.fetch(
                    _SQL["list_endpoints_of_owner"], *arguments, owner_id
                )
            else:
                found = await self._pool.fetch(_SQL["list_endpoints"], *arguments)
        return [endpoint_of(row) for row in found]

    async def deliveries(
        self, page: Page, endpoint_id: str, *, state: DeliveryState | None
    ) -> list[Delivery]:
        """Deliveries to an endpoint, latest event first."""
        below = page.after.key if page.after else _NEWEST
        with refusing_when_down():
            rows = await self._pool.fetch(
                _SQL["list_deliveries"], endpoint_id, below, page.fetch, state
            )
        return [_delivery(row) for row in rows]

    async def attempts(self, endpoint: Endpoint, event_id: str) -> Sequence[Attempt] | None:
        """The last attempts to deliver an event, first one first; None: it may not be told."""
        with refusing_when_down():
            event = await self._pool.fetchrow(
                _SQL["select_event_of_owner"], event_id, endpoint.owner_id
            )
            if event is None:
                return None
            rows = await self._pool.fetch(
                _SQL["list_attempts"], endpoint.id, event["number"], ATTEMPTS_MAX
            )
        return [_attempt(row) for row in reversed(rows)]

    async def forget(self, *, before_ms: int, requests_before_ms: int) -> bool:
        """Forgets some of what is older; True if there may be more."""
        when = datetime_of(before_ms)
        tags = [
            await self._pool.execute(_SQL["forget_deliveries"], when, FORGET_BATCH),
            await self._pool.execute(_SQL["forget_attempts"], when, FORGET_BATCH),
        ]
        more = any(tag.endswith(f" {FORGET_BATCH}") for tag in tags)
        found = await forget_requests(self._pool, before_ms=requests_before_ms)
        return more or found == request_records.FORGET_BATCH


def endpoint_of(row: Any) -> Endpoint:
    """An endpoint of its row."""
    return Endpoint(
        id=row["id"],
        owner_id=row["owner_id"],
        url=row["url"],
        description=row["description"],
        types=tuple(row["types"]),
        state=EndpointState(row["state"]),
        secret=row["secret"],
        previous_secret=row["previous_secret"],
        previous_expire_time_ms=_ms(row["previous_expire_time"]),
        failing_since_ms=_ms(row["failing_since"]),
        version=row["version"],
        create_time_ms=ms_of(row["create_time"]),
        update_time_ms=ms_of(row["update_time"]),
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        endpoint_id=row["endpoint_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        event_number=row["event_number"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        due_time_ms=ms_of(row["due_time"]),
        create_time_ms=ms_of(row["create_time"]),
    )


def _attempt(row: Any) -> Attempt:
    return Attempt(
        number=row["number"],
        start_time_ms=ms_of(row["start_time"]),
        duration_ms=row["duration_ms"],
        status=row["status"],
        error=row["error"],
        response=row["response"],
    )


def _told(event_id: str, row: Any) -> ToldEvent:
    return ToldEvent(
        id=event_id,
        number=row["number"],
        type=row["type"],
        order_key=row["account_id"] or row["owner_id"],
    )


def _time(ms: int | None) -> Any:
    return None if ms is None else datetime_of(ms)


def _ms(value: Any) -> int | None:
    return None if value is None else ms_of(value)
