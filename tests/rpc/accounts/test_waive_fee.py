"""BillingService: WaiveFee, WaiveInterest, ListDelinquencyChanges. What the ledger has of them is
in tests/integration/billing.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import billing_service_pb2 as pb
from holdfast.accounts.v1 import statement_pb2
from holdfast.accounts.v1.billing_service_pb2_grpc import BillingServiceStub
from runtime.events.catalogue import money
from tests.accounts_mesh import (
    UNKNOWN_ACCOUNT,
    AccountsMesh,
    call,
    call_replayed,
    refused,
    usd,
)

NOW = datetime(2027, 3, 14, tzinfo=UTC)
#: Entry → type, change, what it charged.
ENTRIES = {
    "ent_0a" + "1" * 32: ("FEE", "DEBIT", 2_500),
    "ent_0a" + "2" * 32: ("INTEREST", "DEBIT", 1_400),
    "ent_0a" + "3" * 32: ("CAPTURE", "DEBIT", 100_000),
    "ent_0a" + "4" * 32: ("FEE", "DEBIT", 1_000),
}
FEE, INTEREST, PURCHASE, OTHER_FEE = ENTRIES
CATEGORIES = {"CAPTURE": "PURCHASE"}
Request = pb.WaiveFeeRequest | pb.WaiveInterestRequest


@pytest.fixture
async def account_id(mesh: AccountsMesh) -> str:
    """A billed account with two fees, interest and a purchase in its ledger."""
    account = await mesh.open_account()
    async with mesh.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO billing_account (account_id, phase) VALUES ($1, 'NEW')", account.id
        )
        await connection.executemany(
            """INSERT INTO billing_entry VALUES
            ($1, $2, $3, $4, $5, $6, $7, $8, $8, '', '', '', '', '', '', '', false, 1)""",
            [
                (name, account.id, number, kind, change, CATEGORIES.get(kind, kind), amount, NOW)
                for number, (name, (kind, change, amount)) in enumerate(ENTRIES.items())
            ],
        )
    return str(account.id)


def stub(mesh: AccountsMesh) -> BillingServiceStub:
    return BillingServiceStub(mesh.channel)


def waive_fee(account_id: str, **fields: Any) -> pb.WaiveFeeRequest:
    valid: dict[str, Any] = {
        "request_id": "w-1",
        "account_id": account_id,
        "entry_id": FEE,
        "reason": pb.WAIVER_REASON_GOODWILL,
        "note": "a first time",
    }
    return pb.WaiveFeeRequest(**(valid | fields))


async def postings(mesh: AccountsMesh) -> list[tuple[str, str, int, str]]:
    rows = await mesh.pool.fetch(
        "SELECT charge, change, amount_minor, related_entry_id FROM billing_posting"
        " ORDER BY request_id"
    )
    return [tuple(row) for row in rows]


async def told(mesh: AccountsMesh, kind: str, account_id: str) -> list[Any]:
    select = "SELECT data FROM event WHERE type = $1 AND account_id = $2 ORDER BY id"
    rows = await mesh.pool.fetch(select, kind, account_id)
    return [json.loads(row["data"]) for row in rows]


async def test_all_that_is_left_of_a_fee_is_given_back_once(
    mesh: AccountsMesh, account_id: str
) -> None:
    """In parts and then the rest; who asks again with the same id gets the same answer."""
    part = waive_fee(account_id, amount=usd(1_000))
    answer, replayed = await call_replayed(stub(mesh).WaiveFee, part)
    assert not replayed
    waiver = answer.waiver
    assert (waiver.entry_id, waiver.amount, waiver.note) == (FEE, usd(1_000), "a first time")
    assert (waiver.reason, waiver.principal) == (pb.WAIVER_REASON_GOODWILL, "tester")
    assert await call_replayed(stub(mesh).WaiveFee, part) == (answer, True)
    rest = await call(stub(mesh).WaiveFee, waive_fee(account_id, request_id="w-2"))
    assert rest.waiver.amount == usd(1_500)
    error = await refused(stub(mesh).WaiveFee, waive_fee(account_id, request_id="w-3"))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "WAIVER_EXCEEDS",
    )
    assert await postings(mesh) == [
        ("FEE_WAIVER", "CREDIT", 1_000, FEE),
        ("FEE_WAIVER", "CREDIT", 1_500, FEE),
    ]
    assert await told(mesh, "account.fee_waived", account_id) == [
        {"amount": money(amount, "USD"), "related_entry_id": FEE, "reason": "GOODWILL"}
        for amount in (1_000, 1_500)
    ]


async def test_interest_is_given_back(mesh: AccountsMesh, account_id: str) -> None:
    request = pb.WaiveInterestRequest(
        request_id="w-1",
        account_id=account_id,
        entry_id=INTEREST,
        reason=pb.WAIVER_REASON_HARDSHIP,
        note="lost work",
    )
    answer, _ = await call_replayed(stub(mesh).WaiveInterest, request)
    assert answer.waiver.amount == usd(1_400)
    assert await call_replayed(stub(mesh).WaiveInterest, request) == (answer, True)
    assert await postings(mesh) == [("INTEREST_WAIVER", "CREDIT", 1_400, INTEREST)]
    (event,) = await told(mesh, "account.interest_waived", account_id)
    assert event["related_entry_id"] == INTEREST


async def test_a_crowd_gives_back_no_more_than_was_charged(
    mesh: AccountsMesh, account_id: str
) -> None:
    """Ten ask for 10.00 of 25.00 at once."""
    requests = [
        waive_fee(account_id, request_id=f"w-{number}", amount=usd(1_000)) for number in range(10)
    ]
    answers = await asyncio.gather(
        *(call(stub(mesh).WaiveFee, one) for one in requests), return_exceptions=True
    )
    given = [one for one in answers if not isinstance(one, BaseException)]
    assert len(given) == 2
    assert sum(amount for _, _, amount, _ in await postings(mesh)) == 2_000


async def test_what_billing_gave_back_by_itself_is_not_given_back_again(
    mesh: AccountsMesh, account_id: str
) -> None:
    """30.00 of 35.00 were given back for payments that came in late: 5.00 are left of all fees."""
    await mesh.pool.execute(
        """INSERT INTO billing_posting (account_id, request_id, charge, change, category,
        amount_minor, currency_code, value_time, related_entry_id, due_time)
        VALUES ($1, 'x', 'LATE_FEE_WAIVER', 'CREDIT', 'FEE', 3000, 'USD', $2, '', $2)""",
        account_id,
        NOW,
    )
    answer = await call(stub(mesh).WaiveFee, waive_fee(account_id))
    assert answer.waiver.amount == usd(500)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"entry_id": PURCHASE}, "NOT_A_FEE"),
        ({"entry_id": INTEREST}, "NOT_A_FEE"),
        ({"amount": usd(2_501)}, "WAIVER_EXCEEDS"),
        ({"entry_id": "ent_0a" + "9" * 32}, "ENTRY_NOT_FOUND"),
        ({"account_id": UNKNOWN_ACCOUNT}, "ACCOUNT_NOT_FOUND"),
    ],
)
async def test_refusals(
    mesh: AccountsMesh, account_id: str, fields: dict[str, Any], reason: str
) -> None:
    error = await refused(stub(mesh).WaiveFee, waive_fee(**({"account_id": account_id} | fields)))
    assert error.reason == reason
    assert await postings(mesh) == []


async def test_other_refusals(mesh: AccountsMesh, account_id: str) -> None:
    interest = pb.WaiveInterestRequest(
        request_id="w-1",
        account_id=account_id,
        entry_id=FEE,
        reason=pb.WAIVER_REASON_LEGAL,
        note="x",
    )
    assert (await refused(stub(mesh).WaiveInterest, interest)).reason == "NOT_INTEREST"
    unbilled = await mesh.open_account()
    error = await refused(stub(mesh).WaiveFee, waive_fee(unbilled.id))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_BILLED")
    await call(stub(mesh).WaiveFee, waive_fee(account_id, amount=usd(100)))
    other = waive_fee(account_id, amount=usd(200))
    error = await refused(stub(mesh).WaiveFee, other)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_wrong_fields_are_named(mesh: AccountsMesh, account_id: str) -> None:
    error = await refused(stub(mesh).WaiveFee, pb.WaiveFeeRequest(request_id="w-1", amount=usd(0)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == ["account_id", "entry_id", "amount.amount_minor", "reason", "note"]
    euros = usd(100)
    euros.currency_code = "EUR"
    error = await refused(stub(mesh).WaiveFee, waive_fee(account_id, amount=euros))
    assert error.fields == ["amount.currency_code"]


async def test_changes_of_how_late_an_account_was(mesh: AccountsMesh, account_id: str) -> None:
    """Latest first, page by page."""
    buckets = ["CURRENT", "DAYS_1_29", "DAYS_30", "DAYS_60", "CURRENT"]
    for number, (before, bucket) in enumerate(pairwise(buckets)):
        await mesh.pool.execute(
            "INSERT INTO delinquency_change VALUES ($1, $2, $3, $4, $5, 3500)",
            account_id,
            NOW + timedelta(days=30 * number),
            before,
            bucket,
            30 * number,
        )
    found, token = list[statement_pb2.DelinquencyChange](), ""
    while True:
        page = await call(
            stub(mesh).ListDelinquencyChanges,
            pb.ListDelinquencyChangesRequest(account_id=account_id, page_size=3, page_token=token),
        )
        found += page.changes
        token = page.next_page_token
        if not token:
            break
    names = [statement_pb2.DelinquencyBucket.Name(one.bucket) for one in found]
    assert [name.removeprefix("DELINQUENCY_BUCKET_") for name in names] == buckets[:0:-1]
    assert found[0].past_due == usd(3_500)
    for request, reason in (
        (pb.ListDelinquencyChangesRequest(account_id=UNKNOWN_ACCOUNT), "ACCOUNT_NOT_FOUND"),
        (pb.ListDelinquencyChangesRequest(account_id="x", page_size=-1), "INVALID_ARGUMENT"),
    ):
        assert (await refused(stub(mesh).ListDelinquencyChanges, request)).reason == reason
