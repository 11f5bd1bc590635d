"""DebitRefund and ReverseRefund: credit is paid back once, and never more than there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from holdfast.authz.v1 import posting_service_pb2 as postings
from tests.authz_audit import audit, lines_of, repeats
from tests.authz_checks import approved, balance, expire_records, nothing_written, refused, usd
from tests.authz_mesh import ACCOUNTS, NETWORK, AuthzMesh
from tests.authz_messages import credit, forced, refund_debit, refund_put_back, release
from tests.payments_mesh import PAYMENTS

PAID = 1_000


async def _overpaid(mesh: AuthzMesh, *, limit: int = 100, released: bool = True) -> tuple[str, str]:
    """An account that is owed PAID, and its payment."""
    account, payment = await mesh.open_account(limit), mesh.ids.new("pay", 10)
    await mesh.posting.CreditPayment(credit(account, payment, PAID), metadata=ACCOUNTS)
    if released:
        await mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
    return account, payment


async def _refundable(mesh: AuthzMesh, account: str) -> int:
    found = await mesh.posting.GetOwed(
        postings.GetOwedRequest(account_id=account), metadata=PAYMENTS
    )
    return found.refundable.amount_minor


async def _exceeded(mesh: AuthzMesh, account: str, payment: str, amount: int) -> None:
    request = refund_debit(account, mesh.ids.new("rfd", 10), payment, amount)
    async with nothing_written(mesh.money):
        error = await refused(mesh.posting.DebitRefund, request, metadata=PAYMENTS)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "CREDIT_BALANCE_EXCEEDED")


@pytest.mark.parametrize("gone", [False, True])
async def test_debit_and_reversal(mesh: AuthzMesh, *, gone: bool) -> None:
    """Also of a refund that only the ledger still knows."""
    account, payment = await _overpaid(mesh)
    refund = mesh.ids.new("rfd", 10)
    debit = refund_debit(account, refund, payment, 700)
    answer = await mesh.posting.DebitRefund(debit, metadata=PAYMENTS)
    assert (answer.result.posted, answer.result.unreleased) == (usd(-300), usd(0))
    assert await balance(mesh, account) == (-300, 0, 400)
    if gone:
        await mesh.settle()
        await expire_records(mesh.money, "pay")
    again = refund_debit(account, refund, payment, 1)
    error = await refused(mesh.posting.DebitRefund, again, metadata=PAYMENTS)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "REFUND_EXISTS")
    # A purchase in between: what is put back pays it first.
    card = await mesh.issue_card(account)
    await mesh.authorization.ForcePost(forced(card, 500), metadata=NETWORK)
    put_back = refund_put_back(account, refund, payment)
    after = await mesh.posting.ReverseRefund(put_back, metadata=PAYMENTS)
    assert after.result.posted == usd(-500)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "f") == [
        ("customer_credit", 700),
        ("settlement_cash", -700),
    ]
    assert await lines_of(mesh, account, "g") == [
        ("settlement_cash", 700),
        ("receivable.purchase", -200),
        ("customer_credit", -500),
    ]
    error = await refused(
        mesh.posting.ReverseRefund, refund_put_back(account, refund, payment), metadata=PAYMENTS
    )
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "REFUND_STATE")


async def test_no_more_than_there_is(mesh: AuthzMesh) -> None:
    """Neither what is not released, nor what holds need beside the credit limit."""
    account, payment = await _overpaid(mesh, limit=100, released=False)
    assert await _refundable(mesh, account) == 0
    await _exceeded(mesh, account, payment, 1)
    await mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
    assert await _refundable(mesh, account) == PAID
    await _exceeded(mesh, account, payment, PAID + 1)
    # 1,100 may be spent; 400 are held, of which the limit bears 100.
    await approved(mesh, await mesh.issue_card(account), 400)
    assert await _refundable(mesh, account) == 700
    await _exceeded(mesh, account, payment, 701)
    debit = refund_debit(account, mesh.ids.new("rfd", 10), payment, 700)
    await mesh.posting.DebitRefund(debit, metadata=PAYMENTS)
    assert await balance(mesh, account) == (-300, 400, 0)
    assert await _refundable(mesh, account) == 0
    await audit(mesh, account)


async def test_refunds_and_purchases_at_once(mesh: AuthzMesh) -> None:
    """Whoever is first: what is paid back and what is bought is never more than there was."""
    account, payment = await _overpaid(mesh, limit=0)
    card = await mesh.issue_card(account)
    calls: list[Awaitable[Any]] = [
        *(
            mesh.posting.DebitRefund(
                refund_debit(account, mesh.ids.new("rfd", 10), payment, 300), metadata=PAYMENTS
            )
            for _ in range(6)
        ),
        *(approved(mesh, card, 200) for _ in range(3)),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    debited = [one for one in results[:6] if not isinstance(one, BaseException)]
    refusals = [one for one in results[:6] if isinstance(one, grpc.aio.AioRpcError)]
    assert len(debited) + len(refusals) == 6
    posted, held, available = await balance(mesh, account)
    assert (posted, available) == (-PAID + 300 * len(debited), -posted - held)
    assert available >= 0
    assert len(debited) <= 3
    await audit(mesh, account)


async def test_repetition_is_the_same_answer(mesh: AuthzMesh) -> None:
    account, payment = await _overpaid(mesh)
    refund, other = mesh.ids.new("rfd", 10), mesh.ids.new("rfd", 10)
    request = refund_debit(account, refund, payment, 100)
    altered = refund_debit(account, refund, payment, 101)
    altered.request_id = request.request_id
    await repeats(mesh, mesh.posting.DebitRefund, request, altered, metadata=PAYMENTS)
    back, otherwise = (refund_put_back(account, one, payment) for one in (refund, other))
    otherwise.request_id = back.request_id
    await repeats(mesh, mesh.posting.ReverseRefund, back, otherwise, metadata=PAYMENTS)
    await audit(mesh, account)


async def test_foreign_and_unknown_refunds(mesh: AuthzMesh) -> None:
    (account, payment), (other, _) = await _overpaid(mesh), await _overpaid(mesh)
    refund = mesh.ids.new("rfd", 10)
    await mesh.posting.DebitRefund(refund_debit(account, refund, payment, 100), metadata=PAYMENTS)
    for request in (
        refund_put_back(other, refund, payment),
        refund_put_back(account, mesh.ids.new("rfd", 10), payment),
    ):
        error = await refused(mesh.posting.ReverseRefund, request, metadata=PAYMENTS)
        assert (error.code.name, error.reason) == ("NOT_FOUND", "REFUND_NOT_FOUND")
    unknown = refund_debit(mesh.ids.new("acct", 10), refund, payment, 1)
    error = await refused(mesh.posting.DebitRefund, unknown, metadata=PAYMENTS)
    assert (error.code.name, error.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    error = await refused(
        mesh.posting.DebitRefund, refund_debit(account, refund, payment, 1), metadata=ACCOUNTS
    )
    assert error.code.name == "PERMISSION_DENIED"


async def test_wrong_fields_are_named(mesh: AuthzMesh) -> None:
    elsewhere = refund_debit(
        mesh.ids.new("acct", 10), mesh.ids.new("rfd", 11), mesh.ids.new("pay", 11), 1
    )
    for request, fields in (
        (
            postings.DebitRefundRequest(),
            ["request_id", "amount", "account_id", "payment_id", "refund_id"],
        ),
        (elsewhere, ["payment_id", "refund_id"]),
    ):
        async with nothing_written(mesh.money):
            error = await refused(mesh.posting.DebitRefund, request, metadata=PAYMENTS)
        assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields)
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.posting.ReverseRefund, postings.ReverseRefundRequest(), metadata=PAYMENTS
        )
    assert error.fields == ["request_id", "account_id", "payment_id", "refund_id"]
