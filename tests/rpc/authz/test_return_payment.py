"""ReturnPayment: balance and available credit are as if the payment had never come."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from holdfast.authz.v1 import posting_service_pb2 as postings
from tests.authz_audit import audit, lines_of, repeats
from tests.authz_checks import balance, expire_records, nothing_written, refused, usd
from tests.authz_mesh import ACCOUNTS, NETWORK, AuthzMesh
from tests.authz_messages import credit, forced, release, returned


async def _credited(mesh: AuthzMesh, account: str, amount: int, *, released: bool = False) -> str:
    payment = mesh.ids.new("pay", 10)
    await mesh.posting.CreditPayment(credit(account, payment, amount), metadata=ACCOUNTS)
    if released:
        await mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
    return payment


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("released", [False, True])
async def test_return_takes_both_back(mesh: AuthzMesh, *, released: bool, gone: bool) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await mesh.authorization.ForcePost(forced(card, 1_000), metadata=NETWORK)
    payment = await _credited(mesh, account, 1_400, released=released)
    if gone:
        await mesh.settle()
        await expire_records(mesh.money, "pay")
    answer = await mesh.posting.ReturnPayment(returned(account, payment), metadata=ACCOUNTS)
    assert (answer.result.posted, answer.result.unreleased) == (usd(1_000), usd(0))
    assert answer.result.available_credit == usd(99_000)
    assert await balance(mesh, account) == (1_000, 0, 99_000)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "X" if released else "W") == [
        ("customer_credit", 400),
        ("receivable.purchase", 1_000),
        ("settlement_cash" if released else "payments_in_transit", -1_400),
    ]
    for method in (mesh.posting.ReturnPayment, mesh.posting.ReleasePayment):
        make = returned if method is mesh.posting.ReturnPayment else release
        error = await refused(method, make(account, payment), metadata=ACCOUNTS)
        assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "PAYMENT_STATE")


async def test_return_of_what_was_spent_takes_available_credit_below_zero(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account(100)
    payment = await _credited(mesh, account, 500, released=True)
    card = await mesh.issue_card(account)
    await mesh.authorization.ForcePost(forced(card, 600), metadata=NETWORK)
    await mesh.posting.ReturnPayment(returned(account, payment), metadata=ACCOUNTS)
    assert await balance(mesh, account) == (600, 0, -500)
    await audit(mesh, account)


async def test_release_and_return_at_once(mesh: AuthzMesh) -> None:
    """Whichever wins, the payment is returned once, and no credit is left over."""
    account = await mesh.open_account()
    for _ in range(10):
        payment = await _credited(mesh, account, 400)
        results = await asyncio.gather(
            mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS),
            mesh.posting.ReturnPayment(returned(account, payment), metadata=ACCOUNTS),
            mesh.posting.ReturnPayment(returned(account, payment), metadata=ACCOUNTS),
            return_exceptions=True,
        )
        assert sum(isinstance(one, grpc.aio.AioRpcError) for one in results[1:]) == 1
        assert await balance(mesh, account) == (0, 0, 100_000)
    await audit(mesh, account)


async def test_repetition_is_the_same_answer(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    payment, other = await _credited(mesh, account, 400), await _credited(mesh, account, 300)
    request, altered = returned(account, payment), returned(account, other)
    altered.request_id = request.request_id
    await repeats(mesh, mesh.posting.ReturnPayment, request, altered, metadata=ACCOUNTS)
    await audit(mesh, account)


async def test_wrong_fields_are_named(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.posting.ReturnPayment, postings.ReturnPaymentRequest(), metadata=ACCOUNTS
        )
    assert error.code.name == "INVALID_ARGUMENT"
    assert error.fields == ["request_id", "account_id", "payment_id"]
