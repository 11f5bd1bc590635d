"""CreditPayment: lowers what is owed, and nothing more, until it is released."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.authz_audit import audit, lines_of, repeats
from tests.authz_checks import balance, expire_records, nothing_written, refused, usd
from tests.authz_mesh import ACCOUNTS, NETWORK, AuthzMesh
from tests.authz_messages import credit, forced, money, release, returned

UNKNOWN_ACCOUNT = "acct_0a" + "0" * 32


async def test_credit_does_not_raise_available_credit(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card, payment = await mesh.issue_card(account), mesh.ids.new("pay", 10)
    await mesh.authorization.ForcePost(forced(card, 1_000), metadata=NETWORK)
    answer = await mesh.posting.CreditPayment(credit(account, payment, 400), metadata=ACCOUNTS)
    result = answer.result
    assert (result.posted, result.unreleased) == (usd(600), usd(400))
    assert result.available_credit == usd(99_000)
    assert result.entry_id.startswith("ent_0a")
    assert result.record_time.ToMilliseconds() == mesh.clock.now_ms()
    assert await balance(mesh, account) == (600, 0, 99_000)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "Y") == [
        ("payments_in_transit", 400),
        ("receivable.purchase", -400),
    ]
    row = await mesh.ledger.fetchrow("SELECT * FROM payment WHERE id = $1", payment)
    assert (row["account_id"], row["amount_minor"], row["state"]) == (account, 400, "CREDITED")
    found = await mesh.ledger.fetchval("SELECT id FROM journal_entry WHERE type = 'Y'")
    assert found == result.entry_id


async def test_overpayment_is_credit_of_the_customer(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    payment = mesh.ids.new("pay", 10)
    await mesh.posting.CreditPayment(credit(account, payment, 400), metadata=ACCOUNTS)
    assert await balance(mesh, account) == (-400, 0, 100_000)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "Y") == [
        ("payments_in_transit", 400),
        ("customer_credit", -400),
    ]


async def test_credits_an_account_that_is_closing(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    state = projection.ACCOUNT_STATE_CLOSING
    await mesh.apply_account(account, version=2, state=state)
    request = credit(account, mesh.ids.new("pay", 10), 400)
    await mesh.posting.CreditPayment(request, metadata=ACCOUNTS)
    await audit(mesh, account)


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("state", ["credited", "released", "returned"])
async def test_payment_is_credited_once(mesh: AuthzMesh, state: str, *, gone: bool) -> None:
    """Under a new request id, on the same account or on another, however long ago."""
    account, other = await mesh.open_account(), await mesh.open_account()
    payment = mesh.ids.new("pay", 10)
    await mesh.posting.CreditPayment(credit(account, payment, 400), metadata=ACCOUNTS)
    if state == "released":
        await mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
    elif state == "returned":
        await mesh.posting.ReturnPayment(returned(account, payment), metadata=ACCOUNTS)
    if gone:
        await mesh.settle()
        await expire_records(mesh.money, "req", "pay")
    async with nothing_written(mesh.money):
        for name in (account, other):
            error = await refused(
                mesh.posting.CreditPayment, credit(name, payment, 400), metadata=ACCOUNTS
            )
            assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "PAYMENT_EXISTS")


async def test_repetition_is_the_same_answer(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    payment = mesh.ids.new("pay", 10)
    request, altered = credit(account, payment, 400), credit(account, payment, 401)
    altered.request_id = request.request_id
    await repeats(mesh, mesh.posting.CreditPayment, request, altered, metadata=ACCOUNTS)
    await audit(mesh, account)


async def test_unknown_account_is_not_found(mesh: AuthzMesh) -> None:
    request = credit(UNKNOWN_ACCOUNT, mesh.ids.new("pay", 10), 400)
    async with nothing_written(mesh.money):
        error = await refused(mesh.posting.CreditPayment, request, metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")


async def test_balance_beyond_what_is_exact_is_refused(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    request = credit(account, mesh.ids.new("pay", 10), 2**53 - 1)
    await mesh.posting.CreditPayment(request, metadata=ACCOUNTS)
    request = credit(account, mesh.ids.new("pay", 10), 1)
    async with nothing_written(mesh.money):
        error = await refused(mesh.posting.CreditPayment, request, metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "AMOUNT_OVERFLOW")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"request_id": ""}, ["request_id"]),
        ({"account_id": ""}, ["account_id"]),
        ({"payment_id": ""}, ["payment_id"]),
        ({"payment_id": "pay_0b" + "0" * 32}, ["payment_id"]),
        ({"amount": None}, ["amount"]),
        ({"amount": usd(0)}, ["amount.amount_minor"]),
        ({"amount": money(1, "XXX")}, ["amount.currency_code"]),
    ],
)
async def test_wrong_fields_are_named(
    mesh: AuthzMesh, change: dict[str, Any], fields: list[str]
) -> None:
    request = credit(UNKNOWN_ACCOUNT, "pay_0a" + "0" * 32, 10)
    for name, value in change.items():
        request.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            request.MergeFrom(postings.CreditPaymentRequest(**{name: value}))
    async with nothing_written(mesh.money):
        error = await refused(mesh.posting.CreditPayment, request, metadata=ACCOUNTS)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields)


async def test_other_currency_is_refused(mesh: AuthzMesh) -> None:
    request = credit(await mesh.open_account(), mesh.ids.new("pay", 10), 10)
    request.amount.currency_code = "EUR"
    async with nothing_written(mesh.money):
        error = await refused(mesh.posting.CreditPayment, request, metadata=ACCOUNTS)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["amount.currency_code"])
