"""Wire to commands for refunds, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.payments.v1 import refund_pb2, refund_service_pb2
from payments import convert
from payments.payment import Payment
from payments.refund import Refund, RefundStep, WrongRefundState
from runtime import ids
from runtime.errors import FailedPrecondition, NotFound
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRefund:
    """What is to be paid back."""

    account_id: str
    #: Empty: the latest payments.
    payment_id: str
    #: None: all that can be.
    amount_minor: int | None
    #: Empty: no amount is named.
    currency_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What became of a refund: one of the two."""

    refund_id: str
    bank_reference: str
    failure_reason: str


def refund_credit_balance(
    request: refund_service_pb2.RefundCreditBalanceRequest, context: Any
) -> tuple[RequestKey, WantedRefund]:
    """Checks RefundCreditBalanceRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.money("amount", request, minimum=1, required=False)
    violations.id("payment_id", request.payment_id, ids.PAYMENT, required=False)
    violations.raise_if_any()
    given = request.HasField("amount")
    return key, WantedRefund(
        account_id=request.account_id,
        payment_id=request.payment_id,
        amount_minor=request.amount.amount_minor if given else None,
        currency_code=request.amount.currency_code if given else "",
    )


def conclude_refund(
    request: refund_service_pb2.ConcludeRefundRequest, context: Any
) -> tuple[RequestKey, Conclusion]:
    """Checks ConcludeRefundRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("refund_id", request.refund_id, ids.REFUND)
    violations.text("bank_reference", request.bank_reference, limit=convert.BANK_REFERENCE_LENGTH)
    if request.bank_reference and request.failure_reason:
        violations.add("failure_reason", "must be empty where bank_reference is given")
    elif not request.bank_reference and not request.failure_reason:
        violations.add("bank_reference", "is required, or failure_reason")
    elif request.failure_reason and not convert.is_reason(request.failure_reason):
        violations.add("failure_reason", "must be 1 to 64 characters of A-Z 0-9 _")
    violations.raise_if_any()
    return key, Conclusion(
        refund_id=request.refund_id,
        bank_reference=request.bank_reference,
        failure_reason=request.failure_reason,
    )


def outgoing_page(request: refund_service_pb2.ListOutgoingRefundsRequest) -> Page:
    """Checks ListOutgoingRefundsRequest."""
    violations = Violations()
    found = page_of(
        request.page_size, request.page_token, scope="outgoing_refunds", violations=violations
    )
    violations.raise_if_any()
    return found


def refund(one: Refund, payment: Payment | None = None) -> refund_pb2.Refund:
    """The message that shows a refund; `payment`: the transfer that an outgoing one gives back."""
    return refund_pb2.Refund(
        id=one.id,
        account_id=one.account_id,
        payment_id=one.payment_id,
        source=convert.SOURCE_NUMBERS[one.source],
        state=refund_pb2.Refund.State.Value(f"STATE_{one.state}"),
        amount=convert.money(one.amount_minor, one.currency_code),
        send_by_date=str(one.send_by),
        reason=one.reason,
        processor_reference=one.reference,
        outgoing=one.step is RefundStep.CONFIRM,
        transfer_reference=payment.bank_reference if payment else "",
        version=one.version,
        create_time=timestamp(one.create_ms),
        update_time=timestamp(one.update_ms),
    )


def refund_not_found(name: str) -> NotFound:
    """The error for an unknown refund."""
    return NotFound("no such refund", reason="REFUND_NOT_FOUND", metadata={"refund_id": name})


def wrong_refund_state(error: WrongRefundState) -> FailedPrecondition:
    """The error that says what a refund's state forbids."""
    found = error.refund
    return FailedPrecondition(
        f"the refund is {found.state}, and nothing is concluded about it now",
        reason="REFUND_STATE",
        metadata={"refund_id": found.id, "state": found.state},
    )
