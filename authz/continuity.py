"""Does the journal continue the ledger? Pure: what the settler may write is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from google.protobuf.message import DecodeError

from authz import entry
from authz.entry import Entry
from authz.ledger_store import PartitionRow
from authz.settle_rows import Batch
from authz.settle_store import Move

#: One entry as it stands in a stream: its id there, and all of it.
Found = tuple[bytes, bytes]


class ContradictionError(Exception):
    """The journal contradicts the ledger: this partition must not go on."""


class Standing(NamedTuple):
    """Where a partition stands: position, epoch, and digest of the last settled entry."""

    position: int
    epoch: int
    digest: bytes | None

    @classmethod
    def of(cls, row: PartitionRow) -> Standing:
        """From the ledger's row."""
        return cls(row.position, row.epoch, row.position_digest)


class Part(NamedTuple):
    """What one partition adds to a round."""

    batch: Batch
    move: Move
    entries: Sequence[Entry]


def continuing(
    partition: int, standing: Standing, stream: Sequence[Found], *, room: int
) -> Part | None:
    """At most `room` entries after the position, checked to continue the ledger without a gap."""
    settled = f"{standing.position}-0".encode()
    found: list[Entry] = []
    for name, raw in stream:
        if name == settled and standing.digest is not None:
            if sha256(raw).digest() != standing.digest:
                raise ContradictionError(
                    f"entry {standing.position} is not the one that was settled"
                )
            continue
        if len(found) >= room:
            break
        read = _read(raw, after=standing.position + len(found))
        if standing.digest is None and read.outcome.pseq == standing.position:
            continue
        expected = standing.position + len(found) + 1
        if read.outcome.pseq != expected:
            raise ContradictionError(f"entry {expected} is missing: {read.outcome.pseq} is next")
        if read.outcome.epoch != standing.epoch:
            raise ContradictionError(
                f"entry {expected} has epoch {read.outcome.epoch}, the ledger {standing.epoch}"
            )
        found.append(read)
    if not found:
        return None
    batch = Batch()
    try:
        batch.add(partition, found)
    except DecodeError as error:
        raise ContradictionError(
            f"a request after entry {standing.position} is unreadable: {error}"
        ) from None
    last = found[-1]
    move = Move(
        old=standing.position,
        new=last.outcome.pseq,
        epoch=standing.epoch,
        digest=last.digest,
        entry=last.raw,
    )
    return Part(batch, move, found)


def _read(raw: bytes, *, after: int) -> Entry:
    try:
        return entry.parse(raw)
    except (ValueError, TypeError) as error:
        raise ContradictionError(f"what follows entry {after} is no entry: {error}") from None
