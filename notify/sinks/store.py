"""How far each sink has come, and what follows, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notify.event_store import told
from notify.sinks.sink import Numbered
from runtime.clock import ms_of
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "sinks.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What a sink does not have yet."""

    events: int
    #: When the oldest of them happened; None: it has all.
    since_ms: int | None


class SinkPositions:
    """Reads and writes on the connection of whoever holds the lead."""

    def __init__(self, sink: str) -> None:
        self._sink = sink

    async def take_lead(self, connection: Any) -> bool:
        """True for the one who relays to the sink, as long as the connection lives."""
        return bool(await connection.fetchval(_SQL["take_sink_lead"], self._sink))

    async def begin(self, connection: Any) -> None:
        """A sink that was never met has nothing yet."""
        await connection.execute(_SQL["insert_sink_position"], self._sink)

    async def position(self, connection: Any) -> int:
        """The number of the last event that the sink has."""
        found: int = await connection.fetchval(_SQL["select_sink_position"], self._sink)
        return found

    async def after(self, connection: Any, number: int, *, limit: int) -> Sequence[Numbered]:
        """The events that follow."""
        rows = await connection.fetch(_SQL["select_events_after"], number, limit)
        return [_numbered(row) for row in rows]

    async def move(self, connection: Any, *, before: int, after: int) -> bool:
        """Says that the sink has them; False if somebody else has meanwhile."""
        tag = await connection.execute(_SQL["move_sink_position"], self._sink, before, after)
        return str(tag) == "UPDATE 1"

    async def lag(self, pool: Any) -> Lag:
        """How far behind the sink is."""
        row = await pool.fetchrow(_SQL["select_sink_lag"], self._sink)
        if row is None or row["oldest"] is None:
            return Lag(events=0, since_ms=None)
        return Lag(events=row["behind"], since_ms=ms_of(row["oldest"]))


def _numbered(row: Any) -> Numbered:
    return Numbered(number=row["number"], event=told(row))
