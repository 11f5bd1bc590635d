"""Counts the whole ledger again, beside what was counted as it came, and compares.

Counting goes on meanwhile, until the last pages: then it waits, so that both have counted the very
same entries. Timezones and departments are those that were counted with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from holdfast.authz.v1 import ledger_pb2, ledger_service_pb2
from holdfast.authz.v1.ledger_service_pb2_grpc import LedgerServiceStub
from runtime.queries import load_queries
from stats.intake import Intake

if TYPE_CHECKING:
    import asyncpg

#: Entries of one page, and partitions that are asked about at once.
PAGE = 2_000
PARTITIONS_AT_ONCE = 8
CALL_TIMEOUT_S = 30.0
#: Comparing reads everything.
COMPARE_TIMEOUT_S = 3_600.0
#: Differences that are told.
TOLD_MAX = 100

_SQL = load_queries(Path(__file__).with_name("sql") / "rebuild.sql")
_COMPARISONS = ("compare_totals", "compare_cells", "compare_origins")
_ADOPTIONS = (
    *("clear_totals", "clear_cells", "clear_origins"),
    *("adopt_totals", "adopt_cells", "adopt_origins"),
)


class RebuildRunsError(Exception):
    """Somebody else is rebuilding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row that is not what counting again gives."""

    #: `total`, `breakdown` or `origin`.
    what: str
    subject_id: str
    day: str
    currency: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What was counted again, and what differs; at most `TOLD_MAX` of each kind."""

    entries: int
    days: int
    differences: tuple[Difference, ...]
    repaired: bool


class Rebuild:
    """Counts again. `shares` are those of the followers, which wait at the end."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        channel: grpc.aio.Channel,
        intake: Intake,
        *,
        shares: int,
        on_entries: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        self._pool = pool
        self._ledger: Any = LedgerServiceStub(channel)
        self._intake = intake
        self._shares = shares
        self._on_entries = on_entries
        self._reached: dict[int, int] = {}
        self._entries = 0

    async def run(self, *, repair: bool) -> Rebuilt:
        """Counts, compares, and with `repair` has what was counted again take the place of what
        was there; closed periods that this changes get another version.
        """
        async with self._turn() as connection:
            await connection.execute(_SQL["empty"])
            try:
                return await self._run(connection, repair=repair)
            finally:
                await connection.execute(_SQL["empty"])

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection:
            if not await connection.fetchval(_SQL["try_rebuild"]):
                raise RebuildRunsError
            try:
                yield connection
            finally:
                await connection.execute(_SQL["end_rebuild"])

    async def _run(self, connection: Any, *, repair: bool) -> Rebuilt:
        await self._catch_up(connection)
        async with connection.transaction():
            for share in range(self._shares):
                await connection.execute(_SQL["stop_counting"], share)
            await self._catch_up(connection)
            rows = [
                row
                for name in _COMPARISONS
                for row in await connection.fetch(_SQL[name], TOLD_MAX, timeout=COMPARE_TIMEOUT_S)
            ]
            days = await connection.fetchval(_SQL["count_days"])
            if repair and rows:
                changed = await connection.fetch(_SQL["changed"], timeout=COMPARE_TIMEOUT_S)
                # Before anything is locked that whoever closes periods reads.
                await self._intake.reopen(
                    connection, ((row["subject_id"], row["day"]) for row in changed)
                )
                for name in _ADOPTIONS:
                    await connection.execute(_SQL[name], timeout=COMPARE_TIMEOUT_S)
        return Rebuilt(
            entries=self._entries,
            days=days,
            differences=tuple(_difference(row) for row in rows),
            repaired=repair and bool(rows),
        )

    async def _catch_up(self, connection: Any) -> None:
        """Counts up to where everything is counted now."""
        rows = await connection.fetch(_SQL["select_positions"])
        target = {row["partition"]: row["pseq"] for row in rows}
        behind = [one for one, pseq in target.items() if self._reached.get(one, 0) < pseq]
        while behind:
            some = behind[:PARTITIONS_AT_ONCE]
            entries = await self._page(some, target)
            async with connection.transaction():
                await self._intake.take_again(connection, entries)
            for entry in entries:
                self._reached[entry.partition] = entry.pseq
            self._entries += len(entries)
            self._on_entries(sum(self._reached.values()), sum(target.values()))
            behind = [one for one in behind if self._reached.get(one, 0) < target[one]]

    async def _page(
        self, partitions: Sequence[int], target: dict[int, int]
    ) -> list[ledger_pb2.Entry]:
        """What follows in some partitions, as far as it is counted."""
        request = ledger_service_pb2.FollowEntriesRequest(
            after=[
                ledger_service_pb2.EntryPosition(partition=one, pseq=self._reached.get(one, 0))
                for one in partitions
            ],
            page_size=PAGE,
        )
        answer = await self._ledger.FollowEntries(request, timeout=CALL_TIMEOUT_S)
        found = [one for one in answer.entries if one.pseq <= target[one.partition]]
        # What was counted is in the ledger.
        assert found, f"the ledger has nothing in {partitions} that was counted"
        return found


def _difference(row: Any) -> Difference:
    return Difference(
        what=row["what"],
        subject_id=row["subject_id"],
        day=str(row["day"]),
        currency=row["currency"],
        found=row["found"] or "",
        expected=row["expected"] or "",
    )
