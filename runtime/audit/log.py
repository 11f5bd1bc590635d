"""Writes the audit log, and seals it.

A change is recorded by the transaction that makes it: `record`. What has no transaction (refusals,
changes elsewhere) is written by `AuditWriter.write`, which waits for the commit. While PostgreSQL
cannot be used such an entry goes to this process's log instead, whole, as `audit_entry_unwritten`,
and is counted: it is never lost silently, but only the log has it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from runtime.audit import call
from runtime.audit.entry import CHAIN_START, AuditEntry, Written, link_hash
from runtime.clock import ms_of
from runtime.log import get_logger
from runtime.metrics import AUDIT_UNWRITTEN
from runtime.queries import load_queries

if TYPE_CHECKING:
    import asyncpg

#: Entries that may wait for the writer; more go to the process's log at once.
WAITING_MAX = 1_024
#: How long a call waits for its entry.
WRITE_TIMEOUT_S = 2.0
#: Entries that are written, and links that are sealed, in one transaction.
BATCH = 256
#: How often the sealer looks.
SEAL_INTERVAL_S = 1.0

#: The reason of an entry about a request that was answered before: nothing was changed.
REPLAYED_REASON = "REPLAYED"

#: The reason of an entry that was written before the change it tells of.
WRITTEN_AHEAD_REASON = "WRITTEN_AHEAD"

SQL = load_queries(Path(__file__).with_name("sql") / "queries.sql")

logger = get_logger()


async def record(
    connection: Any,
    *,
    before: Message | None = None,
    after: Message | None = None,
    targets: tuple[str, ...] = (),
    reason: str = "",
) -> None:
    """Records what the running call changes, in the transaction that changes it.

    Who, which method, request id and the ids in the request are known already. Messages are kept
    without what is secret or personal (`runtime.audit.redaction`).
    """
    await record_part(connection, before=before, after=after, targets=targets, reason=reason)
    call.mark_recorded()


async def record_ahead(*, after: Message | None = None, targets: tuple[str, ...] = ()) -> None:
    """Records what the running call is about to change, where no transaction of PostgreSQL changes
    it: whoever is killed behind this leaves an entry of what may not have happened, and never a
    change without one. If the change fails, that is another entry.
    """
    await call.write_now(
        call.entry_of_call(after=after, targets=targets, reason=WRITTEN_AHEAD_REASON)
    )


async def record_part(
    connection: Any,
    *,
    before: Message | None = None,
    after: Message | None = None,
    targets: tuple[str, ...] = (),
    reason: str = "",
) -> None:
    """The same, of a call that does more: how it ends has an entry of its own."""
    entry = call.entry_of_call(before=before, after=after, targets=targets, reason=reason)
    await connection.execute(SQL["write_entry"], *columns(entry))


def columns(entry: AuditEntry) -> tuple[Any, ...]:
    """The parameters of `write_entry`."""
    return (
        entry.actor,
        list(entry.roles),
        entry.peer,
        entry.method,
        list(entry.targets),
        entry.request_id,
        entry.trace_id,
        entry.code,
        entry.reason,
        None if entry.before is None else json.dumps(entry.before),
        None if entry.after is None else json.dumps(entry.after),
    )


def written_of(row: Any) -> Written:
    """An entry as it was read."""
    return Written(
        id=row["id"],
        service=row["service"],
        record_time_ms=ms_of(row["record_time"]),
        entry=AuditEntry(
            actor=row["actor"],
            roles=tuple(row["roles"]),
            peer=row["peer"],
            method=row["method"],
            targets=tuple(row["targets"]),
            request_id=row["request_id"],
            trace_id=row["trace_id"],
            code=row["code"],
            reason=row["reason"],
            before=None if row["before"] is None else json.loads(row["before"]),
            after=None if row["after"] is None else json.loads(row["after"]),
        ),
    )


class AuditWriter:
    """Writes entries that no transaction has. `pool` is asked for when there is one to write."""

    def __init__(self, pool: Callable[[], Awaitable[asyncpg.Pool]]) -> None:
        self._open = pool
        self._waiting: list[tuple[AuditEntry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, entry: AuditEntry) -> None:
        """Writes an entry of its own; returns when it is committed, or in the process's log."""
        await asyncio.wait({self.write_soon(entry)}, timeout=WRITE_TIMEOUT_S)

    def write_soon(self, entry: AuditEntry) -> asyncio.Future[None]:
        """The same for those who cannot wait; the future tells when it is done."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= WAITING_MAX:
            _unwritten(entry, "too many entries wait")
            done.set_result(None)
            return done
        self._waiting.append((entry, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return done

    async def _write_waiting(self) -> None:
        """Whatever waits is written together; whatever came meanwhile, next."""
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    pool = await self._open()
                    async with pool.acquire() as connection:
                        await connection.executemany(
                            SQL["write_entry"], [columns(entry) for entry, _ in batch]
                        )
            except Exception as error:  # noqa: BLE001 - whatever it was: the entries must be told
                for entry, _ in batch:
                    _unwritten(entry, f"{type(error).__name__}: {error}")
            finally:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)


class AuditLog(AuditWriter):
    """The audit log of one service, which seals it, too. `key` is the secret `audit-seal`."""

    def __init__(self, pool: asyncpg.Pool, key: str) -> None:
        async def opened() -> asyncpg.Pool:
            return pool

        super().__init__(opened)
        self._pool = pool
        self._key = key.encode()

    async def run(self) -> None:
        """Seals for ever; no failure ends it."""
        while True:
            try:
                sealed = await self.seal()
            except Exception as error:  # noqa: BLE001 - entries wait, and verify tells if for too long
                seal_failed(error)
                sealed = 0
            if sealed < BATCH:
                await asyncio.sleep(SEAL_INTERVAL_S)

    async def seal(self) -> int:
        """Links one batch of entries to the chain; returns their number."""
        async with self._pool.acquire() as connection:
            return await seal(connection, self._key)


async def seal(connection: Any, key: bytes) -> int:
    """Links one batch of entries of the service that is logged in to its chain; returns their
    number.
    """
    async with connection.transaction():
        if not await connection.fetchval(SQL["try_lock_chain"]):
            return 0
        rows = await connection.fetch(SQL["select_unsealed"], BATCH)
        if not rows:
            return 0
        head = await connection.fetchrow(SQL["select_head"])
        number, previous = (head["number"], head["hash"]) if head else (0, CHAIN_START)
        numbers, hashes, ids = [], [], []
        for row in rows:
            number += 1
            previous = link_hash(key, previous=previous, number=number, written=written_of(row))
            numbers.append(number)
            hashes.append(previous)
            ids.append(row["id"])
        await connection.execute(SQL["write_links"], numbers, ids, hashes)
        await connection.execute(SQL["delete_unsealed"], ids)
    # The end of the chain, outside of the database: whoever cuts it off there meets this line.
    logger.info("audit_sealed", number=number, head=previous.hex(), entries=len(rows))
    return len(rows)


def seal_failed(error: Exception) -> None:
    """Tells that entries wait for their link."""
    logger.warning("audit_seal_failed", error=f"{type(error).__name__}: {error}")


def _unwritten(entry: AuditEntry, error: str) -> None:
    AUDIT_UNWRITTEN.inc()
    # `request_id` and so on stand beside each other as in the table; nothing in them is secret.
    logger.error("audit_entry_unwritten", entry=asdict(entry), error=error)
