"""Writes the ledger. One transaction per batch moves rows and position together, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import asyncpg

from authz.ledger_store import QUERIES, PartitionRow
from authz.settle_rows import ENTRY_COLUMNS, LINE_COLUMNS, AuthorizationRow, Batch, columns
from runtime.clock import ms_of

#: First key of the advisory locks: one lock per partition, held by the settler that reads it.
LOCK_CLASS = 0x686F6C64
#: Held while Valkey is rebuilt from the ledger: no settler may own a partition then.
RECOVERY_LOCK = 64


#: Columns of an authorization that later entries change, in the order of the query's parameters.
_CHANGED = (
    "id", "approved_minor", "reversed_minor", "captured_minor", "held_minor", "refunded_minor",
    "flags", "expire_time", "decision_pseq", "update_time", "windows",
)  # fmt: skip
_changes = attrgetter(*_CHANGED)
#: PostgreSQL counts microseconds from here.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_MS = ms_of(_EPOCH)


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
        self._takes_milliseconds = False

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
        if not self._takes_milliseconds:
            await self._connection.set_type_codec(
                "timestamptz",
                schema="pg_catalog",
                encoder=_instant,
                decoder=_datetime,
                format="tuple",
            )
            self._takes_milliseconds = True
        async with self._connection.transaction():
            # First: whoever has moved a partition alone may write what is in it.
            await self._move(moves)
            await self._connection.copy_records_to_table(
                "journal_entry", records=batch.entries, columns=ENTRY_COLUMNS
            )
            if batch.lines:
                await self._connection.copy_records_to_table(
                    "journal_line", records=batch.lines, columns=LINE_COLUMNS
                )
                totals = [(*key, *sums) for key, sums in sorted(batch.totals.items())]
                await self._connection.execute(QUERIES["add_totals"], *columns(totals, 5))
            if batch.balances:
                balances = [batch.balances[key] for key in sorted(batch.balances)]
                await self._connection.execute(QUERIES["upsert_balances"], *columns(balances, 9))
            if batch.authorizations:
                await self._write_authorizations(batch.authorizations)
            if batch.payments:
                payments = [batch.payments[key] for key in sorted(batch.payments)]
                await self._connection.execute(QUERIES["upsert_payments"], *columns(payments, 5))

    async def _move(self, moves: Mapping[int, Move]) -> None:
        rows = [
            (partition, move.old, move.epoch, move.new, move.digest, move.entry)
            for partition, move in sorted(moves.items())
        ]
        moved = await self._connection.fetch(QUERIES["move_positions"], *columns(rows, 6))
        for partition in sorted(moves.keys() - {row["partition"] for row in moved}):
            raise PositionMovedError(f"partition {partition} is not at {moves[partition].old}")

    async def _write_authorizations(self, rows: Mapping[str, AuthorizationRow]) -> None:
        """Most are new, and copied: it costs half of what INSERT … ON CONFLICT does. Nobody else
        writes those of our partitions before we commit.
        """
        found = await self._connection.fetch(QUERIES["known_authorizations"], list(rows))
        known = {row["id"] for row in found}
        new = [row for key, row in rows.items() if key not in known]
        if new:
            await self._connection.copy_records_to_table(
                "card_authorization", records=new, columns=AuthorizationRow._fields
            )
        if known:
            changes = [_changes(rows[key]) for key in sorted(known)]
            await self._connection.execute(
                QUERIES["update_authorizations"], *columns(changes, len(_CHANGED))
            )


def _instant(value: int | datetime) -> tuple[int]:
    """A time as PostgreSQL has it, from milliseconds: a datetime takes four times as long."""
    ms = value if isinstance(value, int) else ms_of(value)
    return ((ms - _EPOCH_MS) * 1000,)


def _datetime(value: tuple[int]) -> datetime:
    return _EPOCH + timedelta(microseconds=value[0])
