"""The end of a chain is known outside of the database: who cuts it off there, is found out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import asyncpg
from structlog.testing import capture_logs

from runtime.audit.archive import archive
from runtime.audit.entry import AuditEntry
from runtime.audit.heads import heads_in
from runtime.audit.log import SQL, columns, seal
from runtime.audit.verify import Chain, verify
from tests.databases import Database

KEY = b"a key of the tests"


async def _sealed(accounts: Any, logs: Path, *names: str) -> None:
    """An entry for each name, sealed one by one, which the service's log tells of."""
    for name in names:
        entry = AuditEntry(
            actor=name, roles=(), peer="", method="/m", targets=(), request_id="", trace_id=""
        )
        await accounts.execute(SQL["write_entry"], *columns(entry))
        with capture_logs() as told:
            assert await seal(accounts, KEY) == 1
        with (logs / "accounts.log").open("a") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in told)


async def _verified(database: Database, logs: Path) -> list[Chain]:
    heads = heads_in(logs)
    reader = await asyncpg.connect(database.dsn("gateway"))
    try:
        return await verify(reader, key=KEY, heads=heads)
    finally:
        await reader.close()


async def _cut_off(log_owner: Any, *, behind: int) -> None:
    """Link and entry: nothing in the database is left of them."""
    async with log_owner.transaction():
        await log_owner.execute(
            "DELETE FROM audit.entry WHERE id IN"
            " (SELECT entry_id FROM audit.link WHERE number > $1)",
            behind,
        )
        await log_owner.execute("DELETE FROM audit.link WHERE number > $1", behind)


async def _fault(database: Database, logs: Path) -> tuple[int, str]:
    (chain,) = await _verified(database, logs)
    assert chain.fault is not None
    return chain.fault.number, chain.fault.what


async def test_the_last_rows_are_missed(
    database: Database, accounts: Any, log_owner: Any, tmp_path: Path
) -> None:
    await _sealed(accounts, tmp_path, "a", "b", "c")
    (chain,) = await _verified(database, tmp_path)
    assert (chain.fault, chain.links, chain.logged) == (None, 3, 3)
    await _cut_off(log_owner, behind=1)
    assert (await _fault(database, tmp_path))[0] == 2
    (tmp_path / "accounts.log").rename(tmp_path / "accounts.log.1")
    assert "goes to link 3" in (await _fault(database, tmp_path))[1]
    # What is sealed since does not make up for them.
    await _sealed(accounts, tmp_path, "d", "e", "f")
    number, what = await _fault(database, tmp_path)
    assert (number, "another hash" in what) == (2, True)


async def test_a_whole_chain_is_missed(
    database: Database, accounts: Any, log_owner: Any, tmp_path: Path
) -> None:
    await _sealed(accounts, tmp_path, "a")
    await _cut_off(log_owner, behind=0)
    number, what = await _fault(database, tmp_path)
    assert (number, "goes to link 1" in what) == (1, True)


async def test_what_is_archived_is_not_missed(
    database: Database, accounts: Any, log_owner: Any, tmp_path: Path
) -> None:
    await _sealed(accounts, tmp_path, "a", "b", "c")
    async with log_owner.transaction(isolation="repeatable_read"):
        before = datetime(2100, 1, 1, tzinfo=UTC)
        assert await archive(log_owner, StringIO(), key=KEY, before=before)
    (chain,) = await _verified(database, tmp_path)
    assert (chain.fault, chain.archived, chain.logged) == (None, 2, 1)


async def test_lines_that_tell_nothing_are_passed_over(
    database: Database, accounts: Any, tmp_path: Path
) -> None:
    """Cut where a log was begun anew; of a version that named no service; of somebody else."""
    await _sealed(accounts, tmp_path, "a")
    line = {"event": "audit_sealed", "number": 9, "head": "00"}
    others = [
        json.dumps(line),
        json.dumps(line | {"service": "accounts"})[:-9],
        json.dumps({"event": "call_refused", "reason": "audit_sealed"}),
        json.dumps(line | {"service": "accounts", "event": '"audit_sealed"'}),
    ]
    (tmp_path / "authz.log").write_text("\n".join(others))
    (tmp_path / "envoy.log").write_bytes(b'\xff "audit_sealed" \xfe\n')
    (chain,) = await _verified(database, tmp_path)
    assert (chain.fault, chain.logged) == (None, 1)
    assert heads_in(tmp_path / "nowhere") == {}
