"""ReleasePayment: a credited payment may be spent, once."""

from __future__ import annotations

import pytest

from holdfast.authz.v1 import posting_service_pb2 as postings
from tests.authz_audit import audit, lines_of, repeats
from tests.authz_checks import balance, expire_records, nothing_written, refused, usd
from tests.authz_mesh import ACCOUNTS, AuthzMesh
from tests.authz_messages import credit, release, returned


async def _credited(mesh: AuthzMesh, account: str, amount: int) -> str:
    payment = mesh.ids.new("pay", 10)
    await mesh.posting.CreditPayment(credit(account, payment, amount), metadata=ACCOUNTS)
    return payment


async def test_release_raises_available_credit(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    payment = await _credited(mesh, account, 400)
    answer = await mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
    assert (answer.result.posted, answer.result.unreleased) == (usd(-400), usd(0))
    assert answer.result.available_credit == usd(100_400)
    assert await balance(mesh, account) == (-400, 0, 100_400)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "Z") == [
        ("settlement_cash", 400),
        ("payments_in_transit", -400),
    ]
    found = await mesh.ledger.fetchval("SELECT state FROM payment WHERE id = $1", payment)
    assert found == "RELEASED"


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("state", ["released", "returned"])
async def test_only_a_credited_payment_is_released(
    mesh: AuthzMesh, state: str, *, gone: bool
) -> None:
    account = await mesh.open_account()
    payment = await _credited(mesh, account, 400)
    if state == "released":
        await mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
    else:
        await mesh.posting.ReturnPayment(returned(account, payment), metadata=ACCOUNTS)
    if gone:
        await mesh.settle()
        await expire_records(mesh.money, "req", "pay")
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.posting.ReleasePayment, release(account, payment), metadata=ACCOUNTS
        )
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "PAYMENT_STATE")


async def test_release_starts_from_the_ledger_when_the_payment_is_gone(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    payment = await _credited(mesh, account, 400)
    await mesh.settle()
    assert await expire_records(mesh.money, "pay") == 1
    await mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
    assert await balance(mesh, account) == (-400, 0, 100_400)
    await audit(mesh, account)


async def test_repetition_is_the_same_answer(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    payment, other = await _credited(mesh, account, 400), await _credited(mesh, account, 300)
    request, altered = release(account, payment), release(account, other)
    altered.request_id = request.request_id
    await repeats(mesh, mesh.posting.ReleasePayment, request, altered, metadata=ACCOUNTS)
    await audit(mesh, account)


@pytest.mark.parametrize("gone", [False, True])
async def test_payment_of_another_account_is_not_found(mesh: AuthzMesh, *, gone: bool) -> None:
    """A payment of one must not become the credit of another."""
    account, other = await mesh.open_account(), await mesh.open_account()
    payment = await _credited(mesh, account, 400)
    if gone:
        await mesh.settle()
        await expire_records(mesh.money, "pay")
    async with nothing_written(mesh.money):
        for method, request in (
            (mesh.posting.ReleasePayment, release(other, payment)),
            (mesh.posting.ReturnPayment, returned(other, payment)),
            (mesh.posting.ReleasePayment, release(account, mesh.ids.new("pay", 10))),
        ):
            error = await refused(method, request, metadata=ACCOUNTS)
            assert (error.code.name, error.reason) == ("NOT_FOUND", "PAYMENT_NOT_FOUND")


async def test_unknown_account_and_wrong_fields(mesh: AuthzMesh) -> None:
    method = mesh.posting.ReleasePayment
    async with nothing_written(mesh.money):
        request = release("acct_0a" + "0" * 32, mesh.ids.new("pay", 10))
        error = await refused(method, request, metadata=ACCOUNTS)
        assert (error.code.name, error.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
        error = await refused(method, postings.ReleasePaymentRequest(), metadata=ACCOUNTS)
        assert error.code.name == "INVALID_ARGUMENT"
        assert error.fields == ["request_id", "account_id", "payment_id"]
