"""Cycles on a real ledger: what statements say, and what the ledger has, to the cent."""

from __future__ import annotations

import asyncio
import csv
import json
from dataclasses import replace
from typing import Any

import pytest

from accounts.billing.poster import LEASE_MS
from accounts.billing.store import Billing
from holdfast.accounts.v1 import statement_pb2 as statements
from holdfast.accounts.v1 import statement_service_pb2 as rpc
from holdfast.accounts.v1 import terms_pb2
from tests.billing_mesh import BillingMesh, credit_terms

DAY_MS = 86_400_000


async def _statements(billing: BillingMesh, account_id: str) -> list[Any]:
    request = rpc.ListStatementsRequest(account_id=account_id)
    answer = await billing.parts.service.ListStatements(request, None)  # type: ignore[arg-type]
    return list(reversed(answer.statements))


async def test_a_purchase_is_billed_paid_late_and_bears_interest(billing: BillingMesh) -> None:
    """1,000.00 bought on 1 February, billed on the 15th, due on 12 March; 100.00 paid on the 13th.

    Late fee 25.00, which the payment pays first: the minimum goes to what bears no interest. So
    interest at 0.05 % for 25 days on 1,000.00 and 3 on 925.00: 12.50 + 1.3875.
    """
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.until("2027-02-01")
    await billing.buy(card, 100_000)
    await billing.until("2027-02-16")
    (first,) = await _statements(billing, account)
    assert (first.number, first.cycle_start_date, first.cycle_end_date) == (
        1,
        "2027-01-20",
        "2027-02-15",
    )
    assert first.due_date == "2027-03-12"
    assert first.closing_balance.amount_minor == 100_000
    assert first.minimum_payment.amount_minor == 3_500
    (told,) = await billing.pool.fetch(
        "SELECT data FROM event WHERE type = 'statement.ready' AND account_id = $1", account
    )
    assert json.loads(told["data"]) == {
        "statement_id": first.id,
        "cycle_end_date": "2027-02-15",
        "due_date": "2027-03-12",
        "balance": {"amount_minor": 100_000, "currency_code": "USD"},
        "minimum_payment": {"amount_minor": 3_500, "currency_code": "USD"},
    }
    await billing.until("2027-03-13")
    await billing.pay(account, 10_000)
    await billing.until("2027-03-16")
    first_again, second = await _statements(billing, account)
    assert first_again == first
    assert second.opening_balance.amount_minor == 100_000
    assert second.totals.fees.amount_minor == 2_500
    assert second.totals.payments.amount_minor == 10_000
    assert second.totals.interest.amount_minor == 1_389
    assert second.closing_balance.amount_minor == 100_000 - 10_000 + 2_500 + 1_389
    assert await billing.posted_minor(account) == second.closing_balance.amount_minor


async def test_who_pays_in_full_pays_nothing_more_and_gets_no_empty_statement(
    billing: BillingMesh,
) -> None:
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    idle, _ = await billing.open_account()
    await billing.buy(card, 20_000)
    await billing.until("2027-03-01")
    await billing.pay(account, 20_000)
    await billing.until("2027-06-16")
    first, second = await _statements(billing, account)
    assert (first.closing_balance.amount_minor, second.closing_balance.amount_minor) == (20_000, 0)
    assert second.totals.fees.amount_minor == second.totals.interest.amount_minor == 0
    assert await _statements(billing, idle) == []
    assert await billing.posted_minor(account) == 0


async def test_a_payment_that_came_in_late_counts_from_its_receipt(billing: BillingMesh) -> None:
    """Received on 10 March, in time and in full; it came in on 20 March, after late fee and
    statement: the fee is waived, the interest given back.
    """
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.until("2027-02-01")
    await billing.buy(card, 100_000)
    await billing.until("2027-03-10")
    received_ms = billing.clock.now_ms()
    await billing.until("2027-03-13")
    await billing.until("2027-03-20")
    _, second = await _statements(billing, account)
    assert second.totals.fees.amount_minor == 2_500
    assert second.totals.interest.amount_minor == 1_400
    await billing.pay(account, 100_000, on=received_ms)
    await billing.until("2027-04-16")
    third = (await _statements(billing, account))[2]
    lines = await _lines(billing, account, 3)
    assert ("Interest correction", -1_400) in lines
    assert ("Late fee waiver", -2_500) in lines
    assert third.closing_balance.amount_minor == await billing.posted_minor(account)


async def test_late_accounts_may_not_buy_until_they_have_paid(billing: BillingMesh) -> None:
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.buy(card, 100_000)
    states, buckets = list[str](), list[str]()
    for day in ("2027-03-13", "2027-04-10", "2027-04-11", "2027-05-11"):
        await billing.until(day)
        states.append(await _state(billing, account))
        summary = await _summary(billing, account)
        buckets.append(statements.DelinquencyBucket.Name(summary.bucket).partition("BUCKET_")[2])
    assert states == ["OPEN", "OPEN", "DELINQUENT", "DELINQUENT"]
    assert buckets == ["DAYS_1_29", "DAYS_1_29", "DAYS_30", "DAYS_60"]
    summary = await _summary(billing, account)
    await billing.pay(account, summary.minimum_payment_due.amount_minor)
    await billing.until("2027-05-12")
    assert await _state(billing, account) == "OPEN"
    assert (await _summary(billing, account)).days_past_due == 0
    changes = await billing.pool.fetch(
        "SELECT bucket FROM delinquency_change WHERE account_id = $1 ORDER BY change_time", account
    )
    assert [row["bucket"] for row in changes] == ["DAYS_1_29", "DAYS_30", "DAYS_60", "CURRENT"]


async def test_a_posting_whose_answer_is_lost_is_posted_once(
    billing: BillingMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poster dies between the ledger's answer and its own commit, twice."""
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.buy(card, 100_000)
    await billing.until("2027-03-12")
    billing.clock.advance(5 * DAY_MS)
    await billing.look()
    while await billing.parts.biller.work_due():
        pass
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Billing, "posted", _dies)
            with pytest.raises(ConnectionResetError):
                await billing.parts.poster.post_due()
        billing.clock.advance(LEASE_MS)
    await billing.work()
    fees = await billing.authz.ledger.fetch(
        "SELECT type, amount_minor FROM journal_entry WHERE account_id = $1 AND type IN ('B', 'T')",
        account,
    )
    assert sorted((row["type"], row["amount_minor"]) for row in fees) == [
        ("B", 2_500),
        ("T", 1_400),
    ]


async def test_files(billing: BillingMesh) -> None:
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.buy(card, 12_345)
    await billing.until("2027-02-16")
    found = {}
    for kind in rpc.StatementFormat.values():
        request = rpc.DownloadStatementRequest(account_id=account, number=1, format=kind)
        found[kind] = await billing.parts.service.DownloadStatement(request, None)  # type: ignore[arg-type]
    assert found[rpc.STATEMENT_FORMAT_PDF].content_type == "application/pdf"
    assert found[rpc.STATEMENT_FORMAT_PDF].data.startswith(b"%PDF")
    assert found[rpc.STATEMENT_FORMAT_UNSPECIFIED] == found[rpc.STATEMENT_FORMAT_PDF]
    (row,) = csv.DictReader(found[rpc.STATEMENT_FORMAT_CSV].data.decode().splitlines())
    assert (row["description"], row["amount"], row["currency"]) == ("Corner shop", "123.45", "USD")
    answer = json.loads(found[rpc.STATEMENT_FORMAT_JSON].data)
    assert answer["statement"]["closing_balance"]["amount_minor"] == "12345"
    assert answer["lines"][0]["card_id"] == card


async def test_what_comes_in_while_an_account_is_worked_on_wakes_it(billing: BillingMesh) -> None:
    """The biller has looked before the ledger brings the last posting back, and writes after."""
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.buy(card, 100_000)
    await billing.until("2027-03-13")
    billing.clock.advance(4 * DAY_MS)
    await billing.look()
    while await billing.parts.biller.work_due():
        pass
    await billing.parts.poster.post_due()
    await billing.authz.settle()
    now_ms = billing.clock.now_ms()
    async with billing.pool.acquire() as connection:
        async with connection.transaction():
            await Billing(connection).wake([account], [])
        async with connection.transaction():
            (claimed,) = await Billing(connection).claim_due(now_ms=now_ms, limit=1)
            assert await Billing(connection).unreturned([claimed])
            follows = asyncio.create_task(billing.parts.follower.caught_up())
            await asyncio.sleep(0.3)
            assert not follows.done(), "it waits for whoever works on the account"
            await Billing(connection).update([replace(claimed, work_ms=None)])
        await follows
    await billing.work()
    assert len(await _statements(billing, account)) == 2


async def test_nobody_is_late_because_the_ledger_was_away(billing: BillingMesh) -> None:
    """Paid in time, but settled days later: time stands still for billing until then."""
    await billing.programme(credit_terms())
    account, card = await billing.open_account()
    await billing.buy(card, 100_000)
    await billing.until("2027-03-11")
    await billing.pay(account, 100_000)
    billing.clock.advance(10 * DAY_MS)
    await billing.authz.worker.watch.look()
    await billing.parts.follower.caught_up()
    while await billing.parts.biller.work_due():
        pass
    await billing.until("2027-03-22")
    _, second = await _statements(billing, account)
    assert second.totals.payments.amount_minor == 100_000
    assert second.totals.fees.amount_minor == second.totals.interest.amount_minor == 0


async def test_the_penalty_rate_is_for_purchases_and_cash_only(billing: BillingMesh) -> None:
    penalty = terms_pb2.AnnualRate(category=terms_pb2.BALANCE_CATEGORY_PENALTY, percent="29.2")
    await billing.programme(
        credit_terms(
            annual_rates=[penalty], penalty=terms_pb2.Penalty(days_late=60, cure_payments=6)
        )
    )
    account, card = await billing.open_account()
    await billing.buy(card, 100_000)
    await billing.until("2027-08-16")
    found = await _statements(billing, account)
    rates = [one.interest_charges[1].annual_percentage_rate for one in found]
    # Late for 60 days on 11 May, told on 16 May, from the cycle of 16 July on.
    assert rates == ["18.25"] * 6 + ["29.20"]
    assert [one.penalty_from_date for one in found[3:5]] == ["2027-06-30", "2027-06-30"]
    for one in found:
        assert sum(amount for _, amount in await _lines(billing, account, one.number)) == (
            one.closing_balance.amount_minor - one.opening_balance.amount_minor
        )


async def _dies(*_: object) -> None:
    raise ConnectionResetError


async def _lines(billing: BillingMesh, account_id: str, number: int) -> list[tuple[str, int]]:
    request = rpc.GetStatementRequest(account_id=account_id, number=number)
    answer = await billing.parts.service.GetStatement(request, None)  # type: ignore[arg-type]
    return [(line.description, line.amount.amount_minor) for line in answer.lines]


async def _summary(billing: BillingMesh, account_id: str) -> statements.BillingSummary:
    request = rpc.GetBillingSummaryRequest(account_id=account_id)
    answer = await billing.parts.service.GetBillingSummary(request, None)  # type: ignore[arg-type]
    return answer.summary


async def _state(billing: BillingMesh, account_id: str) -> str:
    account = await billing.store.account(account_id)
    assert account is not None
    return account.state
