"""Walks the chains of the audit log, and names the first row that is not what was sealed."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from runtime.audit.entry import CHAIN_START, link_hash
from runtime.audit.log import SQL, written_of

#: The sealer looks every second; an entry that is older than this should have its link.
SEALED_WITHIN_S = 60
_PREFETCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first row of a chain that is wrong; `entry_id` is the row of `audit.entry`."""

    number: int
    entry_id: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What was found of one service. `head` is the last hash: it stands in that service's log."""

    service: str
    links: int
    waiting: int
    head: str
    fault: Fault | None


async def verify(connection: Any, *, key: bytes) -> list[Chain]:
    """Checks every chain, as of one moment. The connection may read all services' entries."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        services = [row["service"] for row in await connection.fetch(SQL["list_chains"])]
        return [await _verify_one(connection, service, key=key) for service in services]


async def has_link(connection: Any, head: str) -> bool:
    """Whether a hash that was once logged as a head is still in a chain."""
    try:
        wanted = bytes.fromhex(head)
    except ValueError:
        return False
    return bool(await connection.fetchval(SQL["find_link"], wanted))


async def _verify_one(connection: Any, service: str, *, key: bytes) -> Chain:
    previous, number, fault = CHAIN_START, 0, None
    async for row in connection.cursor(SQL["select_chain"], service, prefetch=_PREFETCH):
        number += 1
        fault = _fault_of(row, number=number, previous=previous, key=key)
        if fault is not None:
            break
        previous = row["hash"]
    late = await connection.fetchrow(SQL["select_never_sealed"], service, SEALED_WITHIN_S)
    if fault is None and late["first_id"] is not None:
        fault = Fault(number=0, entry_id=late["first_id"], what="was never sealed")
    return Chain(
        service=service, links=number, waiting=late["waiting"], head=previous.hex(), fault=fault
    )


def _fault_of(row: Any, *, number: int, previous: bytes, key: bytes) -> Fault | None:
    def fault(what: str) -> Fault:
        return Fault(number=number, entry_id=row["entry_id"], what=what)

    if row["number"] != number:
        return fault(f"link {number} is missing: the next is {row['number']}")
    if row["id"] is None:
        return fault("the entry is gone")
    if hmac.compare_digest(
        link_hash(key, previous=previous, number=number, written=written_of(row)), row["hash"]
    ):
        return None
    return fault("the entry or its link was changed")
