"""What is to be delivered, in PostgreSQL: read by one query for all, written in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from notify.endpoint import DeliveryState, Endpoint
from notify.event_store import told
from notify.payload import Told
from notify.webhook_store import endpoint_of
from runtime.clock import datetime_of
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "deliveries.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An event that is to be sent to an endpoint now."""

    endpoint_id: str
    number: int
    order_key: str
    tries: int
    attempts: int
    due_time: datetime
    event: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one attempt."""

    endpoint_id: str
    number: int
    #: As it was read: if that is no longer so, the event is to be sent once more.
    was_due: datetime
    state: DeliveryState
    tries: int
    attempts: int
    due_ms: int
    start_ms: int
    duration_ms: int
    status: int
    error: str
    response: str


class Deliveries:
    """Reads and writes on the connection of whoever delivers."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def endpoints(self) -> dict[str, Endpoint]:
        """The endpoints that are told, by id."""
        rows = await self._pool.fetch(_SQL["list_active_endpoints"])
        return {row["id"]: endpoint_of(row) for row in rows}

    async def take_lead(self, connection: Any) -> bool:
        """True for the one who delivers, as long as the connection lives."""
        return bool(await connection.fetchval(_SQL["take_lead"]))

    async def due(
        self, rooms: Mapping[str, int], held: Sequence[tuple[str, int]], *, now_ms: int
    ) -> list[Due]:
        """What is due at endpoints and not `held`, at most so many at each, what waits longest
        first.
        """
        rows = await self._pool.fetch(
            _SQL["select_due"],
            list(rooms),
            list(rooms.values()),
            datetime_of(now_ms),
            [name for name, _ in held],
            [number for _, number in held],
        )
        return [_due(row) for row in rows]

    async def write(self, results: Sequence[Result]) -> None:
        """Records attempts and what follows from them."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                _SQL["update_deliveries"],
                [one.endpoint_id for one in results],
                [one.number for one in results],
                [str(one.state) for one in results],
                [one.tries for one in results],
                [one.attempts for one in results],
                [datetime_of(one.due_ms) for one in results],
                [one.was_due for one in results],
            )
            await connection.execute(
                _SQL["insert_attempts"],
                [one.endpoint_id for one in results],
                [one.number for one in results],
                [one.attempts for one in results],
                [datetime_of(one.start_ms) for one in results],
                [one.duration_ms for one in results],
                [one.status for one in results],
                [one.error for one in results],
                [one.response for one in results],
            )

    async def set_failing(self, endpoint_id: str, since_ms: int | None) -> None:
        """Records since when an endpoint has taken nothing."""
        since = None if since_ms is None else datetime_of(since_ms)
        await self._pool.execute(_SQL["set_failing"], endpoint_id, since)

    async def disable(self, connection: Any, endpoint: Endpoint, *, now_ms: int) -> bool:
        """Disables an endpoint that nobody has changed meanwhile; True if it was."""
        tag = await connection.execute(
            _SQL["disable_endpoint"], endpoint.id, endpoint.version, datetime_of(now_ms)
        )
        return bool(tag == "UPDATE 1")


def _due(row: Any) -> Due:
    return Due(
        endpoint_id=row["endpoint_id"],
        number=row["event_number"],
        order_key=row["order_key"],
        tries=row["tries"],
        attempts=row["attempts"],
        due_time=row["due_time"],
        event=told(row),
    )
