"""Moves the beginning of each chain into a file that proves itself: one line per link, and before
those of a service one that says which link they follow.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import IO, Any

from runtime.audit.entry import CHAIN_START, AuditEntry, Written, archived_seal, link_hash
from runtime.audit.log import SQL, written_of
from runtime.audit.verify import faults_of

_PREFETCH = 1_000


class ArchiveError(Exception):
    """A chain that is not intact is not moved; the message names the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The links of one service in a file."""

    service: str
    first: int
    last: int
    #: Hash of the last one.
    head: str
    #: What is wrong with them; empty: nothing.
    fault: str = ""


async def archive(connection: Any, file: IO[str], *, key: bytes, before: datetime) -> list[Part]:
    """Writes what is older than an instant, then removes it from the database. The connection is
    the owner's, in a transaction that the caller commits once the file is on disk.
    """
    faults = await faults_of(connection, key=key)
    if faults:
        raise ArchiveError(faults[0])
    parts = []
    for row in await connection.fetch(SQL["list_chains"]):
        service = row["service"]
        last = await connection.fetchval(SQL["select_last_before"], service, before)
        mark = await connection.fetchrow(SQL["select_archived"], service)
        number, head = (mark["number"], mark["hash"]) if mark else (0, CHAIN_START)
        if last is None or last <= number:
            continue
        _write(file, {"service": service, "follows": number, "hash": head.hex()})
        first = number + 1
        async for link in connection.cursor(SQL["select_chain"], service, prefetch=_PREFETCH):
            if link["number"] > last:
                break
            number, head = link["number"], link["hash"]
            _write(file, {"number": number, "hash": head.hex(), **_document(written_of(link))})
        assert number == last, "the chain was intact a moment ago"
        await connection.execute(SQL["delete_archived_entries"], service, last)
        await connection.execute(SQL["delete_archived_links"], service, last)
        seal = archived_seal(key, service=service, number=last, head=head)
        await connection.execute(SQL["mark_archived"], service, last, head, seal)
        parts.append(Part(service=service, first=first, last=last, head=head.hex()))
    return parts


def read_archive(lines: IO[str], *, key: bytes) -> Iterator[Part]:
    """Checks a file; of each service up to the first link that is wrong."""
    service, first, number, head, fault = "", 0, 0, CHAIN_START, ""
    for line in lines:
        found = json.loads(line)
        if "follows" in found:
            if service:
                yield Part(service=service, first=first, last=number, head=head.hex(), fault=fault)
            service, number = found["service"], found["follows"]
            first, head, fault = number + 1, bytes.fromhex(found["hash"]), ""
            continue
        if fault:
            continue
        expected = link_hash(key, previous=head, number=number + 1, written=_written(found))
        if found["number"] != number + 1:
            fault = f"link {number + 1} is missing: the next is {found['number']}"
        elif not hmac.compare_digest(expected, bytes.fromhex(found["hash"])):
            fault = f"link {found['number']}: the entry or its link was changed"
        else:
            number, head = found["number"], expected
    if service:
        yield Part(service=service, first=first, last=number, head=head.hex(), fault=fault)


def _write(file: IO[str], document: dict[str, Any]) -> None:
    file.write(json.dumps(document, separators=(",", ":")) + "\n")


def _document(written: Written) -> dict[str, Any]:
    return {
        "id": written.id,
        "service": written.service,
        "record_time_ms": written.record_time_ms,
        "entry": asdict(written.entry),
    }


def _written(found: dict[str, Any]) -> Written:
    entry = found["entry"]
    return Written(
        id=found["id"],
        service=found["service"],
        record_time_ms=found["record_time_ms"],
        entry=AuditEntry(
            **entry | {"roles": tuple(entry["roles"]), "targets": tuple(entry["targets"])}
        ),
    )
