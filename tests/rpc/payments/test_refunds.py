"""RefundService: credit balances that are paid back."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.message import Message

from holdfast.accounts.v1 import statement_pb2
from holdfast.payments.v1 import back_office_service_pb2, payment_pb2, refund_pb2
from holdfast.payments.v1 import refund_service_pb2 as pb
from tests.payments_mesh import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_PAYMENT,
    PaymentsMesh,
    call,
    call_replayed,
    refused,
    usd,
)

Payment = payment_pb2.Payment
Refund = refund_pb2.Refund
UNKNOWN_REFUND = "rfd_0a" + "6" * 32
#: The clock stands at noon of Wednesday, 20 January 2027.
SEND_BY = "2027-01-29"


def paying_back(
    mesh: PaymentsMesh, account_id: str, amount_minor: int = 0, payment_id: str = ""
) -> pb.RefundCreditBalanceRequest:
    return pb.RefundCreditBalanceRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        amount=usd(amount_minor) if amount_minor else None,
        payment_id=payment_id,
    )


def concluding(mesh: PaymentsMesh, refund_id: str, **more: str) -> pb.ConcludeRefundRequest:
    return pb.ConcludeRefundRequest(request_id=mesh.request_id(), refund_id=refund_id, **more)


async def paid(mesh: PaymentsMesh, *amounts: int, owed_minor: int = 0) -> tuple[str, list[str]]:
    """An account that has paid from its deposit, more than it owes; the payments by age."""
    account_id = await mesh.payer(owed_minor=owed_minor)
    names = []
    for amount_minor in amounts:
        names.append((await mesh.pay(account_id, amount_minor)).id)
        await mesh.work()
        mesh.clock.advance(1_000)
    return account_id, names


async def wired(mesh: PaymentsMesh, amount_minor: int = 4_000) -> tuple[str, str]:
    """An account that nobody asked for a wire, and the wire."""
    account_id = await mesh.open_account()
    made = await call(
        mesh.office.RecordTransfer,
        back_office_service_pb2.RecordTransferRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            source=payment_pb2.PAYMENT_SOURCE_WIRE,
            bank_reference=f"FT-{account_id[-4:]}",
            amount=usd(amount_minor),
        ),
    )
    await mesh.work()
    return account_id, made.payment.id


async def shown(mesh: PaymentsMesh, refund_id: str) -> Refund:
    found: Refund = (
        await call(mesh.refunds.GetRefund, pb.GetRefundRequest(refund_id=refund_id))
    ).refund
    return found


async def told(mesh: PaymentsMesh, kind: str) -> int:
    found: int = await mesh.pool.fetchval("SELECT count(*) FROM event WHERE type = $1", kind)
    return found


async def test_all_credit_goes_back_to_the_latest_payments(mesh: PaymentsMesh) -> None:
    """Goal: all of the last payment, the rest from the one before; states, balance and deposit say
    so; a repetition is the same answer, and nothing is left for a second one.
    """
    account_id, (first, second) = await paid(mesh, 3_000, 2_000, owed_minor=1_000)
    deposit_minor = await mesh.deposit(account_id)
    request = paying_back(mesh, account_id)
    answer = await call(mesh.refunds.RefundCreditBalance, request)
    assert [(one.payment_id, one.amount.amount_minor) for one in answer.refunds] == [
        (second, 2_000),
        (first, 2_000),
    ]
    assert {(one.state, one.send_by_date) for one in answer.refunds} == {
        (Refund.STATE_PENDING, SEND_BY)
    }
    await mesh.work()
    assert await mesh.owed(account_id) == (0, 0)
    assert await mesh.deposit(account_id) == deposit_minor + 4_000
    part, whole = await mesh.listed(account_id)
    assert (part.state, part.refunded_amount) == (Payment.STATE_SUCCEEDED, usd(2_000))
    assert (whole.state, whole.refunded_amount) == (Payment.STATE_REFUNDED, usd(2_000))
    listed = await call(mesh.refunds.ListRefunds, pb.ListRefundsRequest(account_id=account_id))
    assert {one.state for one in listed.refunds} == {Refund.STATE_SUCCEEDED}
    assert {one.id for one in listed.refunds} == {one.id for one in answer.refunds}
    again, replayed = await call_replayed(mesh.refunds.RefundCreditBalance, request)
    assert (again, replayed) == (answer, True)
    request.amount.CopyFrom(usd(1))
    error = await refused(mesh.refunds.RefundCreditBalance, request)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    error = await refused(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "NO_CREDIT_BALANCE",
    )
    assert await told(mesh, "payment.refunded") == 2


async def test_a_named_payment_and_an_amount(mesh: PaymentsMesh) -> None:
    account_id, (first, second) = await paid(mesh, 3_000, 2_000)
    request = paying_back(mesh, account_id, 500, first)
    (made,) = (await call(mesh.refunds.RefundCreditBalance, request)).refunds
    assert (made.payment_id, made.amount) == (first, usd(500))
    for name, amount_minor, reason in (
        (second, 2_001, "NO_REFUNDABLE_PAYMENT"),
        ("", 4_501, "CREDIT_BALANCE_EXCEEDED"),
        (UNKNOWN_PAYMENT, 0, "PAYMENT_NOT_FOUND"),
    ):
        error = await refused(
            mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id, amount_minor, name)
        )
        assert error.reason == reason
    await mesh.work()
    (rest,) = (
        await call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id, 0, first))
    ).refunds
    assert rest.amount == usd(2_500)
    await mesh.work()
    error = await refused(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id, 0, first))
    assert error.reason == "PAYMENT_NOT_REFUNDABLE"
    other_id, _ = await paid(mesh, 100)
    error = await refused(mesh.refunds.RefundCreditBalance, paying_back(mesh, other_id, 0, second))
    assert error.reason == "PAYMENT_NOT_FOUND"


async def test_two_at_once_pay_back_once(mesh: PaymentsMesh) -> None:
    """Whoever is first; also where the credit is spent between the answer and the debit."""
    account_id, _ = await paid(mesh, 3_000)
    calls = (
        call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id, 2_000))
        for _ in range(4)
    )
    results = await asyncio.gather(*calls, return_exceptions=True)
    made = [one for one in results if not isinstance(one, BaseException)]
    assert len(made) == 1
    await mesh.buy(account_id, 1_500)
    await mesh.work()
    found = await shown(mesh, made[0].refunds[0].id)
    assert (found.state, found.reason) == (Refund.STATE_FAILED, "CREDIT_BALANCE_GONE")
    assert await mesh.owed(account_id) == (-1_500, 0)
    assert {one.state for one in await mesh.listed(account_id)} == {Payment.STATE_SUCCEEDED}
    assert await told(mesh, "payment.refund_failed") == 1


async def test_what_is_not_released_is_not_paid_back(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer(owed_minor=0)
    await call(
        mesh.office.SetHoldDays,
        back_office_service_pb2.SetHoldDaysRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            source=payment_pb2.PAYMENT_SOURCE_IN_HOUSE,
            hold_days=2,
        ),
    )
    made = await mesh.pay(account_id)
    await mesh.work()
    error = await refused(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))
    assert error.reason == "CREDIT_NOT_RELEASED"
    await mesh.until("2027-01-22")
    (found,) = (await call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))).refunds
    assert (found.payment_id, found.amount) == (made.id, usd(5_000))


async def test_a_returned_payment_is_not_paid_back(mesh: PaymentsMesh) -> None:
    """Returned before it was asked for, and between the debit and the processor. One that is
    returned after all of it was paid back is owed: both have happened.
    """
    account_id, (back, early, late) = await paid(mesh, 1_000, 2_000, 3_000)

    async def returns(name: str) -> None:
        await call(
            mesh.office.ReturnPayment,
            back_office_service_pb2.ReturnPaymentRequest(
                request_id=mesh.request_id(), payment_id=name, reason="R10"
            ),
        )

    await returns(back)
    await mesh.work()
    error = await refused(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id, 1, back))
    assert (error.reason, error.metadata["state"]) == ("PAYMENT_NOT_REFUNDABLE", "RETURNED")
    (one,) = (
        await call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id, 0, early))
    ).refunds
    await mesh.parts.refunds.work_due()
    await returns(early)
    await mesh.work()
    found = await shown(mesh, one.id)
    assert (found.state, found.reason) == (Refund.STATE_FAILED, "PAYMENT_RETURNED")
    await call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))
    await mesh.work()
    assert await mesh.state(late) == "REFUNDED"
    assert await mesh.owed(account_id) == (0, 0)
    await returns(late)
    await mesh.work()
    gone = await mesh.shown(late)
    assert (gone.state, gone.refunded_amount) == (Payment.STATE_RETURNED, usd(3_000))
    assert await mesh.owed(account_id) == (3_000, 0)


async def test_a_wire_is_paid_back_by_staff(mesh: PaymentsMesh) -> None:
    """Listed until staff says that it was sent; what comes back is in the balance again."""
    account_id, payment_id = await wired(mesh)
    (made,) = (await call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))).refunds
    error = await refused(
        mesh.refunds.ConcludeRefund, concluding(mesh, made.id, bank_reference="OUT-1")
    )
    assert error.reason == "REFUND_STATE"
    await mesh.work()
    assert await mesh.owed(account_id) == (0, 0)
    (listed,) = (
        await call(mesh.refunds.ListOutgoingRefunds, pb.ListOutgoingRefundsRequest())
    ).refunds
    assert (listed.id, listed.state, listed.outgoing) == (made.id, Refund.STATE_PROCESSING, True)
    assert listed.transfer_reference == f"FT-{account_id[-4:]}"
    request = concluding(mesh, made.id, bank_reference="OUT-1")
    sent = (await call(mesh.refunds.ConcludeRefund, request)).refund
    assert (sent.state, sent.processor_reference) == (Refund.STATE_SUCCEEDED, "OUT-1")
    again, replayed = await call_replayed(mesh.refunds.ConcludeRefund, request)
    assert (again.refund, replayed) == (sent, True)
    request.bank_reference = "OUT-2"
    assert (await refused(mesh.refunds.ConcludeRefund, request)).reason == "REQUEST_ID_REUSED"
    assert await mesh.state(payment_id) == "REFUNDED"
    empty = await call(mesh.refunds.ListOutgoingRefunds, pb.ListOutgoingRefundsRequest())
    assert not empty.refunds
    back = concluding(mesh, made.id, failure_reason="ACCOUNT_UNKNOWN")
    await call(mesh.refunds.ConcludeRefund, back)
    await mesh.work()
    found = await shown(mesh, made.id)
    assert (found.state, found.reason) == (Refund.STATE_FAILED, "ACCOUNT_UNKNOWN")
    restored = await mesh.shown(payment_id)
    assert (restored.state, restored.HasField("refunded_amount")) == (
        Payment.STATE_SUCCEEDED,
        False,
    )
    assert await mesh.owed(account_id) == (-4_000, 0)
    back.request_id = mesh.request_id()
    error = await refused(mesh.refunds.ConcludeRefund, back)
    assert (error.reason, error.metadata["state"]) == ("REFUND_STATE", "FAILED")


async def test_a_reference_of_the_bank_is_one_refund(mesh: PaymentsMesh) -> None:
    for reason in ("", "TRANSFER_EXISTS"):
        account_id, _ = await wired(mesh)
        (made,) = (
            await call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))
        ).refunds
        await mesh.work()
        request = concluding(mesh, made.id, bank_reference="OUT-7")
        if reason:
            assert (await refused(mesh.refunds.ConcludeRefund, request)).reason == reason
        else:
            await call(mesh.refunds.ConcludeRefund, request)


async def test_what_was_charged_off_is_owed(mesh: PaymentsMesh) -> None:
    account_id, _ = await paid(mesh, 1_000)
    mesh.accounts.bills[account_id] = statement_pb2.BillingSummary(
        account_id=account_id, last_statement_number=9, charged_off=usd(1)
    )
    error = await refused(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ACCOUNT_CHARGED_OFF",
    )


async def test_credit_that_no_payment_has_brought(mesh: PaymentsMesh) -> None:
    """All that payments cover; what they do not, nobody can be given back."""
    account_id, (name,) = await paid(mesh, 1_000)
    await mesh.pool.execute("UPDATE payment SET amount_minor = 400 WHERE id = $1", name)
    error = await refused(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id, 401))
    assert (error.reason, error.metadata["most_minor"]) == ("NO_REFUNDABLE_PAYMENT", "400")
    (made,) = (await call(mesh.refunds.RefundCreditBalance, paying_back(mesh, account_id))).refunds
    assert made.amount == usd(400)


async def test_unknown_things(mesh: PaymentsMesh) -> None:
    for method, request, reason in (
        ("RefundCreditBalance", paying_back(mesh, UNKNOWN_ACCOUNT), "ACCOUNT_NOT_FOUND"),
        ("ListRefunds", pb.ListRefundsRequest(account_id=UNKNOWN_ACCOUNT), "ACCOUNT_NOT_FOUND"),
        ("GetRefund", pb.GetRefundRequest(refund_id=UNKNOWN_REFUND), "REFUND_NOT_FOUND"),
        (
            "ConcludeRefund",
            concluding(mesh, UNKNOWN_REFUND, bank_reference="OUT-1"),
            "REFUND_NOT_FOUND",
        ),
    ):
        error = await refused(getattr(mesh.refunds, method), request)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, reason)


WRONG = pb.RefundCreditBalanceRequest(payment_id="x", amount=usd(0))


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        (
            "RefundCreditBalance",
            WRONG,
            ["request_id", "account_id", "amount.amount_minor", "payment_id"],
        ),
        ("GetRefund", pb.GetRefundRequest(refund_id="x"), ["refund_id"]),
        (
            "ListRefunds",
            pb.ListRefundsRequest(page_size=-1, page_token="x"),
            ["account_id", "page_size", "page_token"],
        ),
        (
            "ListOutgoingRefunds",
            pb.ListOutgoingRefundsRequest(page_size=-1, page_token="x"),
            ["page_size", "page_token"],
        ),
        (
            "ConcludeRefund",
            pb.ConcludeRefundRequest(),
            ["request_id", "refund_id", "bank_reference"],
        ),
        (
            "ConcludeRefund",
            pb.ConcludeRefundRequest(
                request_id="r",
                refund_id=UNKNOWN_REFUND,
                bank_reference="x" * 65,
                failure_reason="R",
            ),
            ["bank_reference", "failure_reason"],
        ),
        (
            "ConcludeRefund",
            pb.ConcludeRefundRequest(
                request_id="r", refund_id=UNKNOWN_REFUND, failure_reason="no!"
            ),
            ["failure_reason"],
        ),
    ],
)
async def test_wrong_fields_are_named(
    mesh: PaymentsMesh, method: str, request_: Message, fields: list[str]
) -> None:
    error = await refused(getattr(mesh.refunds, method), request_)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


async def test_another_currency(mesh: PaymentsMesh) -> None:
    account_id, _ = await paid(mesh, 1_000)
    request = paying_back(mesh, account_id, 100)
    request.amount.currency_code = "EUR"
    error = await refused(mesh.refunds.RefundCreditBalance, request)
    assert error.fields == ["amount.currency_code"]
