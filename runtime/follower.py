"""Follows the ledger: every settled entry (or only those that changed what is owed) is taken in
once, in order within its partition.

The positions stand in the follower's own schema (table `ledger_position`) and move in the
transaction that takes the entries in: who dies in between has done nothing. Several processes of
one service may follow; they take turns. The partitions may be shared out: then each share has turns
of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from holdfast.authz.v1 import ledger_pb2, ledger_service_pb2
from holdfast.authz.v1.ledger_service_pb2_grpc import LedgerServiceStub
from runtime.log import get_logger
from runtime.queries import load_queries
from runtime.validate import milliseconds

if TYPE_CHECKING:
    import asyncpg

#: Entries of one transaction, unless the follower says otherwise.
PAGE = 1_000
#: How often is looked when there was nothing new, unless the follower says otherwise.
POLL_S = 0.5
#: How long to wait after a failure.
PAUSE_S = 1.0
CALL_TIMEOUT_S = 5.0

_SQL = load_queries(Path(__file__).with_name("sql") / "follower.sql")

Entry = ledger_pb2.Entry
#: Takes entries in, on the connection whose transaction moves the positions.
Take = Callable[[Any, Sequence[Entry]], Awaitable[None]]
#: Prepares for entries before that, while nothing is locked; is given where to read.
Prepare = Callable[[Any, Sequence[Entry]], Awaitable[None]]

logger = get_logger()


class LedgerGapError(Exception):
    """The ledger answered with an entry that does not follow the one before."""


async def follow_for_ever(
    step: Callable[[], Awaitable[bool]], *, poll_s: float, unknown: str, failed: str, **what: str
) -> None:
    """Takes one page after the other in; looks now and then when there was no more, and rests after
    a failure. `unknown` is what the log calls that who is asked does not answer, `failed` any other
    failure.
    """
    while True:
        try:
            pause_s = 0 if await step() else poll_s
        except grpc.aio.AioRpcError as error:
            logger.debug(unknown, **what, because=f"{error.code().name}: {error.details()}")
            pause_s = PAUSE_S
        except Exception:
            logger.exception(failed, **what)
            pause_s = PAUSE_S
        await asyncio.sleep(pause_s)


class Follower:
    """Asks for what was settled, and has it taken in."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        channel: grpc.aio.Channel,
        take: Take,
        *,
        prepare: Prepare | None = None,
        posted_only: bool = False,
        share: int = 0,
        shares: int = 1,
        page: int = PAGE,
        poll_s: float = POLL_S,
    ) -> None:
        self._pool = pool
        self._share, self._shares = share, shares
        self._page, self._poll_s = page, poll_s
        self._posted_only = posted_only
        self._ledger: Any = LedgerServiceStub(channel)
        self._take, self._prepare = take, prepare
        #: Everything that was recorded by then was taken in; None: not known.
        self.followed_until_ms: int | None = None

    async def run(self) -> None:
        """For ever; no failure ends it."""
        await follow_for_ever(
            self.step, poll_s=self._poll_s, unknown="ledger_unknown", failed="follower_failed"
        )

    async def caught_up(self) -> None:
        """Returns once nothing more is settled than was taken in."""
        while await self.step():
            pass

    async def step(self) -> bool:
        """Takes one page in; True if there is more. Nothing is locked while the ledger is asked:
        most of the time nothing is there.
        """
        positions = await self._positions(self._pool)
        answer = await self._ask(positions)
        until_ms = milliseconds(answer.settled_until) if answer.HasField("settled_until") else None
        if not answer.reached:
            self.followed_until_ms = until_ms
            return False
        if not self._posted_only:
            _check_order(positions, answer.entries)
        reached = {one.partition: one.pseq for one in answer.reached}
        if self._prepare is not None and answer.entries:
            await self._prepare(self._pool, answer.entries)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["take_turns"], self._share)
            if await self._positions(connection) != positions:
                # Somebody else was faster: these were taken in.
                return True
            if answer.entries:
                await self._take(connection, answer.entries)
            await connection.execute(_SQL["move_positions"], list(reached), list(reached.values()))
        if not answer.more:
            self.followed_until_ms = until_ms
        return answer.more

    async def _positions(self, where: Any) -> dict[int, int]:
        rows = await where.fetch(_SQL["select_positions"], self._share, self._shares)
        return {row["partition"]: row["pseq"] for row in rows}

    async def _ask(self, positions: dict[int, int]) -> ledger_service_pb2.FollowEntriesResponse:
        answer: ledger_service_pb2.FollowEntriesResponse = await self._ledger.FollowEntries(
            ledger_service_pb2.FollowEntriesRequest(
                after=[
                    ledger_service_pb2.EntryPosition(partition=partition, pseq=pseq)
                    for partition, pseq in positions.items()
                ],
                page_size=self._page,
                posted_only=self._posted_only,
            ),
            timeout=CALL_TIMEOUT_S,
        )
        return answer


def _check_order(positions: dict[int, int], entries: Sequence[Entry]) -> None:
    """Nothing may be missing."""
    at = dict(positions)
    for entry in entries:
        if entry.pseq != at[entry.partition] + 1:
            raise LedgerGapError(
                f"partition {entry.partition}: {entry.pseq} after {at[entry.partition]}"
            )
        at[entry.partition] = entry.pseq
