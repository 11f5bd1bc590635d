"""Writes entries that no transaction has: refusals, and what is about to change elsewhere.

Whoever is told how a call ended can rely on its entry: it is in PostgreSQL, or on this machine's
disk (`runtime.audit.spool`) until PostgreSQL has it, which is then tried again for as long as it
takes, also by whoever comes after a process that was killed. Only an entry that neither takes goes
to this process's log instead, whole, as `audit_entry_unwritten`, and is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from runtime.audit.entry import AuditEntry
from runtime.audit.log import BATCH, SQL, columns, seal, seal_failed
from runtime.audit.spool import Pending, Spool
from runtime.clock import Clock, SystemClock, datetime_of
from runtime.log import get_logger
from runtime.metrics import AUDIT_SET_ASIDE, AUDIT_UNWRITTEN
from runtime.settings import Settings

if TYPE_CHECKING:
    import asyncpg

#: Entries that may wait in memory; more go to the process's log at once.
WAITING_MAX = 4_096
#: How long PostgreSQL may take. Then an entry is set aside; no call waits much longer for its own.
WRITE_TIMEOUT_S = 2.0
#: How soon PostgreSQL is tried again.
RETRY_S = 2.0
#: How often the sealer looks.
SEAL_INTERVAL_S = 1.0

logger = get_logger()


def spool_of(settings: Settings, service: str) -> Spool:
    """Where a service's entries wait."""
    return Spool(settings.home / "audit" / service)


class AuditWriter:
    """Writes entries. `pool` is asked for when there is one to write."""

    def __init__(
        self,
        pool: Callable[[], Awaitable[asyncpg.Pool]],
        spool: Spool,
        clock: Clock | None = None,
    ) -> None:
        self._open = pool
        self._spool = spool
        self._clock = clock or SystemClock()
        self._waiting: list[tuple[Pending, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        #: Runs while something is set aside; until then nothing else asks PostgreSQL.
        self._retrying: asyncio.Task[None] | None = None

    async def write(self, entry: AuditEntry) -> None:
        """Writes an entry of its own; returns when it is safe."""
        await asyncio.wait({self.write_soon(entry)})

    def write_soon(self, entry: AuditEntry) -> asyncio.Future[None]:
        """The same for those who cannot wait; the future tells when it is done."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= WAITING_MAX:
            _unwritten(entry, "too many entries wait")
            done.set_result(None)
            return done
        pending = Pending(write_id=uuid4(), time_ms=self._clock.now_ms(), entry=entry)
        self._waiting.append((pending, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return done

    async def close(self) -> None:
        """Writes what waits; nothing is written any more."""
        if self._writer is not None:
            await asyncio.wait({self._writer})
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.wait({self._retrying})
        self._spool.close()

    async def _write_waiting(self) -> None:
        """Whatever waits is written together; whatever came meanwhile, next."""
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                await self._write([pending for pending, _ in batch])
            finally:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)

    async def _write(self, batch: Sequence[Pending]) -> None:
        if self._retrying is None or self._retrying.done():
            try:
                await self._try(batch, late=False)
            except Exception as error:  # noqa: BLE001 - whatever it was: the entries must be kept
                logger.warning("audit_set_aside", error=f"{type(error).__name__}: {error}")
            else:
                return
        try:
            await asyncio.to_thread(self._set_aside, batch)
        except Exception as error:  # noqa: BLE001 - whatever it was: the entries must be told
            for pending in batch:
                _unwritten(pending.entry, f"{type(error).__name__}: {error}")
        else:
            AUDIT_SET_ASIDE.inc(len(batch))
            if self._retrying is None or self._retrying.done():
                self._retrying = asyncio.create_task(self._retry())

    def _set_aside(self, batch: Sequence[Pending]) -> None:
        self._spool.own.append(batch)

    async def _try(self, batch: Sequence[Pending], *, late: bool) -> None:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            pool = await self._open()
            async with pool.acquire() as connection:
                await write_once(connection, batch, late=late)

    async def _retry(self) -> None:
        """Until PostgreSQL has all that was set aside, and nothing has come meanwhile."""
        file = self._spool.own
        while True:
            await asyncio.sleep(RETRY_S)
            pending, size = file.read()
            try:
                for start in range(0, len(pending), BATCH):
                    await self._try(pending[start : start + BATCH], late=True)
            except Exception as error:  # noqa: BLE001 - tried again
                logger.warning("audit_still_aside", error=f"{type(error).__name__}: {error}")
                continue
            if file.empty(size=size):
                logger.info("audit_no_longer_aside", entries=len(pending))
                return


class AuditLog(AuditWriter):
    """The audit log of one service, which seals it, too. `key` is the secret `audit-seal`."""

    def __init__(self, pool: asyncpg.Pool, key: str, spool: Spool) -> None:
        async def opened() -> asyncpg.Pool:
            return pool

        super().__init__(opened, spool)
        self._pool = pool
        self._key = key.encode()

    async def run(self) -> None:
        """Seals for ever; no failure ends it. At the end it writes what waits."""
        try:
            while True:
                try:
                    sealed = await self.seal()
                except Exception as error:  # noqa: BLE001 - they wait; verify tells if for too long
                    seal_failed(error)
                    sealed = 0
                if sealed < BATCH:
                    await asyncio.sleep(SEAL_INTERVAL_S)
        finally:
            await self.close()

    async def seal(self) -> int:
        """Takes in what processes that died have left, links one batch of entries to the chain;
        returns their number.
        """
        async with self._pool.acquire() as connection:
            await take_in(connection, self._spool)
            return await seal(connection, self._key)


async def write_once(connection: Any, batch: Sequence[Pending], *, late: bool) -> None:
    """Writes those that are not there yet, all or none. Late ones say when they were made."""
    await connection.executemany(
        SQL["write_entry_once"],
        [
            (*columns(one.entry), one.write_id, datetime_of(one.time_ms) if late else None)
            for one in batch
        ],
    )


async def take_in(connection: Any, spool: Spool) -> None:
    """Writes what processes of this service that are gone had set aside."""
    with spool.left_behind() as files:
        for file in files:
            pending, _ = file.read()
            for start in range(0, len(pending), BATCH):
                await write_once(connection, pending[start : start + BATCH], late=True)
            file.remove()
            if pending:
                logger.info("audit_taken_in", entries=len(pending))


def _unwritten(entry: AuditEntry, error: str) -> None:
    AUDIT_UNWRITTEN.inc()
    # `request_id` and so on stand beside each other as in the table; nothing in them is secret.
    logger.error("audit_entry_unwritten", entry=asdict(entry), error=error)
