"""BackOfficeService."""

from __future__ import annotations

import grpc
import pytest

from holdfast.payments.v1 import back_office_service_pb2 as pb
from holdfast.payments.v1 import payment_pb2
from holdfast.type.v1.money_pb2 import Money
from runtime.validate import timestamp
from tests.payments_mesh import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_PAYMENT,
    PaymentsMesh,
    call,
    call_replayed,
    refused,
    usd,
)

WIRE = payment_pb2.PAYMENT_SOURCE_WIRE
Payment = payment_pb2.Payment
DAY_MS = 86_400_000


def wire(
    mesh: PaymentsMesh, account_id: str, amount_minor: int = 4_000, reference: str = "FT-1"
) -> pb.RecordTransferRequest:
    return pb.RecordTransferRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        source=WIRE,
        bank_reference=reference,
        amount=usd(amount_minor),
    )


def holding(
    mesh: PaymentsMesh, account_id: str, days: int | None, source: int = WIRE
) -> pb.SetHoldDaysRequest:
    return pb.SetHoldDaysRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        source=payment_pb2.PaymentSource.ValueType(source),
        hold_days=days,
    )


def returning(mesh: PaymentsMesh, payment_id: str) -> pb.ReturnPaymentRequest:
    return pb.ReturnPaymentRequest(
        request_id=mesh.request_id(), payment_id=payment_id, reason="R01"
    )


def releasing(mesh: PaymentsMesh, payment_id: str) -> pb.ReleasePaymentRequest:
    return pb.ReleasePaymentRequest(request_id=mesh.request_id(), payment_id=payment_id)


async def held(mesh: PaymentsMesh, account_id: str, days: int = 2) -> Payment:
    """A wire of 40.00 that was credited and is held."""
    await call(mesh.office.SetHoldDays, holding(mesh, account_id, days))
    made: Payment = (await call(mesh.office.RecordTransfer, wire(mesh, account_id))).payment
    await mesh.work()
    return made


async def test_a_transfer_is_credited_once(mesh: PaymentsMesh) -> None:
    """Goal: as of its arrival, whatever is owed, and once: not again under another request id."""
    account_id = await mesh.open_account(owed_minor=1_000)
    request = wire(mesh, account_id)
    arrived_ms = mesh.clock.now_ms() - 3 * DAY_MS
    request.receive_time.CopyFrom(timestamp(arrived_ms))
    made = (await call(mesh.office.RecordTransfer, request)).payment
    await mesh.work()
    assert await mesh.owed(account_id) == (-3_000, 0)
    shown = await mesh.shown(made.id)
    assert (shown.cause, shown.processor_reference) == (Payment.CAUSE_TRANSFER, "FT-1")
    assert shown.receive_time == timestamp(arrived_ms)
    again, replayed = await call_replayed(mesh.office.RecordTransfer, request)
    assert (again.payment, replayed) == (made, True)
    request.request_id = mesh.request_id()
    assert (await call(mesh.office.RecordTransfer, request)).payment.id == made.id
    await mesh.work()
    assert await mesh.owed(account_id) == (-3_000, 0)
    other = wire(mesh, account_id, amount_minor=4_001)
    found = await refused(mesh.office.RecordTransfer, other)
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "TRANSFER_EXISTS")


@pytest.mark.parametrize("odd", ["{} ", " {}", "{}\u00a0", "\u200b{}", "{}\t"])
async def test_a_transfer_is_credited_once_whatever_nobody_sees(
    mesh: PaymentsMesh, odd: str
) -> None:
    """Goal: a reference that was pasted with a space is not another transfer."""
    account_id = await mesh.open_account()
    request = wire(mesh, account_id)
    await call(mesh.office.RecordTransfer, request)
    again = wire(mesh, account_id)
    again.bank_reference = odd.format(request.bank_reference)
    found = await refused(mesh.office.RecordTransfer, again)
    assert (found.code, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["bank_reference"])
    await mesh.work()
    assert await mesh.owed(account_id) == (-request.amount.amount_minor, 0)


async def test_wrong_transfers(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account()
    found = await refused(mesh.office.RecordTransfer, pb.RecordTransferRequest())
    fields = ["request_id", "account_id", "source", "bank_reference", "amount"]
    assert found.fields == fields
    request = wire(mesh, account_id, 0)
    request.source = payment_pb2.PAYMENT_SOURCE_IN_HOUSE
    request.receive_time.CopyFrom(timestamp(mesh.clock.now_ms() + 1))
    found = await refused(mesh.office.RecordTransfer, request)
    assert found.fields == ["source", "amount.amount_minor", "receive_time"]
    found = await refused(mesh.office.RecordTransfer, wire(mesh, UNKNOWN_ACCOUNT))
    assert found.reason == "ACCOUNT_NOT_FOUND"
    request = wire(mesh, account_id)
    request.amount.CopyFrom(Money(currency_code="EUR", amount_minor=1))
    assert (await refused(mesh.office.RecordTransfer, request)).fields == ["amount.currency_code"]


async def test_a_payment_is_held_for_its_days(mesh: PaymentsMesh) -> None:
    """Goal: credited at once, spent again in the morning after so many days, not before."""
    account_id = await mesh.open_account(owed_minor=10_000)
    made = await held(mesh, account_id)
    assert await mesh.owed(account_id) == (6_000, 4_000)
    shown = await mesh.shown(made.id)
    assert (shown.state, shown.released, shown.hold_days) == (Payment.STATE_SUCCEEDED, False, 2)
    await mesh.until("2027-01-22", 10)
    assert await mesh.owed(account_id) == (6_000, 4_000)
    await mesh.until("2027-01-22", 11)
    assert await mesh.owed(account_id) == (6_000, 0)
    assert (await mesh.shown(made.id)).released


async def test_release_before_its_time(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account(owed_minor=10_000)
    made = await held(mesh, account_id)
    request = releasing(mesh, made.id)
    for expected in (False, True):
        _, replayed = await call_replayed(mesh.office.ReleasePayment, request)
        assert replayed is expected
    await mesh.work()
    assert await mesh.owed(account_id) == (6_000, 0)
    found = await refused(mesh.office.ReleasePayment, releasing(mesh, made.id))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_STATE")
    found = await refused(mesh.office.ReleasePayment, releasing(mesh, UNKNOWN_PAYMENT))
    assert found.reason == "PAYMENT_NOT_FOUND"


async def test_a_return_takes_balance_and_credit_back(mesh: PaymentsMesh) -> None:
    """Goal: held or released, it is as if it had never come; once."""
    account_id = await mesh.open_account(owed_minor=10_000)
    made = await held(mesh, account_id)
    request = returning(mesh, made.id)
    for expected in (False, True):
        _, replayed = await call_replayed(mesh.office.ReturnPayment, request)
        assert replayed is expected
    await mesh.work()
    assert await mesh.owed(account_id) == (10_000, 0)
    shown = await mesh.shown(made.id)
    assert (shown.state, shown.reason, shown.released) == (Payment.STATE_RETURNED, "R01", False)
    found = await refused(mesh.office.ReturnPayment, returning(mesh, made.id))
    assert (found.reason, found.metadata["state"]) == ("PAYMENT_STATE", "RETURNED")
    await mesh.until("2027-02-01")
    assert await mesh.owed(account_id) == (10_000, 0)
    bad = pb.ReturnPaymentRequest(payment_id="x", reason="no funds")
    found = await refused(mesh.office.ReturnPayment, bad)
    assert found.fields == ["request_id", "payment_id", "reason"]
    found = await refused(mesh.office.ReturnPayment, returning(mesh, UNKNOWN_PAYMENT))
    assert found.reason == "PAYMENT_NOT_FOUND"


async def test_a_return_after_release_may_leave_less_than_nothing(mesh: PaymentsMesh) -> None:
    """Goal: what was spent meanwhile is owed; and an in-house deposit has its money back."""
    account_id = await mesh.open_account(owed_minor=10_000, limit_minor=10_000)
    await mesh.source(account_id, deposit_minor=9_000)
    made = await mesh.pay(account_id, 9_000)
    await mesh.work()
    await mesh.buy(account_id, 8_000)
    await call(mesh.office.ReturnPayment, returning(mesh, made.id))
    await mesh.work()
    assert await mesh.owed(account_id) == (18_000, 0)
    assert await mesh.deposit(account_id) == 9_000


async def test_what_brought_nothing_cannot_go_back(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer(deposit_minor=1)
    made = await mesh.pay(account_id)
    for _ in range(2):
        found = await refused(mesh.office.ReturnPayment, returning(mesh, made.id))
        assert found.reason == "PAYMENT_STATE"
        await mesh.work()


async def test_hold_days_of_an_account(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account()
    request = holding(mesh, account_id, 30)
    for expected in (False, True):
        answer, replayed = await call_replayed(mesh.office.SetHoldDays, request)
        assert (answer.hold_days, replayed) == (30, expected)
    back = holding(mesh, account_id, None, payment_pb2.PAYMENT_SOURCE_ACH)
    assert (await call(mesh.office.SetHoldDays, back)).hold_days == 5
    for days in (-1, 31):
        found = await refused(mesh.office.SetHoldDays, holding(mesh, account_id, days))
        assert found.fields == ["hold_days"]
    found = await refused(mesh.office.SetHoldDays, holding(mesh, UNKNOWN_ACCOUNT, 1, 0))
    assert found.fields == ["source"]
    found = await refused(mesh.office.SetHoldDays, holding(mesh, UNKNOWN_ACCOUNT, 1))
    assert found.reason == "ACCOUNT_NOT_FOUND"


async def test_deposits(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account()
    request = pb.AddDepositRequest(
        request_id=mesh.request_id(), account_id=account_id, amount=usd(2**53 - 2)
    )
    for expected in (False, True):
        answer, replayed = await call_replayed(mesh.office.AddDeposit, request)
        assert (answer.balance, replayed) == (usd(2**53 - 2), expected)
    request.request_id = mesh.request_id()
    assert (await refused(mesh.office.AddDeposit, request)).fields == ["amount.amount_minor"]
    request.amount.CopyFrom(Money(currency_code="EUR", amount_minor=1))
    assert (await refused(mesh.office.AddDeposit, request)).fields == ["amount.currency_code"]
    request.account_id = UNKNOWN_ACCOUNT
    assert (await refused(mesh.office.AddDeposit, request)).reason == "ACCOUNT_NOT_FOUND"
    found = await refused(mesh.office.AddDeposit, pb.AddDepositRequest())
    assert found.fields == ["request_id", "account_id", "amount"]
