"""Both sides of a rebuilding: the ledger that is read, and the Valkey that is written anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from authz import keys
from authz.continuity import Found
from authz.gate import Gate
from authz.ledger_store import QUERIES, LedgerStore
from authz.rehydrate_rows import Write
from authz.settings import AuthzSettings
from authz.settle_store import LOCK_CLASS, RECOVERY_LOCK
from runtime import redis
from runtime.errors import Unavailable
from runtime.queries import load_queries
from runtime.secrets import secret_text
from runtime.settings import PARTITIONS
from runtime.wire import connect

APPLICATION_NAME = "recovery"
#: Rows that travel at once, and commands of one pipeline.
PAGE = 500
#: Every key of a partition, and nothing else.
_OURS = "{[0-3][0-9a-f]}:*"

_SQL = Path(__file__).parent / "sql"
_QUERIES = QUERIES | load_queries(_SQL / "rehydrate.sql") | load_queries(_SQL / "counted.sql")


class Meta(NamedTuple):
    """What Valkey says of one partition; None: nothing, or nothing that can be read."""

    epoch: str | None
    pseq: int | None


class RehydrateStore:
    """Reads the ledger and writes Valkey, as the user `recovery`."""

    def __init__(self, valkey: Redis, connection: asyncpg.Connection) -> None:
        self._valkey = valkey
        self.connection = connection
        self._waiting: list[tuple[str | bytes, ...]] = []

    async def state(self) -> tuple[int, bool]:
        """Epoch, and whether Valkey was ever initialised; (0, False) before the first start."""
        row = await self.connection.fetchrow(_QUERIES["recovery_state"])
        return (row["epoch"], row["initialised"]) if row else (0, False)

    async def lock(self) -> bool:
        """Keeps every settler, and every other rebuilding, away while this connection lives."""
        taken: bool = await self.connection.fetchval(
            "SELECT pg_try_advisory_lock($1, $2)", LOCK_CLASS, RECOVERY_LOCK
        )
        return taken

    async def restart(self, partition: int) -> None:
        """Takes a partition's stop away."""
        await self.connection.execute(_QUERIES["restart_partition"], partition)

    async def begin_epoch(self, epoch: int) -> None:
        """Another life of Valkey, for the installation and all partitions at once."""
        async with self.connection.transaction():
            await self.connection.execute(_QUERIES["begin_epoch"], epoch)
            await self.connection.execute(_QUERIES["begin_partition_epochs"], epoch)

    async def rows(self, query: str, *arguments: object) -> AsyncIterator[list[asyncpg.Record]]:
        """The rows of a query, a page at a time."""
        async with self.connection.transaction(readonly=True):
            cursor = await self.connection.cursor(_QUERIES[query], *arguments)
            while page := await cursor.fetch(PAGE):
                yield page

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of a query."""
        rows: list[asyncpg.Record] = await self.connection.fetch(_QUERIES[query], *arguments)
        return rows

    async def youngest(self, partition: int, *, after: int, to: int) -> datetime | None:
        """When the youngest entry of a stretch was recorded."""
        rows = await self.fetch("youngest_entry", partition, after, to)
        time: datetime | None = rows[0][0]
        return time

    async def metas(self) -> list[Meta]:
        """What Valkey says of each partition."""
        pipeline = self._valkey.pipeline(transaction=False)
        for tag in keys.TAGS:
            pipeline.hmget(keys.meta(tag), ["epoch", "pseq"])
        found = []
        for answer in await pipeline.execute(raise_on_error=False):
            epoch, pseq = (None, None) if isinstance(answer, Exception) else answer
            number = int(pseq) if pseq is not None and pseq.isdigit() else None
            found.append(Meta(None if epoch is None else epoch.decode(errors="replace"), number))
        return found

    async def stream(self, partition: int, *, after: int, count: int) -> Sequence[Found]:
        """The entry of a position, if it is there, and what follows it."""
        journal = keys.journal(keys.TAGS[partition])
        try:
            found: Any = await self._valkey.xrange(journal, min=f"{after}-0", max="+", count=count)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                return []
            raise
        return [(name, fields.get(b"e", b"")) for name, fields in found]

    async def close_partitions(self) -> None:
        """From now on no script writes: none of them knows a partition without epoch."""
        pipeline = self._valkey.pipeline(transaction=False)
        pipeline.delete(keys.VERDICT)
        for tag in keys.TAGS:
            pipeline.hdel(keys.meta(tag), "epoch")
        # A key of another type refuses scripts, too.
        await pipeline.execute(raise_on_error=False)

    async def wipe(self) -> None:
        """Removes everything of every partition, first what makes it look alive."""
        await self._valkey.unlink(*(keys.meta(tag) for tag in keys.TAGS))
        cursor = 0
        while True:
            found: Any
            cursor, found = await self._valkey.scan(cursor, match=_OURS, count=PAGE)
            if found:
                await self._valkey.unlink(*found)
            if cursor == 0:
                return

    async def write(self, writes: Sequence[Write]) -> None:
        """Sends commands, many at once."""
        for write in writes:
            self._waiting.extend(write.commands)
        if len(self._waiting) >= PAGE:
            await self.flush()

    async def flush(self) -> None:
        """Sends what waits."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), PAGE):
            pipeline = self._valkey.pipeline(transaction=False)
            for command in waiting[start : start + PAGE]:
                pipeline.execute_command(*command)
            await pipeline.execute()


async def gate_is_open(settings: AuthzSettings) -> bool:
    """Whether a worker would serve from this Valkey as it is."""
    assert settings.redis_url is not None, "the settings are those of a running installation"
    ledger = LedgerStore(settings)
    try:
        wire = await connect(
            settings, settings.redis_url, server="valkey-money", user=APPLICATION_NAME
        )
        try:
            await Gate(settings, ledger).inspect(wire)
        finally:
            wire.close()
    except (Unavailable, ResponseError):
        return False
    finally:
        await ledger.close()
    return True


@asynccontextmanager
async def open_store(settings: AuthzSettings) -> AsyncIterator[RehydrateStore]:
    """Connects to both sides of a running installation."""
    assert settings.redis_url is not None, "the settings are those of a running installation"
    connection = await asyncpg.connect(
        settings.postgres_dsn,
        user="holdfast_authz",
        password=secret_text(settings, "postgres-authz"),
        server_settings={
            "search_path": "authz",
            "application_name": APPLICATION_NAME,
            "synchronous_commit": "on",
        },
    )
    try:
        async with redis.client(
            settings, settings.redis_url, server="valkey-money", user=APPLICATION_NAME
        ) as valkey:
            yield RehydrateStore(valkey, connection)
    finally:
        await connection.close()


assert PARTITIONS == len(keys.TAGS) == 64, "the pattern of a partition's keys says so, too"  # noqa: PLR2004
