"""The authorizer, as payments needs it: balances, and what payments do to them. Each change is made
once: its request id follows from the payment, and the ledger never forgets one.
"""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.authz.v1 import posting_service_pb2 as posting
from holdfast.authz.v1.posting_service_pb2_grpc import PostingServiceStub
from holdfast.type.v1.money_pb2 import Money
from payments.payment import Payment
from runtime.errors import Unavailable
from runtime.validate import timestamp

CALL_TIMEOUT_S = 5.0


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


async def _answer(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise BooksUnavailable(
            "the ledger gave no answer; the outcome is unknown: repeat the same request",
            metadata={"code": error.code().name},
        ) from error
