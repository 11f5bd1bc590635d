"""The settler: journal → ledger. `python -m authz.settler`.

One reader per partition, chosen by advisory lock. Each round reads what follows the position of
each of its partitions, writes it in one transaction that moves the position too, and only then
trims the stream. The last settled entry stays in the stream: after a failover it shows whether
Valkey still tells the story that the ledger knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import asyncpg
from redis.exceptions import RedisError

from authz import keys
from authz.continuity import ContradictionError, Part, Standing, continuing
from authz.settings import AuthzSettings
from authz.settle_rows import Batch
from authz.settle_store import Move, PositionMovedError, SettleStore
from authz.settle_streams import Streams
from runtime.audit import log as audit
from runtime.audit.spool import Spool
from runtime.audit.writer import spool_of, take_in
from runtime.clock import Clock, SystemClock
from runtime.log import configure_logging, debugging, get_logger
from runtime.metrics import PARTITIONS_STOPPED, SETTLED, MetricsServer
from runtime.postgres import UNREACHABLE
from runtime.secrets import secret_text
from runtime.server import termination
from runtime.settings import PARTITIONS

#: How often partitions are shared out anew among the live settlers.
SHARE_S = 1.0
#: Wait before a lost connection is opened again.
RETRY_S = 0.5
#: A cancellation that was swallowed is repeated after this.
CANCEL_AGAIN_S = 0.5
APPLICATION_NAME = "settler"

logger = get_logger()


async def _nothing() -> None:
    return


class NotInitialisableError(Exception):
    """Valkey holds data of another installation, or lost that of this one."""


class Settler:
    """Settles the partitions that it has locked, over one connection to each server."""

    def __init__(
        self,
        settings: AuthzSettings,
        store: SettleStore,
        streams: Streams,
        *,
        clock: Clock,
        on_share: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """`on_share` is called whenever the partitions have been shared out."""
        self._on_share = on_share
        self._settings = settings
        self._store = store
        self._streams = streams
        self._clock = clock
        #: Owned partitions, and where each stands.
        self._owned: dict[int, Standing] = {}
        #: Partitions that had more entries than their share at the last round.
        self._busy: set[int] = set()
        self._turn = 0
        self._next_share = 0.0

    async def initialise(self) -> None:
        """Gives a new installation its epoch, once: Valkey must be empty then."""
        epoch, initialised = await self._store.installation(new_epoch=self._clock.now_ms())
        if initialised:
            return
        await self._refuse_another(epoch)
        # Another settler may do the same, and be done: what is there stays.
        await self._streams.begin(epoch)
        await self._refuse_another(epoch)
        await self._store.mark_initialised()
        logger.info("installation_initialised", epoch=epoch)

    async def _refuse_another(self, epoch: int) -> None:
        """Raises if Valkey holds another installation's data."""
        for found in await self._streams.epochs() - {epoch}:
            raise NotInitialisableError(
                f"Valkey belongs to another installation (epoch {found}); use an empty one"
            )

    async def share(self) -> None:
        """Takes free partitions up to a fair share, and gives up what is beyond it: all of them
        while Valkey is rebuilt from the ledger.
        """
        settlers = await self._store.settlers(APPLICATION_NAME)
        fair = 0 if await self._store.recovering() else -(-PARTITIONS // settlers)
        for partition in sorted(self._owned)[fair:]:
            del self._owned[partition]
            self._busy.discard(partition)
            await self._store.unlock(partition)
        before = set(self._owned)
        rows = await self._store.partitions()
        PARTITIONS_STOPPED.set(sum(row.stopped_because is not None for row in rows))
        for row in rows:
            if len(self._owned) >= fair:
                break
            if row.partition in self._owned or row.stopped_because is not None:
                continue
            if await self._store.try_lock(row.partition):
                self._owned[row.partition] = Standing.of(row)
        if taken := sorted(set(self._owned) - before):
            # A lock may have been taken after its row was read: under it, it is read again.
            rows = await self._store.partitions()
            self._owned |= {
                row.partition: Standing.of(row) for row in rows if row.partition in taken
            }
            await self._trim_positions(taken)

    async def round(self) -> int:
        """Settles what is there; returns how many entries that were."""
        found = await self._read()
        if not found:
            return 0
        try:
            await self._settle(found)
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
            await self._settle_each(found)
        settled = sum(len(part.batch.entries) for part in found.values())
        SETTLED.inc(settled)
        if debugging():
            for partition, part in found.items():
                _tell(partition, part)
        return settled

    async def _read(self) -> dict[int, Part]:
        """What follows the positions, at most `settle_batch` entries; a busy partition does not
        keep the others waiting: each round begins with another one.
        """
        partitions = sorted(self._owned)
        if not partitions:
            return {}
        self._turn = (self._turn + 1) % len(partitions)
        partitions = partitions[self._turn :] + partitions[: self._turn]
        shares = self._shares()
        # The last settled entry comes first, and is checked.
        streams = await self._streams.read(
            [(n, self._owned[n].position, shares[n]) for n in partitions]
        )
        parts: dict[int, Part] = {}
        room = self._settings.settle_batch
        for partition, found in zip(partitions, streams, strict=True):
            try:
                part = continuing(partition, self._owned[partition], found, room=room)
            except ContradictionError as error:
                await self._stop(partition, str(error))
                continue
            count = 0
            if part is not None:
                parts[partition] = part
                count = len(part.batch.entries)
            room -= count
            if count >= shares[partition] or len(found) > count + 1:
                self._busy.add(partition)
            else:
                self._busy.discard(partition)
        return parts

    def _shares(self) -> dict[int, int]:
        """Entries to read of each partition: one that had more than its share last time has its
        part of what the quiet ones leave.
        """
        batch, busy = self._settings.settle_batch, max(len(self._busy), 1)
        quiet = max(batch // 2 // len(self._owned), 1)
        left = max(batch - quiet * (len(self._owned) - len(self._busy)), batch // 2)
        more = max(left // busy, 1)
        return {n: more if n in self._busy else quiet for n in self._owned}

    async def _settle(self, parts: dict[int, Part]) -> None:
        batch = Batch()
        for part in parts.values():
            batch.absorb(part.batch)
        await self._store.settle(batch, {n: part.move for n, part in parts.items()})
        await self._trim({n: part.move for n, part in parts.items()})

    async def _settle_each(self, parts: dict[int, Part]) -> None:
        """Finds the partitions that the ledger refuses: they stop, the others go on."""
        for partition, part in list(parts.items()):
            try:
                await self._settle({partition: part})
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
                del parts[partition]
                await self._stop(partition, f"the ledger refuses it: {error}")

    async def _stop(self, partition: int, because: str) -> None:
        position = self._owned[partition].position
        await self._store.stop_partition(partition, because, position=position)
        logger.critical("partition_stopped", partition=partition, because=because)
        del self._owned[partition]
        self._busy.discard(partition)
        await self._store.unlock(partition)

    async def _trim(self, moves: dict[int, Move]) -> None:
        for partition, move in moves.items():
            self._owned[partition] = Standing(move.new, move.epoch, move.digest)
        await self._trim_positions(sorted(moves))

    async def _trim_positions(self, partitions: list[int]) -> None:
        """Forgets what is settled, but for the last entry. Also of partitions just taken over:
        their settler may have died between settling and this.
        """
        await self._streams.trim({n: self._owned[n].position for n in partitions})

    async def run(self) -> None:
        """Settles until a connection is lost or the task is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            if began >= self._next_share:
                await self.share()
                await self._on_share()
                self._next_share = began + SHARE_S
            settled = await self.round()
            if self._busy:
                continue
            if settled:
                # What comes meanwhile shares a transaction: one costs as much as fifty entries.
                pause_s = self._settings.settle_interval_ms / 1000 - (loop.time() - began)
                await asyncio.sleep(max(pause_s, 0))
            else:
                await self._wait(max(self._next_share - loop.time(), 0))

    async def _wait(self, seconds: float) -> None:
        if self._owned:
            positions = {n: standing.position for n, standing in self._owned.items()}
            await self._streams.wait(positions, seconds)
        else:
            await asyncio.sleep(seconds)


def _tell(partition: int, part: Part) -> None:
    """One line for each entry, with the trace id of the call that caused it."""
    for entry in part.entries:
        logger.debug(
            "entry_settled",
            trace_id=entry.header.trace_id,
            entry_id=entry.header.id_in(keys.TAGS[partition]),
            type=entry.outcome.type.name,
            pseq=entry.outcome.pseq,
        )


async def _seal(connection: asyncpg.Connection, key: bytes, spool: Spool) -> None:
    """Seals what authz has refused: once here, instead of by each worker."""
    try:
        await take_in(connection, spool)
        await audit.seal(connection, key)
    except (asyncpg.PostgresError, OSError) as error:
        # Entries wait, and `audit verify` tells if for too long; money does not.
        audit.seal_failed(error)


class Process:
    """The settler's process: connects, settles, and connects again when something was lost."""

    def __init__(self, settings: AuthzSettings) -> None:
        self._settings = settings
        self.working = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._connected()
            except (RedisError, PositionMovedError, *UNREACHABLE) as error:
                logger.warning("settler_reconnects", because=f"{type(error).__name__}: {error}")
            self.working = False
            await asyncio.sleep(RETRY_S)

    async def _connected(self) -> None:
        settings = self._settings
        connection = await asyncpg.connect(
            settings.postgres_dsn,
            user="holdfast_authz",
            password=secret_text(settings, "postgres-authz"),
            command_timeout=30,
            server_settings={
                "search_path": "authz",
                "application_name": f"{APPLICATION_NAME}-{settings.instance}",
                "synchronous_commit": "on",
                # Every statement finds its rows by their keys. While a table is small the planner
                # prefers to read all of it, and would keep that plan when it has grown.
                "enable_seqscan": "off",
            },
        )
        try:
            streams = await Streams.connect(settings)
            try:
                settler = Settler(
                    settings,
                    SettleStore(connection),
                    streams,
                    clock=SystemClock(),
                    on_share=partial(
                        _seal,
                        connection,
                        secret_text(settings, "audit-seal").encode(),
                        spool_of(settings, "authz"),
                    ),
                )
                await settler.initialise()
                self.working = True
                await settler.run()
            finally:
                streams.close()
        finally:
            with suppress(*UNREACHABLE):
                await connection.close(timeout=5)


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancels a task until it ends: a client library may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)


async def main() -> None:
    """Runs until SIGTERM."""
    settings = AuthzSettings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    process = Process(settings)
    metrics = MetricsServer(settings.metrics_socket, ready=lambda: process.working)
    await metrics.start()
    task = asyncio.create_task(process.run())
    stop = asyncio.create_task(termination().wait())
    try:
        # A fault of ours ends the process, loudly; the supervisor starts it again.
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
    finally:
        for running in (task, stop):
            await ended(running)
        await metrics.stop()


if __name__ == "__main__":
    asyncio.run(main())
