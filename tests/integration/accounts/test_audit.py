"""The audit log of accounts: every mutation has its entry, nobody can change one unnoticed."""

from __future__ import annotations

import errno
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import pytest
from structlog.testing import capture_logs

from holdfast.accounts.v1 import account_service_pb2 as pb
from holdfast.accounts.v1 import card_service_pb2
from runtime.audit.log import SQL
from runtime.audit.spool import SpoolFile
from runtime.audit.verify import Chain, verify
from runtime.metrics import AUDIT_UNWRITTEN
from tests.accounts_mesh import (
    SEAL_KEY,
    UNKNOWN_CARD,
    AccountsMesh,
    call,
    call_replayed,
    refused,
    usd,
)
from tests.databases import Database, connected

CALLER = (("x-request-id", "trace-1"), ("x-forwarded-for", "203.0.113.9, 198.51.100.7"))


@pytest.fixture
async def owner(accounts_database: Database) -> AsyncIterator[Any]:
    """A connection of the database's owner, who may do everything."""
    connection = await asyncpg.connect(accounts_database.owner_dsn)
    await connection.execute("TRUNCATE audit.entry, audit.link, audit.unsealed RESTART IDENTITY")
    yield connection
    await connection.close()


@asynccontextmanager
async def gateway(database: Database) -> AsyncIterator[Any]:
    """Gateway's login: it reads the entries of all services."""
    connection = await asyncpg.connect(database.dsn("gateway"))
    yield connection
    await connection.close()


async def verified(database: Database) -> Chain:
    async with gateway(database) as connection:
        [chain] = await verify(connection, key=SEAL_KEY.encode())
    return chain


async def entries(owner: Any) -> list[Any]:
    rows: list[Any] = await owner.fetch("SELECT * FROM audit.entry ORDER BY id")
    return rows


async def test_a_change_is_recorded_with_before_and_after(mesh: AccountsMesh, owner: Any) -> None:
    """Who, from where, what, on what, and what it was before: also of a repetition, once each."""
    account = await mesh.open_account(limit_minor=100)
    request = pb.UpdateCreditLimitRequest(
        request_id="raise-1", account_id=account.id, credit_limit=usd(500)
    )
    await call(mesh.accounts.UpdateCreditLimit, request, metadata=CALLER)
    _, replayed = await call_replayed(mesh.accounts.UpdateCreditLimit, request)
    assert replayed

    opened, changed, repeated = await entries(owner)
    assert opened["before"] is None
    assert account.id in opened["targets"]
    assert (changed["service"], changed["actor"], changed["peer"]) == (
        "accounts", "tester", "198.51.100.7",
    )  # fmt: skip
    assert changed["method"] == "/holdfast.accounts.v1.AccountService/UpdateCreditLimit"
    assert (changed["request_id"], changed["trace_id"]) == ("raise-1", "trace-1")
    assert (changed["code"], changed["reason"]) == ("OK", "")
    before, after = (json.loads(changed[name])["credit_limit"] for name in ("before", "after"))
    assert (before["amount_minor"], after["amount_minor"]) == (100, 500)
    assert (repeated["code"], repeated["reason"], repeated["after"]) == ("OK", "REPLAYED", None)


async def test_refusals_are_recorded_and_reads_are_not(mesh: AccountsMesh, owner: Any) -> None:
    account = await mesh.open_account(limit_minor=100)
    await call(mesh.accounts.GetAccount, pb.GetAccountRequest(account_id=account.id))
    unknown = card_service_pb2.FreezeCardRequest(request_id="freeze-1", card_id=UNKNOWN_CARD)
    await refused(mesh.cards.FreezeCard, unknown, metadata=CALLER)
    wrong = card_service_pb2.FreezeCardRequest(
        request_id="ada@example.com", card_id="4111111111111111"
    )
    await refused(mesh.cards.FreezeCard, wrong)

    _, missing, malformed = await entries(owner)
    assert (missing["code"], missing["reason"]) == ("NOT_FOUND", "CARD_NOT_FOUND")
    assert missing["targets"] == [UNKNOWN_CARD]
    assert missing["trace_id"] == "trace-1"
    assert malformed["code"] == "INVALID_ARGUMENT"
    assert (malformed["request_id"], malformed["targets"]) == ("", []), "kept for good otherwise"


async def test_an_entry_goes_with_its_transaction(impatient_mesh: AccountsMesh, owner: Any) -> None:
    """A change whose answer is unknown has two entries: the change, and what was answered."""
    impatient_mesh.authorizer.refusing = True
    request = pb.OpenAccountRequest(
        request_id="open-1", owner_id="co_0a" + "1" * 32, credit_limit=usd(1)
    )
    await refused(impatient_mesh.accounts.OpenAccount, request)
    changed, answered = await entries(owner)
    assert (changed["code"], answered["code"]) == ("OK", "UNAVAILABLE")
    assert answered["reason"] == "OUTCOME_UNKNOWN"


async def test_the_projection_carries_the_trace_id(mesh: AccountsMesh) -> None:
    """What a client's call causes behind the outbox is found under the client's id."""
    request = pb.OpenAccountRequest(
        request_id="open-1", owner_id="co_0a" + "1" * 32, credit_limit=usd(1)
    )
    await call(mesh.accounts.OpenAccount, request, metadata=CALLER)
    assert mesh.authorizer.trace_ids == ["trace-1"]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE audit.entry SET actor = 'somebody' WHERE id = 2", "was changed"),
        ("UPDATE audit.entry SET after = NULL WHERE id = 2", "was changed"),
        ("UPDATE audit.entry SET record_time = now() WHERE id = 2", "was changed"),
        ("DELETE FROM audit.entry WHERE id = 2", "is gone"),
        ("DELETE FROM audit.link WHERE entry_id = 2", "link 2 is missing"),
        ("UPDATE audit.link SET hash = sha256('') WHERE entry_id = 2", "was changed"),
    ],
)
async def test_verify_names_the_first_bad_row(
    mesh: AccountsMesh, accounts_database: Database, owner: Any, statement: str, what: str
) -> None:
    for _ in range(3):
        await mesh.open_account(limit_minor=100)
    assert await mesh.audit.seal() == 3
    await mesh.open_account(limit_minor=100)
    assert await mesh.audit.seal() == 1
    good = await verified(accounts_database)
    assert (good.service, good.links, good.waiting, good.fault) == ("accounts", 4, 0, None)

    await owner.execute(statement)
    bad = await verified(accounts_database)
    assert bad.fault is not None
    assert what in bad.fault.what
    assert bad.fault.number == 2
    assert bad.fault.entry_id == (3 if "missing" in what else 2)


async def test_an_entry_that_was_never_sealed_is_found(
    mesh: AccountsMesh, accounts_database: Database, owner: Any
) -> None:
    """Whoever takes an entry from the list of those that wait, does not take it from the log."""
    await mesh.open_account(limit_minor=100)
    await mesh.pool.execute("DELETE FROM audit.unsealed")
    assert await mesh.audit.seal() == 0
    fresh = await verified(accounts_database)
    assert (fresh.waiting, fresh.fault) == (1, None)
    await owner.execute("UPDATE audit.entry SET record_time = record_time - interval '2 minutes'")
    late = await verified(accounts_database)
    assert late.fault is not None
    assert late.fault.what == "was never sealed"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit.entry SET actor = ''",
        "DELETE FROM audit.entry",
        "TRUNCATE audit.entry",
        "UPDATE audit.link SET number = 9",
        "DELETE FROM audit.link",
        "DROP TABLE audit.link",
        "ALTER TABLE audit.entry DISABLE ROW LEVEL SECURITY",
        "DROP SCHEMA audit CASCADE",
        "INSERT INTO audit.link (service, number, entry_id, hash) VALUES ('gateway', 1, 1, '')",
    ],
)
async def test_a_service_can_only_add(mesh: AccountsMesh, owner: Any, statement: str) -> None:
    """Its role may neither change nor remove a row, nor speak for another service."""
    del owner
    await mesh.open_account(limit_minor=100)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await mesh.pool.execute(statement)


async def test_a_service_sees_its_own_entries_only(
    mesh: AccountsMesh, accounts_database: Database, owner: Any
) -> None:
    """Gateway's login sees all: `holdfast audit` reads with it. The vault's has no access."""
    del owner
    empty: list[Any] = []
    row = ("me", empty, "", "/m", empty, "", "", "OK", "", None, None)
    async with (
        connected(accounts_database.dsn("authz")) as authz,
        gateway(accounts_database) as connection,
    ):
        await connection.execute(SQL["write_entry"], *row)
        assert await mesh.pool.fetchval("SELECT count(*) FROM audit.entry") == 0
        for other in (mesh.pool, authz):
            await other.execute(SQL["write_entry"], *row)
        rows = await connection.fetch("SELECT service FROM audit.entry ORDER BY id")
        assert [one["service"] for one in rows] == ["gateway", "accounts", "authz"]
        for other, name in ((mesh.pool, "accounts"), (authz, "authz")):
            assert await other.fetchval("SELECT service FROM audit.entry") == name
    async with connected(accounts_database.dsn("vault")) as vault:
        for statement in (
            "SELECT FROM audit.entry",
            "INSERT INTO audit.unsealed (entry_id) VALUES (1)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await vault.execute(statement)


async def test_what_postgresql_cannot_take_is_in_the_log(
    mesh: AccountsMesh, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the disk: a refusal is never lost silently, its whole entry is logged and counted."""
    before = AUDIT_UNWRITTEN._value.get()

    def full(_: SpoolFile, __: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(SpoolFile, "append", full)
    await owner.execute("REVOKE INSERT ON audit.entry FROM holdfast_accounts")
    try:
        with capture_logs() as logs:
            answer = await refused(
                mesh.cards.FreezeCard,
                card_service_pb2.FreezeCardRequest(request_id="freeze-1", card_id=UNKNOWN_CARD),
                metadata=CALLER,
            )
    finally:
        await owner.execute("GRANT INSERT ON audit.entry TO holdfast_accounts")
    assert answer.code == grpc.StatusCode.NOT_FOUND
    [line] = [one for one in logs if one["event"] == "audit_entry_unwritten"]
    assert line["entry"]["targets"] == (UNKNOWN_CARD,)
    assert line["entry"]["trace_id"] == "trace-1"
    assert AUDIT_UNWRITTEN._value.get() == before + 1
