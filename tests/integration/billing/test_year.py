"""A year of an account on a real ledger: its statements, its tape and the ledger say the same."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from accounts.billing.calendar import ends_ms
from holdfast.accounts.v1 import statement_service_pb2 as rpc
from runtime.clock import datetime_of
from tests.billing_mesh import ZONE, BillingMesh, credit_terms

#: Day and hour (UTC), what happens, and how much.
YEAR = (
    ("2027-02-01", "buys", 100_000),
    ("2027-03-12", "pays", 100_000),
    ("2027-03-20", "buys", 60_000),
    ("2027-05-10", "pays", 10_000),
    ("2027-05-20", "buys", 30_000),
    ("2027-06-11", "pays", 3_500),
    ("2027-06-13", "returned", 0),
    ("2027-07-05", "pays", 20_000),
    ("2027-08-20", "gives back", 5_000),
    ("2027-11-20", "pays", 200_000),
    ("2027-12-28", "buys", 12_345),
    ("2028-02-29", "buys", 7_000),
)


async def test_a_year_of_statements_is_the_ledger(billing: BillingMesh) -> None:
    """Every entry on one statement; closing balances follow one another; the tape of every day has
    the ledger's balance, and comes out the same when all of it is made again.
    """
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    idle, _ = await billing.open_account()
    payment = ""
    for day, what, amount_minor in YEAR:
        await billing.until(day)
        if what == "buys":
            await billing.buy(card, amount_minor)
        elif what == "pays":
            payment = await billing.pay(account, amount_minor)
        elif what == "returned":
            await billing.give_back(account, payment)
        else:
            await billing.adjust(account, amount_minor)
        await _taped(billing)
    await billing.until("2028-03-16")
    await _taped(billing)
    await _check_statements(billing, account)
    assert await _numbers(billing, idle) == []
    rows = await _tape(billing)
    days = sorted({row["day"] for row in rows})
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]
    assert days[-1] == date(2028, 3, 14)
    assert {row["version"] for row in rows} == {1}
    await _check_balances(billing, account, rows)
    await _rebuilt(billing, rows, days)


async def _check_statements(billing: BillingMesh, account: str) -> None:
    owed, lines = 0, list[str]()
    for number in await _numbers(billing, account):
        request = rpc.GetStatementRequest(account_id=account, number=number)
        found = await billing.parts.service.GetStatement(request, None)  # type: ignore[arg-type]
        statement = found.statement
        assert statement.opening_balance.amount_minor == owed
        owed += sum(line.amount.amount_minor for line in found.lines)
        assert statement.closing_balance.amount_minor == owed
        assert 0 <= statement.minimum_payment.amount_minor <= max(owed, 0)
        assert all(one.amount.amount_minor >= 0 for one in statement.interest_charges)
        lines += [line.entry_id for line in found.lines]
    assert owed == await billing.posted_minor(account)
    entries = await billing.authz.ledger.fetch(
        "SELECT id FROM journal_entry WHERE account_id = $1 AND type IN"
        " ('C', 'F', 'P', 'N', 'O', 'Y', 'W', 'X', 'B', 'T', 'M', 'Q', 'b', 'r')",
        account,
    )
    assert sorted(lines) == sorted(row["id"] for row in entries)


async def _check_balances(billing: BillingMesh, account: str, rows: list[Any]) -> None:
    zone = ZoneInfo(ZONE)
    for row in (one for one in rows if one["account_id"] == account):
        body = json.loads(row["body"])
        posted: int | None = await billing.authz.ledger.fetchval(
            "SELECT posted_minor FROM journal_entry WHERE account_id = $1 AND recorded_time < $2"
            " ORDER BY seq DESC LIMIT 1",
            account,
            datetime_of(ends_ms(row["day"], zone)),
        )
        assert body["balance_minor"] == posted, body
        parts = ("purchases", "cash_advances", "fees", "interest")
        total = sum(body[f"{name}_minor"] for name in parts)
        assert total - body["credit_balance_minor"] == body["balance_minor"]
        assert 0 <= body["past_due_minor"] <= body["minimum_due_minor"]


async def _rebuilt(billing: BillingMesh, rows: list[Any], days: list[date]) -> None:
    """The same bytes, whether the old rows are there or not."""
    now_ms = billing.clock.now_ms()
    for day in days[::29]:
        found = await billing.parts.taper.compare(day, now_ms=now_ms)
        assert (found.added, found.changed, found.waiting) == (0, 0, 0), found
    await billing.pool.execute("TRUNCATE loan_tape, loan_tape_day")
    for day in days:
        await billing.parts.taper.write(day, now_ms=now_ms, again=True)
    assert [tuple(row) for row in await _tape(billing)] == [tuple(row) for row in rows]
    await billing.pool.execute(
        "UPDATE loan_tape SET body = replace(body, 'STANDARD', 'PENALTY') WHERE day = $1", days[9]
    )
    found = await billing.parts.taper.compare(days[9], now_ms=now_ms)
    assert (found.changed, len(found.examples)) == (2, 2)
    await billing.parts.taper.write(days[9], now_ms=now_ms, again=True)
    versions = await billing.pool.fetch("SELECT version FROM loan_tape WHERE day = $1", days[9])
    assert sorted(row["version"] for row in versions) == [1, 1, 2, 2]


async def _taped(billing: BillingMesh) -> None:
    await billing.parts.taper.write_due()


async def _tape(billing: BillingMesh) -> list[Any]:
    return list(
        await billing.pool.fetch(
            "SELECT day, account_id, version, body FROM loan_tape ORDER BY day, account_id, version"
        )
    )


async def _numbers(billing: BillingMesh, account: str) -> list[int]:
    request = rpc.ListStatementsRequest(account_id=account, page_size=100)
    answer = await billing.parts.service.ListStatements(request, None)  # type: ignore[arg-type]
    return [one.number for one in reversed(answer.statements)]
