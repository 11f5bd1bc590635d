"""Records changes in the transactions that make them, and seals what was recorded. What has no
transaction is written by `runtime.audit.writer`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from runtime.audit import call
from runtime.audit.entry import CHAIN_START, AuditEntry, Written, link_hash
from runtime.audit.heads import SEALED_EVENT
from runtime.clock import ms_of
from runtime.log import get_logger
from runtime.queries import load_queries

#: Entries that are written, and links that are sealed, in one transaction.
BATCH = 256

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


async def seal(connection: Any, key: bytes) -> int:
    """Links one batch of entries of the service that is logged in to its chain; returns their
    number.
    """
    if not await connection.fetchval(SQL["has_unsealed"]):
        return 0
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
    logger.info(
        SEALED_EVENT,
        service=rows[0]["service"],
        number=number,
        head=previous.hex(),
        entries=len(rows),
    )
    return len(rows)


def seal_failed(error: Exception) -> None:
    """Tells that entries wait for their link."""
    logger.warning("audit_seal_failed", error=f"{type(error).__name__}: {error}")
