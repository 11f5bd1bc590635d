"""The sink of webhooks: a delivery for each endpoint that wants an event, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from notify.endpoint import wants
from notify.sinks.sink import Numbered
from runtime.clock import Clock, datetime_of
from runtime.queries import load_queries

#: Owner of endpoints that are told everything.
_EVERYBODY = ""

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "intake.sql")


class WebhookDeliveries:
    """Lets events be sent; `notify/dispatcher.py` sends them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def take(self, connection: Any, events: Sequence[Numbered]) -> None:
        """Adds deliveries in the caller's transaction."""
        listeners: dict[str, list[Any]] = {}
        for row in await connection.fetch(_SQL["list_listeners"]):
            listeners.setdefault(row["owner_id"], []).append(row)
        if not listeners:
            return
        everybody = listeners.get(_EVERYBODY, [])
        deliveries = [
            (listener["id"], one.number, one.event.key)
            for one in events
            for listener in (
                *(listeners.get(one.event.owner_id, []) if one.event.owner_id else ()),
                *everybody,
            )
            if wants(listener["types"], one.event.type)
        ]
        if deliveries:
            columns = map(list, zip(*deliveries, strict=True))
            now = datetime_of(self._clock.now_ms())
            await connection.execute(_SQL["insert_deliveries"], *columns, now)

    async def close(self) -> None:
        """Nothing is kept."""
