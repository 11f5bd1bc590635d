"""MakePayment, GetPayment, ListPayments."""

from __future__ import annotations

from datetime import date

import grpc
import pytest

from holdfast.accounts.v1 import account_pb2
from holdfast.payments.v1 import payment_pb2
from holdfast.payments.v1 import payment_service_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from tests.payments_mesh import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_PAYMENT,
    UNKNOWN_SOURCE,
    PaymentsMesh,
    call,
    call_replayed,
    refused,
    usd,
)


async def test_a_payment_lowers_the_balance_once(mesh: PaymentsMesh) -> None:
    """Goal: from the deposit to the balance to available credit, to the cent, and once however
    often it is asked for.
    """
    account_id = await mesh.payer(owed_minor=10_000, deposit_minor=8_000)
    request = mesh.making(account_id, 5_000)
    made = (await call(mesh.payments.MakePayment, request)).payment
    assert (made.state, made.amount) == (payment_pb2.Payment.STATE_PENDING, usd(5_000))
    assert await mesh.owed(account_id) == (10_000, 0)
    await mesh.work()
    assert await mesh.owed(account_id) == (5_000, 0)
    assert await mesh.deposit(account_id) == 3_000
    shown = await mesh.shown(made.id)
    assert (shown.state, shown.released) == (payment_pb2.Payment.STATE_SUCCEEDED, True)
    assert shown.HasField("receive_time")
    again, replayed = await call_replayed(mesh.payments.MakePayment, request)
    assert (again.payment, replayed) == (made, True)
    await mesh.work()
    assert await mesh.owed(account_id) == (5_000, 0)
    assert [one.id for one in await mesh.listed(account_id)] == [made.id]


async def test_what_cannot_be_paid_is_not(mesh: PaymentsMesh) -> None:
    """Goal: a refusal of the processor moves nothing, and says why."""
    account_id = await mesh.payer(owed_minor=10_000, deposit_minor=100)
    made = await mesh.pay(account_id, 5_000)
    await mesh.work()
    shown = await mesh.shown(made.id)
    assert (shown.state, shown.reason) == (
        payment_pb2.Payment.STATE_FAILED,
        "INSUFFICIENT_FUNDS",
    )
    assert await mesh.owed(account_id) == (10_000, 0)
    assert await mesh.deposit(account_id) == 100


@pytest.mark.parametrize(
    ("basis", "amount_minor"),
    [
        (payment_pb2.PAYMENT_BASIS_CURRENT_BALANCE, 10_000),
        (payment_pb2.PAYMENT_BASIS_STATEMENT_BALANCE, 8_000),
        (payment_pb2.PAYMENT_BASIS_MINIMUM, 3_500),
    ],
)
async def test_an_amount_follows_from_what_is_owed(
    mesh: PaymentsMesh, basis: payment_pb2.PaymentBasis.ValueType, amount_minor: int
) -> None:
    account_id = await mesh.payer(owed_minor=10_000)
    mesh.bill(account_id, 1, date(2027, 2, 9), balance_minor=8_000, minimum_minor=3_500)
    request = pb.MakePaymentRequest(
        request_id=mesh.request_id(), account_id=account_id, basis=basis
    )
    made = (await call(mesh.payments.MakePayment, request)).payment
    assert (made.amount, made.basis) == (usd(amount_minor), basis)


async def test_no_more_than_is_owed_and_a_little(mesh: PaymentsMesh) -> None:
    """Goal: what is under way counts; the rule is exact to the cent."""
    account_id = await mesh.payer(owed_minor=10_000)
    await mesh.pay(account_id, 15_000)
    found = await refused(mesh.payments.MakePayment, mesh.making(account_id, 5_001))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "OVERPAYMENT")
    assert found.metadata["most_minor"] == "5000"
    everything = mesh.making(account_id)
    everything.ClearField("amount")
    everything.basis = payment_pb2.PAYMENT_BASIS_CURRENT_BALANCE
    assert (await refused(mesh.payments.MakePayment, everything)).reason == "NOTHING_OWED"
    await mesh.pay(account_id, 5_000)
    await mesh.work()
    assert await mesh.owed(account_id) == (-10_000, 0)
    assert (await refused(mesh.payments.MakePayment, mesh.making(account_id, 1))).reason == (
        "OVERPAYMENT"
    )


async def test_each_wrong_field_is_named(mesh: PaymentsMesh) -> None:
    empty = await refused(mesh.payments.MakePayment, pb.MakePaymentRequest())
    assert empty.fields == ["request_id", "account_id", "amount"]
    account_id = await mesh.payer()
    for amount_minor in (0, -1, 2**53):
        request = mesh.making(account_id, amount_minor)
        assert (await refused(mesh.payments.MakePayment, request)).fields == ["amount.amount_minor"]
    both = mesh.making(account_id)
    both.basis = payment_pb2.PAYMENT_BASIS_MINIMUM
    both.funding_source_id = "src_1"
    found = await refused(mesh.payments.MakePayment, both)
    assert found.fields == ["funding_source_id", "basis"]
    euros = mesh.making(account_id)
    euros.amount.CopyFrom(Money(currency_code="EUR", amount_minor=1))
    assert (await refused(mesh.payments.MakePayment, euros)).fields == ["amount.currency_code"]
    assert await mesh.listed(account_id) == []


async def test_refusals(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account(owed_minor=10_000)

    async def reason(request: pb.MakePaymentRequest) -> str:
        return (await refused(mesh.payments.MakePayment, request)).reason

    assert await reason(mesh.making(UNKNOWN_ACCOUNT)) == "ACCOUNT_NOT_FOUND"
    assert await reason(mesh.making(account_id)) == "NO_FUNDING_SOURCE"
    request = mesh.making(account_id)
    request.funding_source_id = UNKNOWN_SOURCE
    assert await reason(request) == "FUNDING_SOURCE_NOT_FOUND"
    other = await mesh.open_account(owed_minor=10_000)
    request.funding_source_id = await mesh.source(other)
    assert await reason(request) == "FUNDING_SOURCE_NOT_FOUND"
    request.funding_source_id = await mesh.source(account_id)
    request.ClearField("amount")
    request.basis = payment_pb2.PAYMENT_BASIS_MINIMUM
    assert await reason(request) == "NOT_BILLED"
    mesh.accounts.holders[account_id].state = account_pb2.Account.STATE_CLOSED
    assert await reason(mesh.making(account_id)) == "ACCOUNT_CLOSED"
    mesh.accounts.refusing = True
    assert await reason(mesh.making(account_id)) == "ACCOUNTS_UNAVAILABLE"


async def test_another_content_is_another_request(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    request = mesh.making(account_id)
    await call(mesh.payments.MakePayment, request)
    request.amount.amount_minor += 1
    found = await refused(mesh.payments.MakePayment, request)
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_payments_are_listed_in_pages(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    made = []
    for _ in range(3):
        mesh.clock.advance(1)
        made.append((await mesh.pay(account_id, 100)).id)
    request = pb.ListPaymentsRequest(account_id=account_id, page_size=2)
    first = await call(mesh.payments.ListPayments, request)
    assert [one.id for one in first.payments] == [made[2], made[1]]
    request.page_token = first.next_page_token
    second = await call(mesh.payments.ListPayments, request)
    assert ([one.id for one in second.payments], second.next_page_token) == ([made[0]], "")
    request.page_token = "junk"
    request.page_size = -1
    found = await refused(mesh.payments.ListPayments, request)
    assert found.fields == ["page_size", "page_token"]
    request = pb.ListPaymentsRequest(account_id=UNKNOWN_ACCOUNT)
    assert (await refused(mesh.payments.ListPayments, request)).reason == "ACCOUNT_NOT_FOUND"


async def test_get_payment(mesh: PaymentsMesh) -> None:
    request = pb.GetPaymentRequest(payment_id=UNKNOWN_PAYMENT)
    assert (await refused(mesh.payments.GetPayment, request)).reason == "PAYMENT_NOT_FOUND"
    request = pb.GetPaymentRequest(payment_id="pay_1")
    assert (await refused(mesh.payments.GetPayment, request)).fields == ["payment_id"]


async def test_whose_payments_they_are(mesh: PaymentsMesh) -> None:
    """Goal: what belongs to somebody else is not there, for all that names it; a manager whom the
    company has removed is somebody else.
    """
    account_id = await mesh.payer()
    owner = ("x-auth-subject", mesh.accounts.holders[account_id].owner_id)
    stranger = ("x-auth-subject", "usr_0b" + "9" * 32)
    made = await mesh.pay(account_id)
    ask = pb.GetPaymentRequest(payment_id=made.id)
    assert (await call(mesh.payments.GetPayment, ask, principal=owner)).payment.id == made.id
    assert (
        await refused(mesh.payments.GetPayment, ask, principal=stranger)
    ).reason == "PAYMENT_NOT_FOUND"
    request = mesh.making(account_id, 1)
    found = await refused(mesh.payments.MakePayment, request, principal=stranger)
    assert found.reason == "ACCOUNT_NOT_FOUND"
    assert (await call(mesh.payments.MakePayment, request, principal=owner)).payment.id
    company = "co_0a" + "7" * 32
    account_id = await mesh.open_account(owner_id=company)
    manager = ("x-auth-subject", "usr_0a" + "8" * 32)
    roles = (("x-auth-roles", "manager"), ("x-auth-company", company))
    pages = pb.ListPaymentsRequest(account_id=account_id)
    await call(mesh.payments.ListPayments, pages, principal=manager, metadata=roles)
    mesh.accounts.dismissed.add(manager[1])
    found = await refused(mesh.payments.ListPayments, pages, principal=manager, metadata=roles)
    assert found.reason == "ACCOUNT_NOT_FOUND"
