"""`holdfast reconcile`: silent on sound books, also under load; finds every kind of tampering."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from authz import keys
from authz.reconcile import Difference
from authz.reconcile_flow import Books, Reconciler, drain
from authz.reconcile_store import open_store
from runtime import redis
from runtime.clock import SystemClock
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.cli.conftest import Cardholder, Holdfast, capture, purchase

_TAG = "0a"


@pytest.fixture
async def valkey(full_mesh: Devstack) -> AsyncIterator[Redis]:
    """The money Valkey, as the user who may do everything."""
    settings = full_mesh.settings
    url = settings.redis_url or ""
    async with redis.client(settings, url, server="valkey-money", user="test") as client:
        yield client


@pytest.fixture
async def ledger(full_mesh: Devstack) -> AsyncIterator[asyncpg.Connection]:
    """The ledger, as its owner."""
    connection = await asyncpg.connect(full_mesh.owner_dsn)
    await connection.execute("SET search_path TO authz")
    yield connection
    await connection.close()


@pytest.fixture
async def used(mesh: MeshClient, cardholder: Cardholder, full_mesh: Devstack) -> Cardholder:
    """A cardholder with 30.00 posted and 20.00 held, all settled."""
    held = await purchase(mesh, cardholder.card_id, 5_000)
    await capture(mesh, held.authorization_id, 3_000)
    async with open_store(full_mesh.settings) as store:
        assert await drain(store, timeout_s=10) == 0
    return cardholder


async def _reconcile(stack: Devstack, *, timeout_s: float = 10) -> tuple[Books, list[Difference]]:
    found: list[Difference] = []
    async with open_store(stack.settings) as store:
        books = await Reconciler(
            store,
            clock=SystemClock(),
            settle_timeout_s=timeout_s,
            on_difference=found.append,
        ).run()
    assert books.differences == len(found)
    return books, found


async def _fields(stack: Devstack, subject: str) -> set[tuple[str, str]]:
    """(field, compared) of the differences, which all are of one subject."""
    _, found = await _reconcile(stack, timeout_s=0.5)
    assert {one.subject for one in found} <= {subject}
    return {(one.field, one.compared) for one in found}


async def test_sound_books_under_load(
    mesh: MeshClient, cardholder: Cardholder, full_mesh: Devstack
) -> None:
    """Goal: every account is compared and nothing differs while one is used without a pause.

    Method: eight terminals on one card, each capturing half of its purchases, during three runs.
    """
    stop = asyncio.Event()

    async def shop() -> None:
        while not stop.is_set():
            held = await purchase(mesh, cardholder.card_id, 3)
            await capture(mesh, held.authorization_id, 1)
            held = await purchase(mesh, cardholder.card_id, 2)
            await capture(mesh, held.authorization_id, 2)

    terminals = [asyncio.create_task(shop()) for _ in range(8)]
    try:
        for _ in range(3):
            books, found = await _reconcile(full_mesh)
            assert found == []
            assert books.accounts > 0
    finally:
        stop.set()
        await asyncio.gather(*terminals)


@pytest.mark.parametrize("field", ["limit", "posted", "held", "unreleased"])
async def test_a_cent_in_valkey(
    used: Cardholder, valkey: Redis, full_mesh: Devstack, field: str
) -> None:
    """Goal: one cent in any field of one account is found, and nothing else."""
    key = keys.account(used.account_id)
    await valkey.hincrby(key, field, 1)
    found = await _fields(full_mesh, used.account_id)
    await valkey.hincrby(key, field, -1)
    assert (f"{field}_minor", "Valkey / ledger") in found
    assert (("held_minor", "Valkey / its open holds") in found) == (field == "held")
    assert (await _reconcile(full_mesh))[1] == []


async def test_a_cent_in_a_hold(used: Cardholder, valkey: Redis, full_mesh: Devstack) -> None:
    """Goal: the holds are summed, not believed."""
    members: Any = await valkey.zrange(keys.expiry(_TAG), 0, -1)
    (hold,) = [key for key in members if await valkey.hget(key, "acct") == used.account_id.encode()]
    await valkey.hincrby(hold, "h", 1)
    found = await _fields(full_mesh, used.account_id)
    await valkey.hincrby(hold, "h", -1)
    assert found == {("held_minor", "Valkey / its open holds")}


async def test_a_hold_without_its_hash(valkey: Redis, full_mesh: Devstack) -> None:
    """Goal: what is to expire must be there."""
    await valkey.zadd(keys.expiry(_TAG), {f"{{{_TAG}}}:hold:{_TAG}none": 1})
    found = await _fields(full_mesh, f"auth_{_TAG}none")
    await valkey.zrem(keys.expiry(_TAG), f"{{{_TAG}}}:hold:{_TAG}none")
    assert found == {("hold", "Valkey / its expiry index")}


async def test_an_account_that_one_side_lacks(
    used: Cardholder, valkey: Redis, full_mesh: Devstack
) -> None:
    """Goal: an account of Valkey alone, and one that Valkey lost."""
    key = keys.account(used.account_id)
    other = f"acct_{_TAG}{'0' * 32}"
    await valkey.copy(key, keys.account(other))
    assert await _fields(full_mesh, other) == {("account", "Valkey / ledger")}
    await valkey.delete(key)
    await valkey.rename(keys.account(other), key)
    await valkey.copy(key, "kept")
    await valkey.delete(key)
    found = await _fields(full_mesh, used.account_id)
    await valkey.rename("kept", key)
    assert ("account", "Valkey / ledger") in found
    assert (await _reconcile(full_mesh))[1] == []


@pytest.mark.parametrize("by", [1, -1])
async def test_a_seq_that_is_wrong(
    used: Cardholder, valkey: Redis, full_mesh: Devstack, by: int
) -> None:
    """Goal: ahead of all entries and behind the last one are differences, and end the waiting."""
    key = keys.account(used.account_id)
    await valkey.hincrby(key, "seq", by)
    found = await _fields(full_mesh, used.account_id)
    await valkey.hincrby(key, "seq", -by)
    assert found == {("seq", "Valkey / ledger")}


@pytest.mark.parametrize(
    ("table", "change", "compared"),
    [
        ("account_balance", "posted_minor = posted_minor {} 1", "account_balance / its entries"),
        ("account_balance", "posted_minor = posted_minor {} 1", "account_balance / its lines"),
        (
            "account_balance",
            "held_minor = held_minor {} 1",
            "account_balance / its authorizations",
        ),
        ("account_balance", "seq = seq {} 100", "account_balance / its entries"),
        (
            "card_authorization",
            "held_minor = held_minor {} 1",
            "account_balance / its authorizations",
        ),
        ("journal_entry", "held_minor = held_minor {} 1", "Valkey / ledger"),
    ],
)
async def test_a_cent_in_the_ledger(
    used: Cardholder,
    ledger: asyncpg.Connection,
    full_mesh: Devstack,
    *,
    table: str,
    change: str,
    compared: str,
) -> None:
    """Goal: the ledger is checked against itself, table by table."""
    for sign in ("+", "-"):
        await ledger.execute(
            f"UPDATE {table} SET {change.format(sign)} WHERE account_id = $1", used.account_id
        )
        if sign == "+":
            found = await _fields(full_mesh, used.account_id)
            assert compared in {one for _, one in found}
    assert (await _reconcile(full_mesh))[1] == []


async def test_a_cent_in_a_line_or_a_total(
    used: Cardholder, ledger: asyncpg.Connection, full_mesh: Devstack
) -> None:
    """Goal: lines of an entry sum to zero, and totals are the sum of their lines."""
    line = "UPDATE journal_line SET amount_minor = amount_minor + $2 WHERE account_id = $1"
    line += " AND ledger_account = 'network_clearing'"
    await ledger.execute(line, used.account_id, 1)
    _, found = await _reconcile(full_mesh)
    await ledger.execute(line, used.account_id, -1)
    assert {one.compared for one in found} == {
        "lines of an entry / zero",
        "ledger_total / lines",
    }
    total = "UPDATE ledger_total SET debit_minor = debit_minor + $1 WHERE partition = 10"
    await ledger.execute(f"{total} AND ledger_account = 'receivable.purchase'", 1)
    _, found = await _reconcile(full_mesh)
    await ledger.execute(f"{total} AND ledger_account = 'receivable.purchase'", -1)
    assert [(one.field, one.compared) for one in found] == [("debit_minor", "ledger_total / lines")]
    assert (await _reconcile(full_mesh))[1] == []


async def test_an_entry_that_is_gone(
    used: Cardholder, ledger: asyncpg.Connection, full_mesh: Devstack
) -> None:
    """Goal: a gap in the numbers of partition and account."""
    transaction = ledger.transaction()
    await transaction.start()
    rows = await ledger.fetch(
        "DELETE FROM journal_entry WHERE account_id = $1 AND type = 'A' RETURNING *",
        used.account_id,
    )
    await transaction.commit()
    _, found = await _reconcile(full_mesh)
    await ledger.copy_records_to_table("journal_entry", records=[tuple(rows[0].values())])
    assert {(one.subject, one.field) for one in found} == {
        ("partition 10", "entries"),
        (used.account_id, "entries"),
    }
    assert (await _reconcile(full_mesh))[1] == []


async def test_the_command(
    holdfast: Holdfast, used: Cardholder, valkey: Redis, full_mesh: Devstack, tmp_path: Path
) -> None:
    """Goal: exit codes, the table, the JSON and the CSV of a difference."""
    home = str(full_mesh.settings.home)
    ended = await holdfast("reconcile", "--home", home, "--json")
    assert ended.code == 0
    document = json.loads(ended.stdout)
    assert document["differences"] == 0
    assert document["shown"] == []
    key = keys.account(used.account_id)
    await valkey.hincrby(key, "posted", 1)
    path = tmp_path / "differences.csv"
    shown = await holdfast("reconcile", "--home", home, "--csv", str(path))
    as_json = await holdfast("reconcile", "--home", home, "--json")
    await valkey.hincrby(key, "posted", -1)
    assert shown.code == as_json.code == 1
    assert "books do NOT balance" in shown.stdout
    assert "posted_minor" in shown.stdout
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert (row["subject"], row["field"]) == (used.account_id, "posted_minor")
    assert (row["found"], row["expected"]) == ("3001", "3000")
    assert json.loads(as_json.stdout)["shown"] == [row]


async def test_nothing_runs(holdfast: Holdfast, tmp_path: Path) -> None:
    """Goal: exit 3, and what to do."""
    ended = await holdfast("reconcile", "--home", str(tmp_path / "none"))
    assert ended.code == 3
    assert "holdfast up" in ended.stderr
