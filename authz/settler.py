"""The settler: journal → ledger. `python -m authz.settler`.

One reader per partition, chosen by advisory lock. Each round reads what follows the position of
each of its partitions, writes it in one transaction that moves the position too, and only then
trims the stream. The last settled entry stays in the stream: after a failover it shows whether
Valkey still tells the story that the ledger knows.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from authz import keys
from authz.continuity import ContradictionError, Part, Standing, continuing
from authz.settings import AuthzSettings
from authz.settle_rows import Batch
from authz.settle_store import Move, PositionMovedError, SettleStore
from runtime import redis
from runtime.clock import Clock, SystemClock
from runtime.log import configure_logging, get_logger
from runtime.metrics import PARTITIONS_STOPPED, SETTLED, MetricsServer
from runtime.postgres import UNREACHABLE
from runtime.server import termination
from runtime.settings import PARTITIONS

#: Bounds of the pause after a round that found nothing: quick under load, quiet when idle.
PAUSE_MIN_S = 0.005
PAUSE_MAX_S = 0.1
#: How often partitions are shared out anew among the live settlers.
SHARE_S = 1.0
#: Wait before a lost connection is opened again.
RETRY_S = 0.5
#: A cancellation that was swallowed is repeated after this.
CANCEL_AGAIN_S = 0.5
APPLICATION_NAME = "settler"

logger = get_logger()


class NotInitialisableError(Exception):
    """Valkey holds data of another installation, or lost that of this one."""


class Settler:
    """Settles the partitions that it has locked, over one connection to each server."""

    def __init__(
        self, settings: AuthzSettings, store: SettleStore, valkey: Redis, *, clock: Clock
    ) -> None:
        self._settings = settings
        self._store = store
        self._valkey = valkey
        self._clock = clock
        #: Owned partitions, and where each stands.
        self._owned: dict[int, Standing] = {}
        #: Partitions that had more entries than their share at the last round.
        self._busy: set[int] = set()
        self._turn = 0
        self._pause_s = PAUSE_MIN_S
        self._next_share = 0.0

    async def initialise(self) -> None:
        """Gives a new installation its epoch, once: Valkey must be empty then."""
        epoch, initialised = await self._store.installation(new_epoch=self._clock.now_ms())
        if initialised:
            return
        await self._refuse_another(epoch)
        # Another settler may do the same, and be done: what is there stays.
        pipeline = self._valkey.pipeline(transaction=False)
        for tag in keys.TAGS:
            pipeline.hsetnx(keys.meta(tag), "pseq", "0")
            pipeline.hsetnx(keys.meta(tag), "epoch", str(epoch))
        await pipeline.execute()
        await self._refuse_another(epoch)
        await self._store.mark_initialised()
        logger.info("installation_initialised", epoch=epoch)

    async def _refuse_another(self, epoch: int) -> None:
        """Raises if Valkey holds another installation's data."""
        pipeline = self._valkey.pipeline(transaction=False)
        for tag in keys.TAGS:
            pipeline.hget(keys.meta(tag), "epoch")
        for found in await pipeline.execute():
            if found is not None and int(found) != epoch:
                raise NotInitialisableError(
                    f"Valkey belongs to another installation (epoch {int(found)}); use an empty one"
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
        # A lock may have been taken after its row was read: the position is read again under it.
        for row in await self._store.partitions():
            if row.partition in self._owned:
                self._owned[row.partition] = Standing.of(row)
        await self._trim_positions(sorted(set(self._owned) - before))

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
        pipeline = self._valkey.pipeline(transaction=False)
        for partition in partitions:
            start = f"{self._owned[partition].position}-0"
            journal = keys.journal(keys.TAGS[partition])
            # The last settled entry comes first, and is checked.
            pipeline.xrange(journal, min=start, max="+", count=self._share_of(partition) + 1)
        streams = await pipeline.execute()
        parts: dict[int, Part] = {}
        room = self._settings.settle_batch
        for partition, stream in zip(partitions, streams, strict=True):
            try:
                part = continuing(partition, self._owned[partition], stream, room=room)
            except ContradictionError as error:
                await self._stop(partition, str(error))
                continue
            if part is not None:
                parts[partition] = part
                room -= len(part.batch.entries)
            if part is not None and len(part.batch.entries) >= self._share_of(partition):
                self._busy.add(partition)
            else:
                self._busy.discard(partition)
        return parts

    def _share_of(self, partition: int) -> int:
        """Entries to read of a partition: one that had more than that last time gets more."""
        half = self._settings.settle_batch // 2
        if partition in self._busy:
            return max(half // len(self._busy), 1)
        return max(half // len(self._owned), 1)

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
        pipeline = self._valkey.pipeline(transaction=False)
        for partition in partitions:
            position = self._owned[partition].position
            journal = keys.journal(keys.TAGS[partition])
            pipeline.xtrim(journal, minid=f"{position}-0", approximate=False)
        await pipeline.execute()

    async def run(self) -> None:
        """Settles until a connection is lost or the task is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() >= self._next_share:
                await self.share()
                self._next_share = loop.time() + SHARE_S
            if await self.round():
                self._pause_s = PAUSE_MIN_S
                continue
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)


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
        assert settings.redis_url is not None, "the supervisor sets HOLDFAST_REDIS_URL"
        connection = await asyncpg.connect(
            settings.postgres_dsn,
            user="holdfast_authz",
            password=settings.secret("postgres-authz"),
            command_timeout=30,
            server_settings={
                "search_path": "authz",
                "application_name": f"{APPLICATION_NAME}-{settings.instance}",
                "synchronous_commit": "on",
            },
        )
        valkey = redis.client(settings, settings.redis_url, server="valkey-money", user="settler")
        try:
            settler = Settler(settings, SettleStore(connection), valkey, clock=SystemClock())
            await settler.initialise()
            self.working = True
            await settler.run()
        finally:
            await valkey.aclose()
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
