"""What the ledger's columns show of a request message. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from authz import hold
from authz.controls import CASH_CODES
from authz.entry import Entry
from authz.ledger import CASH, CATEGORIES, FEE, INTEREST, PURCHASE
from authz.outcome import EntryType
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import posting_service_pb2 as postings
from runtime.validate import milliseconds

_CATEGORIES = {
    postings.BALANCE_CATEGORY_CASH: CASH,
    postings.BALANCE_CATEGORY_FEE: FEE,
    postings.BALANCE_CATEGORY_INTEREST: INTEREST,
}

_Cleared = rpc.CaptureAuthorizationRequest | movements.ForcePostRequest | movements.RefundRequest


class Detail(NamedTuple):
    """Empty: the request does not say."""

    requested_minor: int | None = None
    currency: str = ""
    network_transaction_id: str = ""
    clearing_reference: str = ""
    clearing_sequence: int | None = None
    stan: str = ""
    rrn: str = ""
    merchant_id: str = ""
    merchant_name: str = ""
    merchant_category_code: str = ""
    merchant_country: str = ""
    merchant_amount_minor: int | None = None
    merchant_currency: str = ""
    conversion_rate: str = ""
    transaction_at_ms: int | None = None
    effective_at_ms: int | None = None
    category: str = PURCHASE
    payment_id: str = ""
    refund_id: str = ""
    related_entry_id: str = ""


def detail_of(entry: Entry) -> Detail:
    """Reads the request message of an entry; one without a request says nothing."""
    read = _READERS.get(entry.outcome.type)
    detail = read(entry.request) if read else _NOTHING
    if entry.outcome.type in _CLEARINGS and not detail.merchant_category_code:
        # Whoever names no merchant means that of the purchase, as its hold remembers it.
        cash = hold.CASH in entry.outcome.hold_flags
        return detail._replace(category=CASH) if cash else detail
    return detail


def _purchase(raw: bytes) -> Detail:
    request = rpc.AuthorizeRequest.FromString(raw)
    amount, network, merchant = request.amount, request.network_data, request.merchant
    transaction_at_ms = None
    if request.HasField("transaction_time"):
        transaction_at_ms = milliseconds(request.transaction_time)
    elif request.HasField("transmission_time"):
        transaction_at_ms = milliseconds(request.transmission_time)
    foreign = request.merchant_amount if request.HasField("merchant_amount") else None
    code = merchant.category_code
    return Detail(
        requested_minor=amount.amount_minor,
        currency=amount.currency_code,
        network_transaction_id=network.transaction_id,
        stan=network.stan,
        rrn=network.rrn,
        merchant_id=merchant.id,
        merchant_name=merchant.descriptor,
        merchant_category_code=code,
        merchant_country=merchant.country_code,
        merchant_amount_minor=foreign.amount_minor if foreign else None,
        merchant_currency=foreign.currency_code if foreign else "",
        conversion_rate=request.conversion_rate,
        transaction_at_ms=transaction_at_ms,
        effective_at_ms=transaction_at_ms,
        category=CASH if code in CASH_CODES else PURCHASE,
    )


def _capture(raw: bytes) -> Detail:
    capture = rpc.CaptureAuthorizationRequest.FromString(raw)
    return _cleared(capture, capture.network_reference.transaction_id, _NO_MERCHANT)


def _force_post(raw: bytes) -> Detail:
    forced = movements.ForcePostRequest.FromString(raw)
    return _cleared(forced, forced.network_data.transaction_id, forced.merchant)


def _refund(raw: bytes) -> Detail:
    refund = movements.RefundRequest.FromString(raw)
    return _cleared(refund, refund.network_reference.transaction_id, refund.merchant)


def _cleared(request: _Cleared, transaction_id: str, merchant: pb.Merchant) -> Detail:
    amount, reference = request.amount, request.clearing_reference
    foreign = request.merchant_amount if request.HasField("merchant_amount") else None
    effective = request.HasField("effective_time")
    code = merchant.category_code
    return Detail(
        requested_minor=amount.amount_minor,
        currency=amount.currency_code,
        network_transaction_id=transaction_id,
        clearing_reference=reference,
        clearing_sequence=request.clearing_sequence if reference else None,
        merchant_id=merchant.id,
        merchant_name=merchant.descriptor,
        merchant_category_code=code,
        merchant_country=merchant.country_code,
        merchant_amount_minor=foreign.amount_minor if foreign else None,
        merchant_currency=foreign.currency_code if foreign else "",
        conversion_rate=request.conversion_rate,
        effective_at_ms=milliseconds(request.effective_time) if effective else None,
        category=CASH if code in CASH_CODES else PURCHASE,
    )


def _reversal(raw: bytes) -> Detail:
    reversal = rpc.ReverseAuthorizationRequest.FromString(raw)
    amount = reversal.amount
    return Detail(
        requested_minor=amount.amount_minor or None,
        currency=amount.currency_code,
        network_transaction_id=reversal.network_reference.transaction_id,
    )


def _increment(raw: bytes) -> Detail:
    increment = movements.IncrementAuthorizationRequest.FromString(raw)
    amount = increment.amount
    return Detail(
        requested_minor=amount.amount_minor,
        currency=amount.currency_code,
        network_transaction_id=increment.network_reference.transaction_id,
    )


def _payment_credit(raw: bytes) -> Detail:
    credit = postings.CreditPaymentRequest.FromString(raw)
    effective = credit.HasField("effective_time")
    return Detail(
        requested_minor=credit.amount.amount_minor,
        payment_id=credit.payment_id,
        effective_at_ms=milliseconds(credit.effective_time) if effective else None,
    )


def _payment_release(raw: bytes) -> Detail:
    return Detail(payment_id=postings.ReleasePaymentRequest.FromString(raw).payment_id)


def _payment_return(raw: bytes) -> Detail:
    return Detail(payment_id=postings.ReturnPaymentRequest.FromString(raw).payment_id)


def _refund_debit(raw: bytes) -> Detail:
    debit = postings.DebitRefundRequest.FromString(raw)
    return Detail(
        requested_minor=debit.amount.amount_minor,
        payment_id=debit.payment_id,
        refund_id=debit.refund_id,
    )


def _refund_reversal(raw: bytes) -> Detail:
    reversal = postings.ReverseRefundRequest.FromString(raw)
    return Detail(payment_id=reversal.payment_id, refund_id=reversal.refund_id)


def _posting(raw: bytes, category: str = "") -> Detail:
    post = postings.PostEntryRequest.FromString(raw)
    effective = post.HasField("effective_time")
    return Detail(
        requested_minor=post.amount.amount_minor,
        related_entry_id=post.related_entry_id,
        category=category or _CATEGORIES.get(post.category, PURCHASE),
        effective_at_ms=milliseconds(post.effective_time) if effective else None,
    )


_NOTHING = Detail()
_CLEARINGS = frozenset(
    {EntryType.CAPTURE, EntryType.FORCE_POST, EntryType.REFUND, EntryType.REFUND_REVERSAL}
)
_NO_MERCHANT = pb.Merchant()
#: Reads the request of each type of entry; the other types' requests say nothing.
_READERS: dict[EntryType, Callable[[bytes], Detail]] = {
    EntryType.AUTHORIZATION: _purchase,
    EntryType.DECLINE: _purchase,
    EntryType.FINANCIAL: _purchase,
    EntryType.ADVICE: _purchase,
    EntryType.CAPTURE: _capture,
    EntryType.FORCE_POST: _force_post,
    EntryType.REFUND: _refund,
    EntryType.REFUND_REVERSAL: _refund,
    EntryType.REVERSAL: _reversal,
    EntryType.INCREMENT: _increment,
    EntryType.INCREMENT_DECLINE: _increment,
    EntryType.PAYMENT_CREDIT: _payment_credit,
    EntryType.PAYMENT_RELEASE: _payment_release,
    EntryType.PAYMENT_RETURN: _payment_return,
    EntryType.PAYMENT_RETURN_RELEASED: _payment_return,
    EntryType.PAYMENT_REFUND: _refund_debit,
    EntryType.PAYMENT_REFUND_REVERSAL: _refund_reversal,
    EntryType.FEE: partial(_posting, category=CATEGORIES[EntryType.FEE]),
    EntryType.INTEREST: partial(_posting, category=CATEGORIES[EntryType.INTEREST]),
    EntryType.ADJUSTMENT_DEBIT: _posting,
    EntryType.ADJUSTMENT_CREDIT: _posting,
    EntryType.CHARGE_OFF: _posting,
    EntryType.RECOVERY: _posting,
    EntryType.PROVISIONAL_CREDIT: _posting,
    EntryType.PROVISIONAL_CREDIT_REVERSAL: _posting,
    EntryType.DISPUTE_CLAIM: _posting,
    EntryType.DISPUTE_LOSS: _posting,
}
