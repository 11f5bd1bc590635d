"""`holdfast audit archive`: what is moved out of the database still proves itself, and a chain that
was cut off does not pass for one that was archived.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from runtime.audit.archive import ArchiveError, Part, archive, read_archive
from runtime.audit.entry import AuditEntry
from runtime.audit.log import SQL, columns, seal
from runtime.audit.verify import Chain, verify
from tests.databases import Database

KEY = b"a key of the tests"
OLD = datetime(2025, 1, 1, tzinfo=UTC)


async def _add(accounts: Any, log_owner: Any, *names: str, days: int = 0) -> None:
    """Entries of a day, sealed."""
    for name in names:
        entry = AuditEntry(
            actor=name,
            roles=("admin",),
            peer="",
            method="/m",
            targets=("acct_1",),
            request_id=name,
            trace_id="",
            after={"limit": {"amount_minor": 1}, "name": "[redacted]"},
        )
        await accounts.execute(SQL["write_entry"], *columns(entry))
        await log_owner.execute(
            "UPDATE audit.entry SET record_time = $2 WHERE request_id = $1",
            name,
            OLD + timedelta(days=days),
        )
    await seal(accounts, KEY)


async def _archived(log_owner: Any, *, days: int) -> tuple[list[Part], str]:
    file = io.StringIO()
    async with log_owner.transaction(isolation="repeatable_read"):
        parts = await archive(log_owner, file, key=KEY, before=OLD + timedelta(days=days))
    return parts, file.getvalue()


async def _chain(database: Database) -> Chain:
    reader = await asyncpg.connect(database.dsn("gateway"))
    try:
        (chain,) = await verify(reader, key=KEY)
    finally:
        await reader.close()
    return chain


async def test_what_is_moved_proves_itself_and_the_chain_goes_on(
    database: Database, accounts: Any, log_owner: Any
) -> None:
    await _add(accounts, log_owner, "a", "b")
    await _add(accounts, log_owner, "c", days=1)
    parts, first = await _archived(log_owner, days=1)
    assert [(one.first, one.last) for one in parts] == [(1, 2)]
    assert list(read_archive(io.StringIO(first), key=KEY)) == parts
    left = await _chain(database)
    assert (left.fault, left.archived, left.links) == (None, 2, 1)
    # The end of a chain stays, however old it is.
    assert await _archived(log_owner, days=99) == ([], "")
    await _add(accounts, log_owner, "d", "e", days=2)
    parts, second = await _archived(log_owner, days=99)
    assert [(one.first, one.last) for one in parts] == [(3, 4)]
    # Several files are one chain.
    both = list(read_archive(io.StringIO(first + second), key=KEY))
    assert [(one.first, one.last, one.fault) for one in both] == [(1, 2, ""), (3, 4, "")]
    left = await _chain(database)
    assert (left.fault, left.archived, left.links) == (None, 4, 1)


async def test_changes_of_a_file_are_found(accounts: Any, log_owner: Any) -> None:
    await _add(accounts, log_owner, "a", "b", "c", "d")
    _, text = await _archived(log_owner, days=1)
    lines = text.splitlines()
    assert [json.loads(line).get("number") for line in lines] == [None, 1, 2, 3]
    for changed, wrong in (
        ([lines[0], lines[1], lines[2].replace('"b"', '"x"'), lines[3]], "link 2: the entry"),
        ([lines[0], lines[1], lines[3]], "link 2 is missing: the next is 3"),
        ([lines[0].replace("00", "01", 1), *lines[1:]], "link 1: the entry"),
    ):
        (part,) = read_archive(io.StringIO("\n".join(changed)), key=KEY)
        assert part.fault.startswith(wrong)
    (part,) = read_archive(io.StringIO(text), key=b"another key")
    assert part.fault


async def test_who_owns_the_database_cannot_pass_a_cut_for_an_archive(
    database: Database, accounts: Any, log_owner: Any
) -> None:
    """Goal: without the key nobody moves the beginning of a chain. Method: the mark of what is
    archived is moved on, and what is before it removed.
    """
    await _add(accounts, log_owner, "a", "b", "c", "d")
    await _archived(log_owner, days=1)
    await _add(accounts, log_owner, "e", "f", days=2)
    await log_owner.execute(
        "UPDATE audit.archived SET number = l.number, hash = l.hash FROM audit.link AS l"
        " WHERE l.number = 4"
    )
    await log_owner.execute("DELETE FROM audit.link WHERE number <= 4")
    fault = (await _chain(database)).fault
    assert fault is not None
    assert fault.what == "what is archived was not sealed"
    with pytest.raises(ArchiveError, match="was not sealed"):
        await _archived(log_owner, days=99)


async def test_a_chain_that_is_broken_stays_where_it_is(accounts: Any, log_owner: Any) -> None:
    await _add(accounts, log_owner, "a", "b", "c")
    await log_owner.execute("UPDATE audit.entry SET actor = 'x' WHERE request_id = 'b'")
    with pytest.raises(ArchiveError, match="the entry or its link was changed"):
        await _archived(log_owner, days=99)
    assert await log_owner.fetchval("SELECT count(*) FROM audit.entry") == 3
    for connection in (accounts,):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT * FROM audit.archived")
