"""Walks the chains of the audit log, and names the first row that is not what was sealed."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.audit.entry import CHAIN_START, archived_seal, link_hash
from runtime.audit.heads import Heads
from runtime.audit.log import SQL, written_of

#: The sealer looks every second; an entry that is older than this should have its link.
SEALED_WITHIN_S = 60
_PREFETCH = 1_000
_NO_HEADS: Heads = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first row of a chain that is wrong; `entry_id` is the row of `audit.entry`, 0: none."""

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
    #: Links that are in files (`runtime.audit.archive`): the chain here goes on behind them.
    archived: int = 0
    #: Links that were compared with what the logs tell.
    logged: int = 0


async def verify(connection: Any, *, key: bytes, heads: Heads = _NO_HEADS) -> list[Chain]:
    """Checks every chain, as of one moment, and that it goes as far as `heads` say, which were read
    before. The connection may read all services' entries.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _verify_all(connection, key=key, heads=heads)


async def faults_of(connection: Any, *, key: bytes) -> list[str]:
    """What is wrong with the chains, in the caller's transaction."""
    found = await _verify_all(connection, key=key, heads=_NO_HEADS)
    return [
        f"{one.service}: row {one.fault.entry_id} of audit.entry: {one.fault.what}"
        for one in found
        if one.fault is not None
    ]


async def _verify_all(connection: Any, *, key: bytes, heads: Heads) -> list[Chain]:
    services = {row["service"] for row in await connection.fetch(SQL["list_chains"])}
    return [
        await _verify_one(connection, service, key=key, heads=heads.get(service, {}))
        for service in sorted(services.union(heads))
    ]


async def has_link(connection: Any, head: str) -> bool:
    """Whether a hash that was once logged as a head is still in a chain."""
    try:
        wanted = bytes.fromhex(head)
    except ValueError:
        return False
    return bool(await connection.fetchval(SQL["find_link"], wanted))


async def _verify_one(
    connection: Any, service: str, *, key: bytes, heads: Mapping[int, frozenset[str]]
) -> Chain:
    previous, number, logged, fault = CHAIN_START, 0, 0, None
    mark = await connection.fetchrow(SQL["select_archived"], service)
    if mark is not None:
        previous, number = mark["hash"], mark["number"]
        seal = archived_seal(key, service=service, number=number, head=previous)
        if not hmac.compare_digest(seal, mark["seal"]):
            fault = Fault(number=number, entry_id=0, what="what is archived was not sealed")
    archived = number
    async for row in connection.cursor(SQL["select_chain"], service, prefetch=_PREFETCH):
        if fault is not None:
            break
        number += 1
        fault = _fault_of(row, number=number, previous=previous, key=key)
        if fault is None:
            previous = row["hash"]
            fault = _logged_otherwise(row, heads)
            logged += number in heads
    if fault is None:
        fault = _cut_off(number, heads)
    late = await connection.fetchrow(SQL["select_never_sealed"], service, SEALED_WITHIN_S)
    if fault is None and late["first_id"] is not None:
        fault = Fault(number=0, entry_id=late["first_id"], what="was never sealed")
    return Chain(
        service=service,
        links=number - archived,
        waiting=late["waiting"],
        head=previous.hex(),
        fault=fault,
        archived=archived,
        logged=logged,
    )


def _logged_otherwise(row: Any, heads: Mapping[int, frozenset[str]]) -> Fault | None:
    told = heads.get(row["number"])
    if told is None or told == {row["hash"].hex()}:
        return None
    return Fault(
        number=row["number"],
        entry_id=row["entry_id"],
        what="the service's log has another hash of this link: an end was cut off",
    )


def _cut_off(last: int, heads: Mapping[int, frozenset[str]]) -> Fault | None:
    """Whether links behind the last one were sealed; what is archived is not asked for."""
    gone = max(heads, default=0)
    if gone <= last:
        return None
    return Fault(
        number=last + 1,
        entry_id=0,
        what=f"the end was cut off: the service's log goes to link {gone}",
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
