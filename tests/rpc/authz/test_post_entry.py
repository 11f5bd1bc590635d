"""PostEntry: fees, interest and adjustments post whatever the account's state."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.authz_audit import audit, lines_of, repeats
from tests.authz_checks import balance, nothing_written, refused, usd
from tests.authz_mesh import ACCOUNTS, AuthzMesh
from tests.authz_messages import posting

UNKNOWN_ACCOUNT = "acct_0a" + "0" * 32
FEE, INTEREST = postings.POSTING_KIND_FEE, postings.POSTING_KIND_INTEREST
DEBIT = postings.POSTING_KIND_ADJUSTMENT_DEBIT
CREDIT = postings.POSTING_KIND_ADJUSTMENT_CREDIT
PROVISIONAL = postings.POSTING_KIND_PROVISIONAL_CREDIT
REVERSAL = postings.POSTING_KIND_PROVISIONAL_CREDIT_REVERSAL
CLAIM, LOSS = postings.POSTING_KIND_DISPUTE_CLAIM, postings.POSTING_KIND_DISPUTE_LOSS
SIGNS = {CREDIT: -1, PROVISIONAL: -1, CLAIM: 0, LOSS: 0}


@pytest.mark.parametrize(
    ("kind", "letter", "lines"),
    [
        (FEE, "B", [("receivable.fee", 700), ("income.fee", -700)]),
        (INTEREST, "T", [("receivable.interest", 700), ("income.interest", -700)]),
        (DEBIT, "M", [("receivable.cash", 700), ("suspense", -700)]),
        (CREDIT, "Q", [("write_off", 700), ("receivable.cash", -100), ("customer_credit", -600)]),
        (
            PROVISIONAL,
            "G",
            [("provisional_credit", 700), ("receivable.cash", -100), ("customer_credit", -600)],
        ),
        (REVERSAL, "H", [("receivable.cash", 700), ("provisional_credit", -700)]),
        (CLAIM, "c", [("dispute", 700), ("provisional_credit", -700)]),
        (LOSS, "l", [("write_off", 700), ("provisional_credit", -700)]),
    ],
)
async def test_posts_with_its_lines(
    mesh: AuthzMesh,
    kind: postings.PostingKind.ValueType,
    letter: str,
    lines: list[tuple[str, int]],
) -> None:
    account = await mesh.open_account(500)
    await mesh.posting.PostEntry(posting(account, FEE, 100), metadata=ACCOUNTS)
    sign = SIGNS.get(kind, 1)
    request = posting(account, kind, 700, category=postings.BALANCE_CATEGORY_CASH)
    answer = await mesh.posting.PostEntry(request, metadata=ACCOUNTS)
    assert answer.result.posted == usd(100 + sign * 700)
    assert answer.result.available_credit == usd(400 - sign * 700)
    assert answer.result.entry_id.startswith("ent_0a")
    await audit(mesh, account)
    assert (await lines_of(mesh, account, letter))[-len(lines) :] == lines


async def test_posts_to_an_account_that_is_closing(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(500)
    state = projection.ACCOUNT_STATE_CLOSING
    await mesh.apply_account(account, version=2, limit_minor=500, state=state)
    await mesh.posting.PostEntry(posting(account, INTEREST, 700), metadata=ACCOUNTS)
    assert await balance(mesh, account) == (700, 0, -200)
    await audit(mesh, account)


async def test_correction_names_what_it_corrects(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    fee = await mesh.posting.PostEntry(posting(account, FEE, 700), metadata=ACCOUNTS)
    request = posting(
        account,
        CREDIT,
        700,
        category=postings.BALANCE_CATEGORY_FEE,
        related_entry_id=fee.result.entry_id,
    )
    await mesh.posting.PostEntry(request, metadata=ACCOUNTS)
    assert await balance(mesh, account) == (0, 0, 100_000)
    await audit(mesh, account)
    row = await mesh.ledger.fetchrow("SELECT * FROM journal_entry WHERE type = 'Q'")
    assert row["related_entry_id"] == fee.result.entry_id
    assert row["balance_category"] == "fee"


async def test_repetition_is_the_same_answer(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    request, altered = posting(account, FEE, 700), posting(account, FEE, 701)
    altered.request_id = request.request_id
    await repeats(mesh, mesh.posting.PostEntry, request, altered, metadata=ACCOUNTS)
    assert await balance(mesh, account) == (700, 0, 99_300)
    await audit(mesh, account)


async def test_balance_beyond_what_is_exact_is_refused(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    await mesh.posting.PostEntry(posting(account, FEE, 2**53 - 1), metadata=ACCOUNTS)
    async with nothing_written(mesh.money):
        error = await refused(mesh.posting.PostEntry, posting(account, FEE, 1), metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "AMOUNT_OVERFLOW")


async def test_unknown_account_is_not_found(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.posting.PostEntry, posting(UNKNOWN_ACCOUNT, FEE, 1), metadata=ACCOUNTS
        )
    assert (error.code.name, error.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"request_id": ""}, ["request_id"]),
        ({"account_id": "card_1"}, ["account_id"]),
        ({"kind": 0}, ["kind"]),
        ({"kind": 99}, ["kind"]),
        ({"category": 99}, ["category"]),
        ({"amount": None}, ["amount"]),
        ({"amount": usd(0)}, ["amount.amount_minor"]),
        ({"related_entry_id": "auth_1"}, ["related_entry_id"]),
        ({"description": "x" * 201}, ["description"]),
    ],
)
async def test_wrong_fields_are_named(
    mesh: AuthzMesh, change: dict[str, Any], fields: list[str]
) -> None:
    request = posting(UNKNOWN_ACCOUNT, FEE, 10)
    for name, value in change.items():
        request.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            request.MergeFrom(postings.PostEntryRequest(**{name: value}))
    async with nothing_written(mesh.money):
        error = await refused(mesh.posting.PostEntry, request, metadata=ACCOUNTS)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields)


async def test_other_currency_is_refused(mesh: AuthzMesh) -> None:
    request = posting(await mesh.open_account(), FEE, 10)
    request.amount.currency_code = "EUR"
    async with nothing_written(mesh.money):
        error = await refused(mesh.posting.PostEntry, request, metadata=ACCOUNTS)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["amount.currency_code"])
