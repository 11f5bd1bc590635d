"""An auditor: settles everything, then compares Valkey, the ledger's balances and its lines."""

from __future__ import annotations

from typing import Any

import asyncpg
from google.protobuf.message import Message

from authz import keys
from tests.authz_checks import answered, expire_records, nothing_written, refused
from tests.authz_mesh import NETWORK, AuthzMesh

OWED = ("receivable.purchase", "receivable.cash", "receivable.fee", "receivable.interest")


async def audit(mesh: AuthzMesh, *account_ids: str) -> None:
    """Everything that must be true of the books, whatever has happened."""
    await mesh.settle()
    await _books_balance(mesh.ledger)
    for account_id in account_ids:
        row = await mesh.ledger.fetchrow(
            "SELECT * FROM account_balance WHERE account_id = $1", account_id
        )
        assert row is not None
        await _valkey_agrees(mesh, row)
        await _ledger_agrees(mesh.ledger, row)


async def _books_balance(ledger: asyncpg.Connection) -> None:
    """Every entry's lines sum to zero, and the running totals are those of the lines."""
    unbalanced = await ledger.fetch(
        "SELECT partition, pseq FROM journal_line GROUP BY partition, pseq, currency"
        " HAVING sum(amount_minor) <> 0"
    )
    assert not unbalanced
    totals = await ledger.fetch(
        "SELECT currency, ledger_account, sum(debit_minor) - sum(credit_minor) AS balance"
        " FROM ledger_total GROUP BY 1, 2 HAVING sum(debit_minor) <> sum(credit_minor)"
        " ORDER BY 1, 2"
    )
    lines = await ledger.fetch(
        "SELECT currency, ledger_account, sum(amount_minor) AS balance FROM journal_line"
        " GROUP BY 1, 2 HAVING sum(amount_minor) <> 0 ORDER BY 1, 2"
    )
    assert [tuple(row) for row in totals] == [tuple(row) for row in lines]


async def _valkey_agrees(mesh: AuthzMesh, row: asyncpg.Record) -> None:
    """At equal seq, Valkey has the ledger's balance, and open holds are the indexed ones."""
    found: list[Any] = await mesh.money.hmget(
        keys.account(row["account_id"]), "seq", "limit", "posted", "held", "unreleased"
    )
    names = ("seq", "limit_minor", "posted_minor", "held_minor", "unreleased_minor")
    assert [int(value) for value in found] == [row[name] for name in names]
    for hold in await mesh.ledger.fetch(
        "SELECT * FROM card_authorization WHERE account_id = $1", row["account_id"]
    ):
        key = keys.hold(hold["id"])
        stored: list[Any] = await mesh.money.hmget(key, "a", "r", "c", "h", "b", "flags")
        if stored[0] is None:  # its retention is over
            assert hold["held_minor"] == 0
            continue
        columns = ("approved", "reversed", "captured", "held", "refunded")
        assert [int(value) for value in stored[:5]] == [hold[f"{name}_minor"] for name in columns]
        assert stored[5].decode() == hold["flags"]
        indexed = await mesh.money.zscore(keys.expiry(hold["id"][5:7]), key)
        assert (indexed is not None) == (hold["held_minor"] > 0)


async def _ledger_agrees(ledger: asyncpg.Connection, row: asyncpg.Record) -> None:
    """The balance is the sum of its parts: lines, open holds, unreleased payments, entries."""
    account_id = row["account_id"]
    posted = await ledger.fetchval(
        "SELECT coalesce(sum(amount_minor), 0) FROM journal_line"
        " WHERE account_id = $1 AND ledger_account = ANY($2)",
        account_id,
        [*OWED, "customer_credit"],
    )
    assert posted == row["posted_minor"]
    credit = await ledger.fetchval(
        "SELECT coalesce(sum(amount_minor), 0) FROM journal_line"
        " WHERE account_id = $1 AND ledger_account = 'customer_credit'",
        account_id,
    )
    assert credit == min(posted, 0), "the issuer owes exactly what is overpaid"
    held = await ledger.fetchval(
        "SELECT coalesce(sum(held_minor), 0) FROM card_authorization WHERE account_id = $1",
        account_id,
    )
    assert held == row["held_minor"]
    unreleased = await ledger.fetchval(
        "SELECT coalesce(sum(amount_minor), 0) FROM payment"
        " WHERE account_id = $1 AND state = 'CREDITED'",
        account_id,
    )
    assert unreleased == row["unreleased_minor"]
    entries = await ledger.fetchrow(
        "SELECT count(*) AS n, max(seq) AS last FROM journal_entry WHERE account_id = $1",
        account_id,
    )
    assert entries["n"] == entries["last"] == row["seq"]


async def lines_of(mesh: AuthzMesh, account_id: str, kind: str) -> list[tuple[str, int]]:
    """The money lines of an account's settled entries of one type, in order."""
    rows = await mesh.ledger.fetch(
        "SELECT l.ledger_account, l.amount_minor FROM journal_line l"
        " JOIN journal_entry e USING (partition, pseq)"
        " WHERE e.account_id = $1 AND e.type = $2 ORDER BY e.pseq, l.line",
        account_id,
        kind,
    )
    return [tuple(row) for row in rows]


async def repeats(
    mesh: AuthzMesh,
    method: Any,
    request: Message,
    altered: Message,
    *,
    metadata: Any = NETWORK,
) -> Any:
    """Sends a request for the first time; returns its answer. Repeated it is the same byte for byte
    and writes nothing, under other content its id is refused: while Valkey remembers, and later.
    """
    first, stored = await answered(method, request, metadata=metadata)
    assert not stored
    for _ in range(2):
        async with nothing_written(mesh.money):
            again, stored = await answered(method, request, metadata=metadata)
            assert stored
            assert again.SerializeToString() == first.SerializeToString()
            error = await refused(method, altered, metadata=metadata)
            assert (error.code.name, error.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
        await mesh.settle()
        await expire_records(mesh.money, "req", "clr")
    return first
