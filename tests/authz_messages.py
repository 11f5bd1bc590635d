"""Messages to the authorizer, as tests send them; every one gets a new request id."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.type.v1.money_pb2 import Money
from tests.authz_mesh import purchase

_NUMBERS = itertools.count(1)

SHOP = pb.Merchant(id="m-1", descriptor="Corner shop", category_code="5411", country_code="US")


def request_id() -> str:
    """One that no other message has."""
    return f"msg-{next(_NUMBERS)}"


def money(amount_minor: int, currency: str = "USD") -> Money:
    """An amount."""
    return Money(currency_code=currency, amount_minor=amount_minor)


def at_ms(ms: int) -> Timestamp:
    """An instant."""
    found = Timestamp()
    found.FromDatetime(datetime.fromtimestamp(ms / 1000, UTC))
    return found


def advice(
    card_id: str,
    amount_minor: int,
    transaction_id: str = "",
    *,
    sent_ms: int | None = None,
    network: str = "visa",
) -> rpc.AuthorizeRequest:
    """An advice of the network: approved without us."""
    request = purchase(card_id, amount_minor, request_id())
    request.message_type = pb.MESSAGE_TYPE_AUTHORIZATION_ADVICE
    if transaction_id:
        request.network_data.network = network
        request.network_data.transaction_id = transaction_id
    if sent_ms is not None:
        request.transmission_time.CopyFrom(at_ms(sent_ms))
    return request


def withdrawal(card_id: str, amount_minor: int, *, partial: bool = False) -> rpc.AuthorizeRequest:
    """A single message at an ATM."""
    request = purchase(card_id, amount_minor, request_id())
    request.message_type = pb.MESSAGE_TYPE_FINANCIAL_AUTHORIZATION
    request.merchant.category_code = "6011"
    request.point_of_sale.partial_approval_capable = partial
    return request


def increment_of(
    authorization_id: str, amount_minor: int
) -> movements.IncrementAuthorizationRequest:
    """More on an authorization."""
    return movements.IncrementAuthorizationRequest(
        request_id=request_id(), authorization_id=authorization_id, amount=money(amount_minor)
    )


def expiry_of(authorization_id: str) -> movements.ExpireAuthorizationRequest:
    """The end of a hold."""
    return movements.ExpireAuthorizationRequest(
        request_id=request_id(), authorization_id=authorization_id
    )


def forced(
    card_id: str, amount_minor: int, transaction_id: str = "", reference: str = ""
) -> movements.ForcePostRequest:
    """A clearing without authorization, or with one that the network's id names."""
    request = movements.ForcePostRequest(
        request_id=request_id(),
        card_id=card_id,
        amount=money(amount_minor),
        merchant=SHOP,
        clearing_reference=reference,
    )
    if transaction_id:
        request.network_data.network = "visa"
        request.network_data.transaction_id = transaction_id
    return request


def refund_of(
    authorization_id: str = "",
    amount_minor: int = 1,
    *,
    card_id: str = "",
    reference: str = "",
    reversal: bool = False,
) -> movements.RefundRequest:
    """A credit for a purchase, or (by `card_id`) for none."""
    return movements.RefundRequest(
        request_id=request_id(),
        authorization_id=authorization_id,
        card_id=card_id,
        amount=money(amount_minor),
        clearing_reference=reference,
        reversal=reversal,
    )


def credit(account_id: str, payment_id: str, amount_minor: int) -> postings.CreditPaymentRequest:
    """A payment received."""
    return postings.CreditPaymentRequest(
        request_id=request_id(),
        account_id=account_id,
        payment_id=payment_id,
        amount=money(amount_minor),
    )


def release(account_id: str, payment_id: str) -> postings.ReleasePaymentRequest:
    """A payment that may be spent."""
    return postings.ReleasePaymentRequest(
        request_id=request_id(), account_id=account_id, payment_id=payment_id
    )


def returned(account_id: str, payment_id: str) -> postings.ReturnPaymentRequest:
    """A payment that bounced."""
    return postings.ReturnPaymentRequest(
        request_id=request_id(), account_id=account_id, payment_id=payment_id
    )


def refund_debit(
    account_id: str, refund_id: str, payment_id: str, amount_minor: int
) -> postings.DebitRefundRequest:
    """Credit that is paid back."""
    return postings.DebitRefundRequest(
        request_id=request_id(),
        account_id=account_id,
        refund_id=refund_id,
        payment_id=payment_id,
        amount=money(amount_minor),
    )


def refund_put_back(
    account_id: str, refund_id: str, payment_id: str
) -> postings.ReverseRefundRequest:
    """Credit that was not paid back."""
    return postings.ReverseRefundRequest(
        request_id=request_id(),
        account_id=account_id,
        refund_id=refund_id,
        payment_id=payment_id,
    )


def posting(
    account_id: str, kind: postings.PostingKind.ValueType, amount_minor: int, **more: Any
) -> postings.PostEntryRequest:
    """A fee, interest or an adjustment."""
    return postings.PostEntryRequest(
        request_id=request_id(),
        account_id=account_id,
        kind=kind,
        amount=money(amount_minor),
        **more,
    )
