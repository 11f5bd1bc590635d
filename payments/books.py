"""The authorizer, as payments needs it: balances, and what payments do to them. Each change is made
once: its request id follows from the payment, and the ledger never forgets one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

from holdfast.authz.v1 import posting_service_pb2 as posting
from holdfast.authz.v1.posting_service_pb2_grpc import PostingServiceStub
from holdfast.type.v1.money_pb2 import Money
from payments.payment import Payment
from payments.refund import Refund
from runtime.errors import Unavailable
from runtime.validate import timestamp

CALL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What the issuer owes an account, in minor units."""

    #: The credit balance.
    minor: int
    #: Payments that are not released.
    unreleased_minor: int
    #: What may be paid back now.
    refundable_minor: int


class BooksUnavailable(Unavailable):
    """The authorizer did not say what it did: ask again."""

    default_reason = "LEDGER_UNAVAILABLE"


class Books:
    """Calls the authorizer through this service's egress socket."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._posting: Any = PostingServiceStub(channel)

    async def posted_minor(self, account_id: str) -> int:
        """What an account owes now, in minor units; negative: the issuer owes."""
        request = posting.GetOwedRequest(account_id=account_id)
        found = await _answer(self._posting.GetOwed(request, timeout=CALL_TIMEOUT_S))
        return int(found.posted.amount_minor)

    async def credit(self, payment: Payment) -> None:
        """Lowers the balance by a payment."""
        assert payment.amount_minor is not None, "it has begun"
        assert payment.receive_ms is not None, "its money has come"
        request = posting.CreditPaymentRequest(
            request_id=f"{payment.id}.credit",
            account_id=payment.account_id,
            payment_id=payment.id,
            amount=Money(currency_code=payment.currency_code, amount_minor=payment.amount_minor),
            effective_time=timestamp(payment.receive_ms),
        )
        await _answer(self._posting.CreditPayment(request, timeout=CALL_TIMEOUT_S))

    async def release(self, payment: Payment) -> None:
        """Lets a payment be spent again."""
        request = posting.ReleasePaymentRequest(
            request_id=f"{payment.id}.release",
            account_id=payment.account_id,
            payment_id=payment.id,
        )
        await _answer(self._posting.ReleasePayment(request, timeout=CALL_TIMEOUT_S))

    async def take_back(self, payment: Payment) -> None:
        """Takes a payment back."""
        request = posting.ReturnPaymentRequest(
            request_id=f"{payment.id}.return",
            account_id=payment.account_id,
            payment_id=payment.id,
        )
        await _answer(self._posting.ReturnPayment(request, timeout=CALL_TIMEOUT_S))

    async def refundable(self, account_id: str) -> Credit:
        """What an account's credit balance is, and what of it may be paid back now."""
        request = posting.GetOwedRequest(account_id=account_id)
        found = await _answer(self._posting.GetOwed(request, timeout=CALL_TIMEOUT_S))
        return Credit(
            minor=max(-found.posted.amount_minor, 0),
            unreleased_minor=found.unreleased.amount_minor,
            refundable_minor=found.refundable.amount_minor,
        )

    async def debit_refund(self, refund: Refund) -> bool:
        """Takes from the balance what is paid back; False if that is not there any more."""
        request = posting.DebitRefundRequest(
            request_id=f"{refund.id}.debit",
            account_id=refund.account_id,
            refund_id=refund.id,
            payment_id=refund.payment_id,
            amount=Money(currency_code=refund.currency_code, amount_minor=refund.amount_minor),
        )
        try:
            await self._posting.DebitRefund(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            # Nothing else is refused so: the request is made once for each refund.
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                return False
            raise _unavailable(error) from error
        return True

    async def reverse_refund(self, refund: Refund) -> None:
        """Puts back what was taken."""
        request = posting.ReverseRefundRequest(
            request_id=f"{refund.id}.reverse",
            account_id=refund.account_id,
            refund_id=refund.id,
            payment_id=refund.payment_id,
        )
        await _answer(self._posting.ReverseRefund(request, timeout=CALL_TIMEOUT_S))


async def _answer(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise _unavailable(error) from error


def _unavailable(error: grpc.aio.AioRpcError) -> BooksUnavailable:
    return BooksUnavailable(
        "the ledger gave no answer; the outcome is unknown: repeat the same request",
        metadata={"code": error.code().name},
    )
