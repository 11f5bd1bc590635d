"""Accounts that do not pay, to the end; and what staff gives back, on a real ledger."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from accounts.billing.waiver import Kind, Waive
from accounts.billing.waivers import Refused, Waivers
from holdfast.accounts.v1 import statement_pb2 as statements
from holdfast.accounts.v1 import statement_service_pb2 as rpc
from tests.billing_mesh import BillingMesh, credit_terms


async def _summary(billing: BillingMesh, account_id: str) -> statements.BillingSummary:
    request = rpc.GetBillingSummaryRequest(account_id=account_id)
    answer = await billing.parts.service.GetBillingSummary(request, None)  # type: ignore[arg-type]
    return answer.summary


async def _lines(billing: BillingMesh, account_id: str, number: int) -> list[tuple[str, int]]:
    request = rpc.GetStatementRequest(account_id=account_id, number=number)
    answer = await billing.parts.service.GetStatement(request, None)  # type: ignore[arg-type]
    return [(line.description, line.amount.amount_minor) for line in answer.lines]


async def _state(billing: BillingMesh, account_id: str) -> str:
    account = await billing.store.account(account_id)
    assert account is not None
    return account.state


async def _balances(billing: BillingMesh, account: str) -> dict[str, int]:
    """What the ledger's accounts have of a customer's, where that is not nothing."""
    rows = await billing.authz.ledger.fetch(
        "SELECT l.ledger_account, sum(l.amount_minor)::bigint AS minor FROM journal_line l"
        " JOIN journal_entry e ON (e.partition, e.pseq) = (l.partition, l.pseq)"
        " WHERE e.account_id = $1 AND l.ledger_account IN ('charge_off', 'recovery')"
        " GROUP BY 1",
        account,
    )
    return {row["ledger_account"]: row["minor"] for row in rows}


async def _told(billing: BillingMesh, account: str) -> dict[str, list[Any]]:
    """Data of the account's events, by type."""
    rows = await billing.pool.fetch(
        "SELECT type, data FROM event WHERE account_id = $1 ORDER BY id", account
    )
    found = defaultdict[str, list[Any]](list)
    for row in rows:
        found[row["type"]].append(json.loads(row["data"]))
    return found


def _amounts(told: list[Any]) -> list[tuple[int, int]]:
    return [(one["amount"]["amount_minor"], one["charged_off"]["amount_minor"]) for one in told]


async def test_who_pays_nothing_is_charged_off_and_may_still_pay(billing: BillingMesh) -> None:
    """Due on 12 March, charged off on 8 September: the book says nothing is owed, the loss is what
    was. Of 1,000.00 that are paid later all is recovered; a payment that comes back is lost again;
    what is paid beyond the debt is the customer's.
    """
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.buy(card, 100_000)
    await billing.until("2027-09-07")
    before = await _summary(billing, account)
    assert before.bucket == statements.DELINQUENCY_BUCKET_DAYS_150
    owed = await billing.posted_minor(account)
    assert owed > 100_000
    await billing.until("2027-09-09")
    after = await _summary(billing, account)
    assert after.bucket == statements.DELINQUENCY_BUCKET_CHARGED_OFF
    assert (after.charged_off.amount_minor, after.minimum_payment_due.amount_minor) == (owed, 0)
    assert await billing.posted_minor(account) == 0
    assert await _balances(billing, account) == {"charge_off": owed}
    assert await _state(billing, account) == "DELINQUENT"
    payment = await billing.pay(account, 100_000)
    await billing.until("2027-09-20")
    assert (await _summary(billing, account)).charged_off.amount_minor == owed - 100_000
    assert await _balances(billing, account) == {"charge_off": owed, "recovery": -100_000}
    await billing.give_back(account, payment)
    await billing.until("2027-10-20")
    assert (await _summary(billing, account)).charged_off.amount_minor == owed
    await billing.pay(account, owed + 700)
    await billing.until("2027-12-20")
    assert (await _summary(billing, account)).charged_off.amount_minor == 0
    assert await billing.posted_minor(account) == -700
    assert await _balances(billing, account) == {
        "charge_off": owed + 100_000,
        "recovery": -owed - 100_000,
    }
    found = [one for number in range(1, 11) for one in await _lines(billing, account, number)]
    assert found.count(("Charge off", -100_000)) == 2
    fees = [amount for name, amount in found if "fee" in name.lower()]
    assert len(fees) == 6, "none after the charge-off"
    changes = await billing.pool.fetch(
        "SELECT bucket FROM delinquency_change WHERE account_id = $1 ORDER BY change_time", account
    )
    assert [row["bucket"] for row in changes][-2:] == ["DAYS_150", "CHARGED_OFF"]
    told = await _told(billing, account)
    assert [one["bucket"] for one in told["account.delinquency_changed"]] == [
        row["bucket"] for row in changes
    ]
    assert _amounts(told["account.charged_off"]) == [(owed, owed), (100_000, owed)]
    assert _amounts(told["account.recovered"]) == [(100_000, owed - 100_000), (owed, 0)]


async def test_a_waived_late_fee_is_not_given_back_again(billing: BillingMesh) -> None:
    """25.00 are charged on 13 March; staff gives 10.00 back. The payment that comes in on 20 March
    had been received in time: the other 15.00 go, too, and no more.
    """
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.buy(card, 100_000)
    await billing.until("2027-03-10")
    received_ms = billing.clock.now_ms()
    await billing.until("2027-03-14")
    fee = await billing.pool.fetchval("SELECT entry_id FROM billing_entry WHERE type = 'FEE'")
    command = Waive(
        account_id=account,
        entry_id=fee,
        kind=Kind.FEE,
        amount_minor=1_000,
        currency_code="USD",
        reason="GOODWILL",
        note="the first time",
    )
    now_ms = billing.clock.now_ms()
    async with billing.store.transaction(now_ms=now_ms) as transaction:
        waivers = Waivers(transaction.connection)
        found = await waivers.found(command)
        assert found is not None
        assert found.entry is not None
        done = await waivers.waive(
            command, found.account, found.entry, principal="tester", now_ms=now_ms
        )
        assert not isinstance(done, Refused)
    await billing.until("2027-03-20")
    await billing.pay(account, 100_000, on=received_ms)
    await billing.until("2027-04-16")
    lines = [one for number in (2, 3) for one in await _lines(billing, account, number)]
    assert [one for one in lines if "ee" in one[0]] == [
        ("Late fee", 2_500),
        ("Fee waiver", -1_000),
        ("Late fee waiver", -1_500),
    ]
    assert await billing.posted_minor(account) == 0
