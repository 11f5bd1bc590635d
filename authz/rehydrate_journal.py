"""What Valkey's journal holds beyond the ledger: settled if it continues it, else told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import asyncpg

from authz import entry
from authz.continuity import ContradictionError, Found, Part, Standing, continuing
from authz.rehydrate_store import Meta, RehydrateStore
from authz.settle_store import SettleStore

#: Entries of one partition that are settled in one transaction.
BATCH = 2000

#: What the ledger answers to an entry that contradicts it.
_REFUSED = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """An entry that does not continue the ledger, as far as it can be read."""

    partition: int
    #: Its id in the stream, or which entries.
    entry: str
    because: str
    type: str = ""
    account_id: str = ""
    authorization_id: str = ""
    amount_minor: int = 0
    request_id: str = ""


class JournalReader:
    """Settles what continues the ledger. The caller holds the locks of all partitions."""

    def __init__(self, store: RehydrateStore, ledger: SettleStore) -> None:
        self._store = store
        self._ledger = ledger
        self.settled = 0

    async def settle(self, partition: int, standing: Standing, meta: Meta) -> list[Unsettled]:
        """Settles a partition as far as it goes; returns what does not go."""
        while True:
            stream = await self._store.stream(partition, after=standing.position, count=BATCH + 1)
            part, because = _prefix(partition, standing, stream)
            if part is not None and await self._write(partition, part):
                part, because = await self._write_singly(partition, standing, stream)
            if part is not None:
                standing = Standing(part.move.new, part.move.epoch, part.move.digest)
            if because:
                return await self._rest(partition, standing, meta, because)
            if len(stream) <= BATCH:
                return _missing(partition, standing.position, meta)

    async def _write(self, partition: int, part: Part) -> str:
        """Settles one part; returns why the ledger refused it."""
        try:
            await self._ledger.settle(part.batch, {partition: part.move})
        except _REFUSED as error:
            return f"the ledger refuses it: {error}"
        self.settled += len(part.batch.entries)
        return ""

    async def _write_singly(
        self, partition: int, standing: Standing, stream: Sequence[Found]
    ) -> tuple[Part | None, str]:
        """Finds the entry that the ledger refuses, settling those before it."""
        last: Part | None = None
        while True:
            part = continuing(partition, standing, stream, room=1)
            assert part is not None, "one of them is refused"
            refused = await self._write(partition, part)
            if refused:
                return last, refused
            last = part
            standing = Standing(part.move.new, part.move.epoch, part.move.digest)
            stream = [one for one in stream if _pseq(one) >= standing.position]

    async def _rest(
        self, partition: int, standing: Standing, meta: Meta, because: str
    ) -> list[Unsettled]:
        """Everything in the stream that is not settled."""
        found: list[Unsettled] = []
        position = standing.position
        last = position - 1
        while stream := await self._store.stream(partition, after=last + 1, count=BATCH):
            found += [
                _told(partition, one, because) for one in stream if not _settled(one, standing)
            ]
            last = _pseq(stream[-1])
        return found + _missing(partition, max(last, position), meta)


def _settled(found: Found, standing: Standing) -> bool:
    """True for the last entry that the ledger has."""
    if _pseq(found) != standing.position:
        return False
    digest = sha256(found[1]).digest()
    return standing.digest is None or standing.digest == digest


def _prefix(partition: int, standing: Standing, stream: Sequence[Found]) -> tuple[Part | None, str]:
    """The longest beginning of a stream that continues the ledger, and why it ends there."""
    try:
        return continuing(partition, standing, stream, room=BATCH), ""
    except ContradictionError as error:
        because = str(error)
    good, bad = 0, len(stream)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            continuing(partition, standing, stream[:middle], room=BATCH)
        except ContradictionError:
            bad = middle
        else:
            good = middle
    return continuing(partition, standing, stream[:good], room=BATCH), because


def _pseq(found: Found) -> int:
    return int(found[0].split(b"-")[0])


def _missing(partition: int, known: int, meta: Meta) -> list[Unsettled]:
    """Entries that were written once, for they are counted, and are nowhere."""
    if meta.pseq is None or meta.pseq <= known:
        return []
    span = f"{known + 1}" if meta.pseq == known + 1 else f"{known + 1} to {meta.pseq}"
    because = "counted, but not in the journal: lost"
    return [Unsettled(partition=partition, entry=span, because=because)]


def _told(partition: int, found: Found, because: str) -> Unsettled:
    name = found[0].decode()
    try:
        read = entry.parse(found[1])
    except (ValueError, TypeError):
        return Unsettled(partition=partition, entry=name, because=because)
    return Unsettled(
        partition=partition,
        entry=name,
        because=because,
        type=read.outcome.type.name,
        account_id=read.header.account_id,
        authorization_id=read.outcome.authorization_id,
        amount_minor=read.outcome.amount_minor,
        request_id=read.header.request_id,
    )
