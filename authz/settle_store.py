"""Writes the ledger. One transaction per batch moves rows and position together, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from authz.ledger_store import QUERIES, PartitionRow
from authz.settle_rows import ENTRY_COLUMNS, LINE_COLUMNS, Batch, columns

#: First key of the advisory locks: one lock per partition, held by the settler that reads it.
LOCK_CLASS = 0x686F6C64
#: Held while Valkey is rebuilt from the ledger: no settler may own a partition then.
RECOVERY_LOCK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """How far one partition moves."""

    old: int
    new: int
    epoch: int
    digest: bytes
    #: The last entry as it stands in the stream.
    entry: bytes


class PositionMovedError(Exception):
    """Somebody else settled this partition: nothing of the batch was written."""


class SettleStore:
    """One connection: the locks of its partitions live and die with it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def installation(self, *, new_epoch: int) -> tuple[int, bool]:
        """The epoch, and whether Valkey was initialised; a new installation gets `new_epoch`."""
        async with self._connection.transaction():
            await self._connection.execute(QUERIES["create_installation"], new_epoch)
            await self._connection.execute(QUERIES["create_partitions"])
            row = await self._connection.fetchrow(QUERIES["read_installation"])
        return row["epoch"], row["initialised"]

    async def mark_initialised(self) -> None:
        """From now on an empty Valkey is a loss."""
        await self._connection.execute(QUERIES["mark_initialised"])

    async def partitions(self) -> list[PartitionRow]:
        """All partitions in order."""
        rows = await self._connection.fetch(QUERIES["read_partitions"])
        return [PartitionRow(**row) for row in rows]

    async def settlers(self, name_prefix: str) -> int:
        """How many settlers are connected, this one included."""
        count = await self._connection.fetchval(QUERIES["count_settlers"], name_prefix)
        return max(int(count), 1)

    async def recovering(self) -> bool:
        """True while somebody rebuilds Valkey."""
        held: bool = await self._connection.fetchval(
            QUERIES["find_recovery"], LOCK_CLASS, RECOVERY_LOCK
        )
        return held

    async def try_lock(self, partition: int) -> bool:
        """Takes a partition, if no other settler has it."""
        taken: bool = await self._connection.fetchval(
            "SELECT pg_try_advisory_lock($1, $2)", LOCK_CLASS, partition
        )
        return taken

    async def unlock(self, partition: int) -> None:
        """Gives a partition up."""
        await self._connection.fetchval("SELECT pg_advisory_unlock($1, $2)", LOCK_CLASS, partition)

    async def stop_partition(self, partition: int, because: str, *, position: int) -> None:
        """Stops a partition until a person has looked at it. Who looks from an old position sees
        contradictions that are none.
        """
        stopped = await self._connection.fetchval(
            QUERIES["stop_partition"], partition, because, position
        )
        if stopped is None:
            raise PositionMovedError(f"partition {partition} is not at {position}")

    async def settle(self, batch: Batch, moves: Mapping[int, Move]) -> None:
        """Writes a batch and moves the positions, or raises and writes nothing."""
        async with self._connection.transaction():
            for partition, move in sorted(moves.items()):
                moved = await self._connection.fetchval(
                    QUERIES["move_position"],
                    partition,
                    move.old,
                    move.epoch,
                    move.new,
                    move.digest,
                    move.entry,
                )
                if moved is None:
                    raise PositionMovedError(f"partition {partition} is not at {move.old}")
            await self._connection.copy_records_to_table(
                "journal_entry", records=batch.entries, columns=ENTRY_COLUMNS
            )
            if batch.lines:
                await self._connection.copy_records_to_table(
                    "journal_line", records=batch.lines, columns=LINE_COLUMNS
                )
                await self._add_totals(batch)
            balances = [batch.balances[key] for key in sorted(batch.balances)]
            await self._connection.execute(QUERIES["upsert_balances"], *columns(balances, 9))
            rows = [batch.authorizations[key] for key in sorted(batch.authorizations)]
            await self._connection.execute(QUERIES["upsert_authorizations"], *columns(rows, 18))
            if batch.payments:
                payments = [batch.payments[key] for key in sorted(batch.payments)]
                await self._connection.execute(QUERIES["upsert_payments"], *columns(payments, 5))

    async def _add_totals(self, batch: Batch) -> None:
        rows = [(*key, *totals) for key, totals in sorted(batch.totals.items())]
        await self._connection.execute(QUERIES["add_totals"], *columns(rows, 5))
