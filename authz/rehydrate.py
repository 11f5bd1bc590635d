"""Rebuilds the money Valkey from the ledger, from end to end.

Nothing is destroyed before everything that continues the ledger is settled. From then on no worker
can serve until the end: their epoch is over, and the new one is written last. So whoever is killed
half-way leaves a closed gate, and the next rebuilding begins anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from authz import keys
from authz.continuity import Standing
from authz.ledger_store import PartitionRow
from authz.rehydrate_journal import JournalReader, Unsettled
from authz.rehydrate_rows import Lifetimes, meta_write
from authz.rehydrate_state import Rebuilt, rebuild_partition, rebuild_payments
from authz.rehydrate_store import Meta, RehydrateStore
from authz.settings import AuthzSettings
from authz.settle_store import SettleStore
from authz.watch import LOOK_S
from runtime.clock import Clock
from runtime.log import get_logger
from runtime.settings import PARTITIONS

#: How long settlers may take to give up their partitions: they look every second.
LOCK_TIMEOUT_S = 15.0
_PAUSE_S = 0.05
#: After this every worker has looked at Valkey and noticed that its epoch is over.
NOTICE_S = 2 * LOOK_S

logger = get_logger()


class RehydrateRefusedError(Exception):
    """Nothing was rebuilt, for a reason that a person must judge."""

    def __init__(self, message: str, *, hint: str, unsettled: Sequence[Unsettled] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.unsettled = tuple(unsettled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person has allowed."""

    force: bool = False
    discard_unsettled: bool = False
    restart_partitions: bool = False


@dataclass(slots=True, kw_only=True)
class Report:
    """What was done."""

    epoch: int = 0
    #: Entries that Valkey still had and the ledger had not.
    settled: int = 0
    rebuilt: Rebuilt = field(default_factory=Rebuilt)
    discarded: list[Unsettled] = field(default_factory=list)
    restarted: list[int] = field(default_factory=list)
    #: Partitions that stay stopped, and why.
    stopped: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0


class Rehydration:
    """One rebuilding."""

    def __init__(
        self,
        store: RehydrateStore,
        settings: AuthzSettings,
        *,
        clock: Clock,
        options: Options,
        healthy: Callable[[], Awaitable[bool]],
        on_step: Callable[[str], None] = lambda _: None,
        on_partition: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._ledger = SettleStore(store.connection)
        self._journal = JournalReader(store, self._ledger)
        self._settings = settings
        self._clock = clock
        self._options = options
        #: Asks the gate whether Valkey may be trusted as it is.
        self._healthy = healthy
        self._on_step = on_step
        self._on_partition = on_partition
        self._report = Report()

    async def run(self) -> Report:
        """Settles, begins an epoch, rebuilds; RehydrateRefusedError if it must not."""
        began = time.monotonic()
        old_epoch, initialised = await self._store.state()
        if not initialised:
            raise RehydrateRefusedError(
                "the ledger is not initialised: there is nothing to rebuild from",
                hint="start the installation with an empty Valkey",
            )
        if not self._options.force and await self._healthy():
            raise RehydrateRefusedError(
                "Valkey agrees with the ledger, so workers serve from it: there is nothing to mend,"
                " and rebuilding would refuse every call until it is done",
                hint="see what is wrong with `holdfast reconcile`; --force rebuilds all the same",
            )
        await self._take_partitions()
        await self._stopped_partitions()
        await self._settle(old_epoch)
        await self._close(old_epoch)
        self._report.epoch = max(self._clock.now_ms(), old_epoch + 1)
        await self._store.begin_epoch(self._report.epoch)
        logger.warning("epoch_begun", epoch=self._report.epoch, before=old_epoch)
        await self._rebuild()
        self._report.seconds = round(time.monotonic() - began, 2)
        return self._report

    async def _take_partitions(self) -> None:
        """Locks every partition: nobody settles but us."""
        self._on_step("waiting for the settlers")
        if not await self._store.lock():
            raise RehydrateRefusedError(
                "another rebuilding is running", hint="wait for it, or end it"
            )
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        for partition in range(PARTITIONS):
            while not await self._ledger.try_lock(partition):
                if time.monotonic() > deadline:
                    raise RehydrateRefusedError(
                        f"a settler does not give up partition {partition}",
                        hint="stop it: a settler that hangs, or of another version",
                    )
                await asyncio.sleep(_PAUSE_S)

    async def _stopped_partitions(self) -> None:
        """A partition that was stopped is started again only by somebody who says so."""
        metas = await self._store.metas()
        for row in await self._ledger.partitions():
            if row.stopped_because is None:
                continue
            if self._options.restart_partitions:
                await self._store.restart(row.partition)
                self._report.restarted.append(row.partition)
                continue
            stream = await self._store.stream(row.partition, after=row.position + 1, count=1)
            if stream or (metas[row.partition].pseq or 0) > row.position:
                raise RehydrateRefusedError(
                    f"partition {row.partition} is stopped and has entries that are not settled:"
                    f" {row.stopped_because}",
                    hint="understand why; then --restart-partitions settles what continues the"
                    " ledger, and --discard-unsettled gives up the rest",
                )
            self._report.stopped[row.partition] = row.stopped_because

    async def _settle(self, epoch: int) -> None:
        """Settles what continues the ledger; what does not is given up only by a person."""
        self._on_step("settling what the journal still has")
        metas = await self._store.metas()
        left: list[Unsettled] = []
        for row in await self._ledger.partitions():
            left += await self._settle_partition(row, metas[row.partition], epoch)
        if left and not self._options.discard_unsettled:
            raise RehydrateRefusedError(
                f"{len(left)} entries in Valkey do not continue the ledger; they would be lost",
                hint="find out what they are: is this the right Valkey? --discard-unsettled"
                " rebuilds without them",
                unsettled=left,
            )
        told = {(one.partition, one.entry) for one in self._report.discarded}
        self._report.discarded += [one for one in left if (one.partition, one.entry) not in told]
        self._report.settled = self._journal.settled

    async def _settle_partition(self, row: PartitionRow, meta: Meta, epoch: int) -> list[Unsettled]:
        if row.stopped_because is not None:
            return []
        left = await self._journal.settle(row.partition, Standing.of(row), meta)
        if meta.epoch is not None and meta.epoch != str(epoch) and not left:
            because = f"Valkey is of epoch {meta.epoch}, the ledger of epoch {epoch}"
            left = [Unsettled(partition=row.partition, entry="all", because=because)]
        return left

    async def _close(self, epoch: int) -> None:
        """Ends the epoch in Valkey, and settles what was written until then."""
        metas = await self._store.metas()
        served = any(meta.epoch == str(epoch) for meta in metas)
        await self._store.close_partitions()
        if served:
            self._on_step("waiting until every worker has noticed")
            await asyncio.sleep(NOTICE_S)
        await self._settle(epoch)

    async def _rebuild(self) -> None:
        self._on_step("removing what Valkey has")
        await self._store.wipe()
        self._on_step("rebuilding")
        lifetimes = Lifetimes.of(self._settings, now_ms=self._clock.now_ms())
        rebuilt = self._report.rebuilt
        positions = [row.position for row in await self._ledger.partitions()]
        for partition, position in enumerate(positions):
            await rebuild_partition(self._store, partition, position, lifetimes, rebuilt)
            self._on_partition(partition)
        await rebuild_payments(self._store, lifetimes, rebuilt)
        await self._store.flush()
        # Only now does a worker find what it may serve from.
        epoch = self._report.epoch
        await self._store.write(
            [
                meta_write(partition, epoch=epoch, position=position)
                for partition, position in enumerate(positions)
            ]
        )
        await self._store.flush()
        logger.warning("rehydrated", epoch=epoch, partitions=len(keys.TAGS))
