"""Events in PostgreSQL: reads, and what is too old is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from notify.event import KeptEvent
from notify.payload import Told
from runtime.clock import datetime_of, ms_of
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

#: Events that one statement forgets.
FORGET_BATCH = 5_000
#: Above and below the number of every event.
_NEWEST, _OLDEST = 2**63 - 1, 0
_ALWAYS = (
    datetime.fromisoformat("2000-01-01T00:00:00+00:00"),
    datetime.fromisoformat("2100-01-01T00:00:00+00:00"),
)

_SQL = load_queries(Path(__file__).with_name("sql") / "events.sql")


class _Queries(NamedTuple):
    """The queries of one order."""

    of_all: str
    of_owner: str
    of_account: str
    of_caller: str


_NEWEST_FIRST = _Queries(
    "newest_of_all", "newest_of_owner", "newest_of_account", "newest_of_caller"
)
_OLDEST_FIRST = _Queries(
    "oldest_of_all", "oldest_of_owner", "oldest_of_account", "oldest_of_caller"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Whose events somebody may see: of these owners, and those about a user; None: all."""

    owner_ids: tuple[str, ...]
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events are asked for; what is empty, or None, excludes nothing."""

    account_id: str = ""
    owner_id: str = ""
    types: tuple[str, ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None


class EventStore:
    """Reads events."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def event(self, event_id: str) -> KeptEvent | None:
        """One event."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_event"], event_id)
        return kept(row) if row else None

    async def events(
        self, page: Page, wanted: Wanted, *, seen: Seen | None, oldest_first: bool
    ) -> list[KeptEvent]:
        """A page of the events that somebody wants and may see."""
        first = _OLDEST if oldest_first else _NEWEST
        after = page.after.key if page.after else first
        start = _ALWAYS[0] if wanted.start_ms is None else datetime_of(wanted.start_ms)
        end = _ALWAYS[1] if wanted.end_ms is None else datetime_of(wanted.end_ms)
        arguments: list[Any] = [after, page.fetch, list(wanted.types) or None, start, end]
        seen_all = seen is None
        mine = seen or Seen(owner_ids=(), user_id="")
        queries = _OLDEST_FIRST if oldest_first else _NEWEST_FIRST
        if wanted.account_id:
            query = queries.of_account
            arguments += [wanted.account_id, wanted.owner_id, seen_all]
            arguments += [list(mine.owner_ids), mine.user_id]
        elif not seen_all:
            query = queries.of_caller
            arguments += [list(mine.owner_ids), mine.user_id, wanted.owner_id]
        elif wanted.owner_id:
            query = queries.of_owner
            arguments.append(wanted.owner_id)
        else:
            query = queries.of_all
        with refusing_when_down():
            rows = await self._pool.fetch(_SQL[query], *arguments)
        return [kept(row) for row in rows]

    async def last_number(self) -> int:
        """The number of the event that became known last; 0: none has."""
        with refusing_when_down():
            last: int = await self._pool.fetchval(_SQL["select_last_number"])
        return last

    async def forget(self, *, before_ms: int, sink: str = "") -> int:
        """Forgets some of the events that are older, and that the sink has, if one is named;
        returns how many.
        """
        before = datetime_of(before_ms)
        tag = await self._pool.execute(_SQL["forget_events"], before, FORGET_BATCH, sink)
        return int(tag.rpartition(" ")[2])


def told(row: Any) -> Told:
    """What others are told of an event, of its row."""
    return Told(
        id=row["id"],
        type=row["type"],
        sequence=row["sequence"],
        account_id=row["account_id"],
        owner_id=row["owner_id"],
        user_id=row["user_id"],
        data=row["data"],
        create_time=row["create_time"],
        test=row["test"],
    )


def kept(row: Any) -> KeptEvent:
    """An event of its row."""
    return KeptEvent(
        number=row["number"],
        id=row["id"],
        type=row["type"],
        sequence=row["sequence"],
        account_id=row["account_id"],
        owner_id=row["owner_id"],
        user_id=row["user_id"],
        data=row["data"],
        create_time_ms=ms_of(row["create_time"]),
        test=row["test"],
    )


def last_number(events: Sequence[KeptEvent], page: Page) -> int:
    """The place after a page, also after an empty one."""
    if events:
        return events[-1].number
    return page.after.key if page.after else _OLDEST
