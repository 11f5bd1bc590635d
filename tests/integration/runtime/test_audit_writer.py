"""Entries that no transaction has are never lost: whoever was told how a call ended finds its
entry, once, whatever became of PostgreSQL and of the process meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from runtime.audit import writer
from runtime.audit.entry import AuditEntry
from runtime.audit.spool import Pending, Spool
from runtime.audit.verify import verify
from runtime.audit.writer import AuditLog, write_once
from runtime.metrics import AUDIT_SET_ASIDE, AUDIT_UNWRITTEN
from runtime.postgres import connect_pool
from tests.databases import Database

KEY = "a key of the tests"
Names = Callable[[], Awaitable[list[str]]]


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def names(owner: Any) -> Names:
    """Reads whose entries there are."""

    async def read() -> list[str]:
        rows = await owner.fetch("SELECT actor FROM audit.entry ORDER BY id")
        return [row["actor"] for row in rows]

    return read


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await connect_pool(database.settings, "accounts") as pool:
        yield pool


def refusal(name: str) -> AuditEntry:
    return AuditEntry(
        actor=name,
        roles=("admin",),
        peer="192.0.2.7",
        method="/m",
        targets=("acct_1",),
        request_id="r-1",
        trace_id="",
        code="NOT_FOUND",
        after={"amount_minor": 1},
    )


async def has_all(names: Names, *expected: str) -> None:
    """Waits for them; there are no others."""
    async with asyncio.timeout(10):
        while sorted(await names()) != sorted(expected):  # noqa: ASYNC110 - rows of a table
            await asyncio.sleep(0.05)


async def test_what_postgresql_refuses_waits_on_the_disk(
    database: Database, pool: asyncpg.Pool, owner: Any, names: Names, tmp_path: Path
) -> None:
    """Written as soon as it can be, with the time it was made, and part of the chain."""
    aside, unwritten = AUDIT_SET_ASIDE._value.get(), AUDIT_UNWRITTEN._value.get()
    log = AuditLog(pool, KEY, Spool(tmp_path / "audit"))
    await owner.execute("REVOKE INSERT ON audit.entry FROM holdfast_accounts")
    try:
        before = time.time()
        for name in ("first", "second"):
            await log.write(refusal(name))
        assert [path.stat().st_mode & 0o777 for path in (tmp_path / "audit").iterdir()] == [0o600]
        await asyncio.sleep(writer.RETRY_S + 0.5)
        assert await names() == []
        made = time.time()
    finally:
        await owner.execute("GRANT INSERT ON audit.entry TO holdfast_accounts")
    await has_all(names, "first", "second")
    await log.write(refusal("third"))
    await has_all(names, "first", "second", "third")
    times = await owner.fetch("SELECT extract(epoch FROM record_time) AS at FROM audit.entry")
    assert before - 0.01 <= float(times[0]["at"]) <= made - 0.5
    assert (AUDIT_SET_ASIDE._value.get(), AUDIT_UNWRITTEN._value.get()) == (aside + 2, unwritten)
    reader = await asyncpg.connect(database.dsn("gateway"))
    try:
        await owner.execute("UPDATE audit.entry SET record_time = record_time - interval '1 hour'")
        (chain,) = await verify(reader, key=KEY.encode())
        assert (chain.waiting, chain.fault) == (3, None), "they are old, and came just now"
        while await log.seal():
            pass
        (chain,) = await verify(reader, key=KEY.encode())
        assert (chain.links, chain.fault) == (3, None)
    finally:
        await reader.close()
    await log.close()
    assert list((tmp_path / "audit").iterdir()) == []


async def test_nobody_waits_long_for_a_server_that_hangs(
    pool: asyncpg.Pool, owner: Any, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is answered when its entry is on the disk; later it is written once."""
    monkeypatch.setattr(writer, "WRITE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(writer, "RETRY_S", 0.3)
    log = AuditLog(pool, KEY, Spool(tmp_path / "audit"))
    async with owner.transaction():
        await owner.execute("LOCK TABLE audit.entry IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        callers = [asyncio.create_task(log.write(refusal(f"usr-{n}"))) for n in range(20)]
        await asyncio.wait(callers)
        await log.write(refusal("usr-20"))
        assert time.monotonic() - began < 2
    await has_all(names, *(f"usr-{number}" for number in range(21)))
    await log.close()


async def test_a_process_that_is_killed_leaves_its_entries(
    pool: asyncpg.Pool, names: Names, tmp_path: Path
) -> None:
    """Goal: kill -9 loses nothing that was set aside, and what was written after all is not written
    again. Method: a process sets two entries aside, and half of a line; one is in the table
    already. While it lives nobody else touches its file.
    """
    folder, known = tmp_path / "audit", uuid4()
    program = f"""
        import os, time
        from pathlib import Path
        from uuid import UUID, uuid4
        from runtime.audit.entry import AuditEntry
        from runtime.audit.spool import Pending, Spool
        first = AuditEntry(**{asdict(refusal("first"))!r})
        second = AuditEntry(**{asdict(refusal("second"))!r})
        own = Spool(Path({str(folder)!r})).own
        own.append([
            Pending(write_id=UUID({known.hex!r}), time_ms=1, entry=first),
            Pending(write_id=uuid4(), time_ms=1_800_000_000_000, entry=second),
        ])
        os.write(own._descriptor, b'{{"write_id": "0')
        print("ready", flush=True)
        time.sleep(60)
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(program), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        async with pool.acquire() as connection:
            pending = Pending(write_id=known, time_ms=1, entry=refusal("first"))
            await write_once(connection, [pending], late=False)
        log = AuditLog(pool, KEY, Spool(folder))
        await log.seal()
        assert await names() == ["first"]
    finally:
        process.kill()
        await process.wait()
    await log.seal()
    assert await names() == ["first", "second"]
    assert list(folder.iterdir()) == []


async def test_what_was_said_at_the_end_is_written(
    pool: asyncpg.Pool, names: Names, tmp_path: Path
) -> None:
    """A process that is told to stop writes what nobody waited for."""
    log = AuditLog(pool, KEY, Spool(tmp_path / "audit"))
    running = asyncio.create_task(log.run())
    await asyncio.sleep(0.1)
    for number in range(300):
        log.write_soon(refusal(f"usr-{number}"))
    running.cancel()
    await asyncio.wait({running})
    assert len(await names()) == 300
