"""The settler: journal → ledger. `python -m authz.settler`.

One reader per partition, chosen by advisory lock. Each round reads what follows the position of
each of its partitions, writes it in one transaction that moves the position too, and only then
trims the stream. The last settled entry stays in the stream: after a failover it shows whether
Valkey still tells the story that the ledger knows.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from authz import entry, keys
from authz.entry import Entry
from authz.settings import AuthzSettings
from authz.settle_rows import Batch
from authz.settle_store import Move, PositionMovedError, SettleStore
from runtime import redis
from runtime.clock import Clock, SystemClock
from runtime.log import configure_logging, get_logger
from runtime.metrics import PARTITIONS_STOPPED, SETTLED, MetricsServer
from runtime.server import termination
from runtime.settings import PARTITIONS

#: Bounds of the pause after a round that found nothing: quick under load, quiet when idle.
PAUSE_MIN_S = 0.005
PAUSE_MAX_S = 0.1
#: How often partitions are shared out anew among the live settlers.
SHARE_S = 1.0
#: Wait before a lost connection is opened again.
RETRY_S = 0.5
APPLICATION_NAME = "settler"

logger = get_logger()


class ContradictionError(Exception):
    """The journal contradicts the ledger: this partition must not go on."""


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
        #: Owned partitions, with position, epoch and digest of the last settled entry.
        self._owned: dict[int, tuple[int, int, bytes | None]] = {}
        self._pause_s = PAUSE_MIN_S
        self._next_share = 0.0

    async def initialise(self) -> None:
        """Gives a new installation its epoch, once: Valkey must be empty then."""
        epoch, initialised = await self._store.installation(new_epoch=self._clock.now_ms())
        if initialised:
            return
        for tag in keys.TAGS:
            found = await self._valkey.hget(keys.meta(tag), "epoch")
            if found is None:
                await self._valkey.hset(keys.meta(tag), mapping={"epoch": str(epoch), "pseq": "0"})
            elif int(found) != epoch:
                raise NotInitialisableError(
                    f"Valkey belongs to another installation (epoch {int(found)}); use an empty one"
                )
        await self._store.mark_initialised()
        logger.info("installation_initialised", epoch=epoch)

    async def share(self) -> None:
        """Takes free partitions up to a fair share, and gives up what is beyond it."""
        settlers = await self._store.settlers(APPLICATION_NAME)
        fair = -(-PARTITIONS // settlers)
        for partition in sorted(self._owned)[fair:]:
            del self._owned[partition]
            await self._store.unlock(partition)
        rows = await self._store.partitions()
        PARTITIONS_STOPPED.set(sum(row.stopped_because is not None for row in rows))
        for row in rows:
            if len(self._owned) >= fair:
                break
            if row.partition in self._owned or row.stopped_because is not None:
                continue
            if await self._store.try_lock(row.partition):
                self._owned[row.partition] = (row.position, row.epoch, row.position_digest)
        # A lock may have been taken after its row was read: the position is read again under it.
        for row in await self._store.partitions():
            if row.partition in self._owned:
                self._owned[row.partition] = (row.position, row.epoch, row.position_digest)

    async def round(self) -> int:
        """Settles what is there; returns how many entries that were."""
        partitions = sorted(self._owned)
        if not partitions:
            return 0
        pipeline = self._valkey.pipeline(transaction=False)
        for partition in partitions:
            start = f"{self._owned[partition][0]}-0"
            pipeline.xrange(
                keys.journal(keys.TAGS[partition]),
                min=start,
                max="+",
                count=self._settings.settle_batch,
            )
        streams = await pipeline.execute()
        batch, moves = Batch(), dict[int, Move]()
        room = self._settings.settle_batch
        for partition, stream in zip(partitions, streams, strict=True):
            try:
                found = self._continuing(partition, stream)[:room]
            except ContradictionError as error:
                await self._stop(partition, str(error))
                continue
            if found:
                room -= len(found)
                position, epoch, _ = self._owned[partition]
                last = found[-1]
                moves[partition] = Move(
                    old=position, new=last.outcome.pseq, epoch=epoch, digest=last.digest
                )
                batch.add(partition, found)
        if not moves:
            return 0
        await self._store.settle(batch, moves)
        await self._trim(moves)
        SETTLED.inc(len(batch.entries))
        return len(batch.entries)

    def _continuing(self, partition: int, stream: list[Any]) -> list[Entry]:
        """The entries after the position, checked to continue the ledger without a gap."""
        position, epoch, digest = self._owned[partition]
        found: list[Entry] = []
        for _, fields in stream:
            raw = fields[b"e"]
            read = entry.parse(raw)
            if read.outcome.pseq == position:
                if digest is not None and sha256(raw).digest() != digest:
                    raise ContradictionError(f"entry {position} is not the one that was settled")
                continue
            expected = position + len(found) + 1
            if read.outcome.pseq != expected:
                raise ContradictionError(
                    f"entry {expected} is missing: {read.outcome.pseq} is next"
                )
            if read.outcome.epoch != epoch:
                raise ContradictionError(
                    f"entry {expected} has epoch {read.outcome.epoch}, the ledger {epoch}"
                )
            found.append(read)
        return found

    async def _stop(self, partition: int, because: str) -> None:
        logger.critical("partition_stopped", partition=partition, because=because)
        await self._store.stop_partition(partition, because)
        del self._owned[partition]
        await self._store.unlock(partition)

    async def _trim(self, moves: dict[int, Move]) -> None:
        """Forgets what is settled, but for the last entry."""
        pipeline = self._valkey.pipeline(transaction=False)
        for partition, move in moves.items():
            self._owned[partition] = (move.new, move.epoch, move.digest)
            pipeline.xtrim(
                keys.journal(keys.TAGS[partition]), minid=f"{move.new}-0", approximate=False
            )
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
            except (RedisError, OSError, TimeoutError, asyncpg.PostgresError) as error:
                logger.warning("settler_reconnects", because=f"{type(error).__name__}: {error}")
            except (asyncpg.InterfaceError, PositionMovedError) as error:
                logger.warning("settler_starts_over", because=f"{type(error).__name__}: {error}")
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
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=5)


async def main() -> None:
    """Runs until SIGTERM."""
    settings = AuthzSettings()
    configure_logging(instance=settings.instance, level=settings.log_level)
    process = Process(settings)
    metrics = MetricsServer(settings.metrics_socket, ready=lambda: process.working)
    await metrics.start()
    task = asyncio.create_task(process.run())
    await termination().wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await metrics.stop()


if __name__ == "__main__":
    asyncio.run(main())
