"""What Envoy tells in its file, against a real PostgreSQL: each refusal is told once, whatever
becomes of the process, of the database and of the file.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from gateway import refusal_log
from gateway.refusal_log import RefusalLog
from gateway.refusal_store import RefusalStore
from gateway.refusal_tally import ONE_BY_ONE_MAX
from gateway.refusals import Refusals
from gateway.usage import Paths
from runtime import refusal_files
from runtime.access import load_access
from runtime.audit.spool import Pending
from runtime.clock import ManualClock
from runtime.postgres import connect_pool
from runtime.refusal_files import PART_BYTES, Place, RefusalFiles
from tests.databases import Database

FREEZE = "/holdfast.accounts.v1.CardService/FreezeCard"
REFUSALS = Refusals(Paths([("", "", FREEZE)]), {FREEZE: load_access().policies[FREEZE]})

Told = Callable[[], Awaitable[list[Any]]]


@pytest.fixture
async def store(database: Database) -> AsyncIterator[RefusalStore]:
    async with await connect_pool(database.settings, "gateway") as pool:
        yield RefusalStore(pool)


@pytest.fixture
async def entries(database: Database) -> AsyncIterator[Told]:
    """Reads what the audit log has."""
    owner = await asyncpg.connect(database.owner_dsn)

    async def read() -> list[Any]:
        rows: list[Any] = await owner.fetch("SELECT * FROM audit.entry ORDER BY id")
        return rows

    yield read
    await owner.close()


def refuse(path: Path, *names: str, actor: str = "usr_alice") -> None:
    """As Envoy does, which appends."""
    with path.open("ab") as file:
        for name in names:
            told = {
                "at": "1800000000123",
                "details": "rbac_access_denied_matched_policy[none]",
                "grpc_status": "7",
                "id": str(uuid4()),
                "listener": "edge",
                "path": FREEZE,
                "peer": "192.0.2.7",
                "status": 200,
                "subject": actor,
                "trace_id": name,
                "verb": "POST",
                **dict.fromkeys(("grpc_trailer", "original_path", "request_id", "roles")),
                **dict.fromkeys(("spiffe", "upstream_us")),
            }
            file.write(json.dumps(told, separators=(",", ":")).encode() + b"\n")


def names(rows: Sequence[Any]) -> list[str]:
    return [row["trace_id"] for row in rows]


async def read_all(log: RefusalLog) -> None:
    while await log.step():
        pass


def reader(store: RefusalStore, files: RefusalFiles) -> RefusalLog:
    return RefusalLog(REFUSALS, store, files, ManualClock())


async def test_each_is_told_once_by_whoever_reads(
    store: RefusalStore, entries: Told, tmp_path: Path
) -> None:
    """One process at a time; another goes on where it was, also in the next file. A line that is
    not whole yet waits; what an Envoy that was killed has left of one is passed over.
    """
    mine, others = RefusalFiles(tmp_path), RefusalFiles(tmp_path)
    mine.make()
    assert mine.current.stat().st_mode & 0o777 == 0o600
    assert mine.current.parent.stat().st_mode & 0o777 == 0o700
    first, second = reader(store, mine), reader(store, others)
    refuse(mine.current, "a", "b")
    with mine.current.open("ab") as file:
        file.write(b'{"at":"18')
    await read_all(first)
    assert names(await entries()) == ["a", "b"]
    [row, _] = await entries()
    assert row["record_time"].timestamp() == 1_800_000_000.123
    assert (row["actor"], row["method"], row["code"]) == ("usr_alice", FREEZE, "PERMISSION_DENIED")
    refuse(mine.current, "c")
    await read_all(second)
    assert names(await entries()) == ["a", "b"], "the first one reads"
    mine.unlock()
    await read_all(second)
    assert names(await entries()) == ["a", "b", "c"]

    assert mine.turn(1)
    assert mine.half_turned
    refuse(mine.earlier, "d")
    await read_all(second)
    assert mine.earlier.exists(), "Envoy may still write there"
    refuse(mine.earlier, "e")
    mine.make()
    refuse(mine.current, "f")
    await read_all(second)
    assert not mine.earlier.exists()
    await read_all(second)
    assert names(await entries()) == ["a", "b", "c", "d", "e", "f"]
    others.unlock()
    third = reader(store, mine)
    await read_all(third)
    assert len(await entries()) == 6
    # Somebody has emptied it.
    mine.current.write_bytes(b"")
    await read_all(third)
    refuse(mine.current, "g")
    await read_all(third)
    assert names(await entries())[6:] == ["g"]


async def test_what_was_added_up_is_told_although_a_process_dies(
    store: RefusalStore, entries: Told, tmp_path: Path
) -> None:
    """The sum of a process that is killed is lost, and its calls are read again; no call counts
    twice.
    """
    files = RefusalFiles(tmp_path)
    files.make()
    many = ONE_BY_ONE_MAX * 2 + 60
    refuse(files.current, *(f"t-{number}" for number in range(many)))
    refuse(files.current, "another", actor="usr_bob")
    killed = reader(store, files)
    await read_all(killed)
    rows = await entries()
    assert names(rows) == [*(f"t-{number}" for number in range(ONE_BY_ONE_MAX)), "another"]
    files.unlock()
    last = reader(store, files)
    await read_all(last)
    assert len(names(await entries())) == ONE_BY_ONE_MAX * 2 + 1
    files.turn(1)
    files.make()
    await read_all(last)
    rows = await entries()
    assert len(set(names(rows))) == len(rows)
    [total] = [row for row in rows if row["reason"] == "REPEATED"]
    assert json.loads(total["after"]) == {"calls": 60, "reason": "ROLE_REFUSED"}
    assert len(rows) == ONE_BY_ONE_MAX * 2 + 2
    files.unlock()
    await read_all(reader(store, files))
    assert len(await entries()) == len(rows)


async def test_sums_are_told_each_minute(
    store: RefusalStore, entries: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = RefusalFiles(tmp_path)
    files.make()
    refuse(files.current, *(f"t-{number}" for number in range(ONE_BY_ONE_MAX + 5)))
    log = reader(store, files)
    await read_all(log)
    monkeypatch.setattr(refusal_log, "INTERVAL_S", 0)
    await log.step()
    [*_, total] = await entries()
    assert (total["reason"], json.loads(total["after"])["calls"]) == ("REPEATED", 5)
    await log.step()
    assert len(await entries()) == ONE_BY_ONE_MAX + 1


async def test_a_commit_that_was_not_heard_of_is_read_again(
    store: RefusalStore, entries: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it, and after it; also by an id that is there already."""
    files = RefusalFiles(tmp_path)
    files.make()
    refuse(files.current, "a", "b")
    write = store.write
    failing = ["before", "after"]

    async def fails(written: Sequence[Pending], place: Place) -> None:
        when = failing.pop(0) if failing else ""
        if when != "before":
            await write(written, place)
        if when:
            raise ConnectionError(when)

    monkeypatch.setattr(store, "write", fails)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await reader(store, files).step()
        files.unlock()
    await read_all(reader(store, files))
    assert names(await entries()) == ["a", "b"]
    [_, known] = [json.loads(one)["id"] for one in files.current.read_text().splitlines()]
    rows = await entries()
    assert rows[1]["write_id"] == UUID(known)


async def test_what_is_none_of_envoys_is_passed_over(
    store: RefusalStore, entries: Told, tmp_path: Path
) -> None:
    files = RefusalFiles(tmp_path)
    files.make()
    files.current.write_bytes(b"x" * (PART_BYTES * 2) + b"\n[]\n\n")
    refuse(files.current, "a")
    await read_all(reader(store, files))
    assert names(await entries()) == ["a"]


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is begun when the first is large and nothing else waits; what has waited longest
    goes when there is too much.
    """
    monkeypatch.setattr(refusal_files, "BYTES_MAX", 50)
    files = RefusalFiles(tmp_path)
    assert not files.turn(1), "Envoy has not run yet"
    files.make()
    assert not files.turn(1), "nothing is there"
    for size, expected in ((9, False), (10, True), (49, False), (50, True)):
        files.current.write_bytes(b"x" * size)
        assert files.turn(10) is expected, size
        assert files.half_turned is expected
    assert files.earlier.stat().st_size == 50
