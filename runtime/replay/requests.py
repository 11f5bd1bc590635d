"""The requests of a replay. Pure: equal run, line and row make equal requests, so that sending one
again, now or after an interruption, is answered as the first time.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import Protocol

from holdfast.accounts.v1 import account_service_pb2, card_pb2, card_service_pb2
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import ms_of
from runtime.money import EXPONENTS
from runtime.replay.rows import Row
from runtime.validate import timestamp

#: What the purchases name as their network.
NETWORK = "replay"
#: Decimals of a conversion rate, and characters that the contract allows.
RATE_DECIMALS = 10
RATE_LENGTH_MAX = 20


def open_account(
    run_id: str, *, last4: str, currency: str, credit_limit_minor: int
) -> account_service_pb2.OpenAccountRequest:
    """The account of a card of the file. Its owner is made up, one for each card of each run."""
    digest = blake2b(f"{run_id}\x00{last4}".encode(), digest_size=16).hexdigest()
    partition = ids.partition_for_owner(digest)
    return account_service_pb2.OpenAccountRequest(
        request_id=f"{run_id}.{last4}.account",
        # RFC 9562 §5.8: a UUID with content of our own is version 8.
        owner_id=f"{ids.USER}_{partition:02x}{digest[:12]}8{digest[13:16]}8{digest[17:]}",
        credit_limit=Money(currency_code=currency, amount_minor=credit_limit_minor),
    )


def issue_card(run_id: str, *, last4: str, account_id: str) -> card_service_pb2.IssueCardRequest:
    """The card of that account; virtual, because it is active at once."""
    return card_service_pb2.IssueCardRequest(
        request_id=f"{run_id}.{last4}.card",
        account_id=account_id,
        kind=card_pb2.Card.KIND_VIRTUAL,
    )


def authorize(run_id: str, row: Row, *, card_id: str) -> rpc.AuthorizeRequest:
    """The purchase of a row, on the row's day."""
    request = rpc.AuthorizeRequest(
        request_id=f"{run_id}.{row.line}.authorize",
        card_id=card_id,
        amount=Money(currency_code=row.currency, amount_minor=row.amount_minor),
        merchant=pb.Merchant(descriptor=row.merchant),
        network_data=pb.NetworkData(network=NETWORK, transaction_id=f"{run_id}.{row.line}"),
        transaction_time=timestamp(ms_of(row.time)),
    )
    _add_foreign(request, row)
    return request


def capture(run_id: str, row: Row, *, authorization_id: str) -> rpc.CaptureAuthorizationRequest:
    """The clearing of a row, in full."""
    request = rpc.CaptureAuthorizationRequest(
        request_id=f"{run_id}.{row.line}.capture",
        authorization_id=authorization_id,
        amount=Money(currency_code=row.currency, amount_minor=row.amount_minor),
        final=True,
        clearing_reference=f"{run_id}.{row.line}",
        effective_time=timestamp(ms_of(row.time)),
    )
    _add_foreign(request, row)
    return request


def refund(
    run_id: str, row: Row, *, card_id: str, authorization_id: str
) -> movement_pb2.RefundRequest:
    """The credit of a row: for a purchase, or (without authorization_id) to the card."""
    request = movement_pb2.RefundRequest(
        request_id=f"{run_id}.{row.line}.refund",
        authorization_id=authorization_id,
        card_id="" if authorization_id else card_id,
        amount=Money(currency_code=row.currency, amount_minor=-row.amount_minor),
        merchant=pb.Merchant(descriptor=row.merchant),
        clearing_reference=f"{run_id}.{row.line}",
        effective_time=timestamp(ms_of(row.time)),
    )
    _add_foreign(request, row)
    return request


class _Foreign(Protocol):
    conversion_rate: str

    @property
    def merchant_amount(self) -> Money: ...


def _add_foreign(request: _Foreign, row: Row) -> None:
    """What the merchant counts in, if it is another currency, and the rate to the card's."""
    amount_minor = abs(row.original_amount_minor)
    if row.original_currency == row.currency or not amount_minor:
        return
    request.merchant_amount.CopyFrom(
        Money(currency_code=row.original_currency, amount_minor=amount_minor)
    )
    request.conversion_rate = conversion_rate(row)


def conversion_rate(row: Row) -> str:
    """Merchant to billing, whole units of both currencies; empty if it cannot be told."""
    billed = Decimal(abs(row.amount_minor)).scaleb(-EXPONENTS[row.currency])
    asked = Decimal(abs(row.original_amount_minor)).scaleb(-EXPONENTS[row.original_currency])
    rate = f"{billed / asked:.{RATE_DECIMALS}f}".rstrip("0").rstrip(".")
    return rate if rate != "0" and len(rate) <= RATE_LENGTH_MAX else ""
