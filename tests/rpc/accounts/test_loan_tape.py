"""LoanTapeService: what was written is shown. How rows are made is in tests/integration/billing."""

from __future__ import annotations

import csv
import json
from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any

import grpc
import pytest

from accounts.billing.tape import TapeRow
from holdfast.accounts.v1 import loan_tape_service_pb2 as pb
from holdfast.accounts.v1 import statement_pb2
from holdfast.accounts.v1.loan_tape_service_pb2_grpc import LoanTapeServiceStub
from tests.accounts_mesh import AccountsMesh, call, refused, usd

DAY = "2027-03-14"
ACCOUNTS = [f"acct_0a{number:032x}" for number in range(7)]


def body(account_id: str, **changes: Any) -> str:
    """A row of a day."""
    row: dict[str, Any] = {one.name: 0 if one.type == "int" else "" for one in fields(TapeRow)}
    row |= {"day": DAY, "account_id": account_id, "currency_code": "USD", "bucket": "CURRENT"}
    return json.dumps(row | changes)


@pytest.fixture
async def tape(mesh: AccountsMesh) -> LoanTapeServiceStub:
    """A complete day, one of its rows twice, and a day that is not complete."""
    day, now = date.fromisoformat(DAY), datetime(2027, 3, 15, tzinfo=UTC)
    rows = [(day, one, 1, body(one), now) for one in ACCOUNTS]
    late = {"bucket": "DAYS_30", "past_due_minor": 3_500, "purchase_rate_bp": 2_499}
    rows += [(day, ACCOUNTS[2], 2, body(ACCOUNTS[2], **late), now)]
    rows += [(date(2027, 3, 15), ACCOUNTS[0], 1, body(ACCOUNTS[0], day="2027-03-15"), now)]
    await mesh.pool.executemany("INSERT INTO loan_tape VALUES ($1, $2, $3, $4, $5)", rows)
    await mesh.pool.execute("INSERT INTO loan_tape_day VALUES ($1, $2)", day, now)
    return LoanTapeServiceStub(mesh.channel)


async def test_the_latest_versions_page_by_page(tape: LoanTapeServiceStub) -> None:
    found, token = list[pb.LoanTapeRow](), ""
    while True:
        page = await call(
            tape.ListLoanTape, pb.ListLoanTapeRequest(day=DAY, page_size=3, page_token=token)
        )
        found += page.rows
        token = page.next_page_token
        if not token:
            break
    assert [one.account_id for one in found] == ACCOUNTS
    assert [one.version for one in found] == [1, 1, 2, 1, 1, 1, 1]
    late = found[2]
    assert late.bucket == statement_pb2.DELINQUENCY_BUCKET_DAYS_30
    assert (late.past_due, late.purchase_rate) == (usd(3_500), "24.99")


async def test_a_file_that_goes_on_after_an_account(tape: LoanTapeServiceStub) -> None:
    whole = await call(tape.DownloadLoanTape, pb.DownloadLoanTapeRequest(day=DAY))
    assert whole.content_type == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(whole.data.decode().splitlines()))
    assert [row["account_id"] for row in rows] == ACCOUNTS
    assert (rows[2]["past_due"], rows[2]["purchase_rate"], rows[2]["version"]) == (
        "35.00",
        "24.99",
        "2",
    )
    rest = await call(
        tape.DownloadLoanTape,
        pb.DownloadLoanTapeRequest(day=DAY, after_account_id=ACCOUNTS[4]),
    )
    assert len(rest.data.decode().splitlines()) == 1 + 2


async def test_a_day_that_is_not_complete(tape: LoanTapeServiceStub) -> None:
    for method, request in (
        (tape.ListLoanTape, pb.ListLoanTapeRequest(day="2027-03-15")),
        (tape.DownloadLoanTape, pb.DownloadLoanTapeRequest(day="2027-03-15")),
    ):
        error = await refused(method, request)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "LOAN_TAPE_NOT_FOUND")


async def test_wrong_fields_are_named(tape: LoanTapeServiceStub) -> None:
    error = await refused(tape.ListLoanTape, pb.ListLoanTapeRequest(day="x", page_size=-1))
    assert error.fields == ["day", "page_size"]
    request = pb.DownloadLoanTapeRequest(day="2027-02-30", after_account_id="x")
    assert (await refused(tape.DownloadLoanTape, request)).fields == ["day", "after_account_id"]
