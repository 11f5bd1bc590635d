"""What the ledger's columns show of a request message. Pure."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
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
    related_entry_id: str = ""


def detail_of(entry: Entry) -> Detail:
    """Reads the request message of an entry; one without a request says nothing."""
    raw, kind, flags = entry.request, entry.outcome.type, entry.outcome.hold_flags
    match kind:
        case EntryType.AUTHORIZATION | EntryType.DECLINE | EntryType.FINANCIAL | EntryType.ADVICE:
            return _purchase(rpc.AuthorizeRequest.FromString(raw))
        case EntryType.CAPTURE:
            capture = rpc.CaptureAuthorizationRequest.FromString(raw)
            return _cleared(capture, capture.network_reference.transaction_id, pb.Merchant(), flags)
        case EntryType.FORCE_POST:
            forced = movements.ForcePostRequest.FromString(raw)
            return _cleared(forced, forced.network_data.transaction_id, forced.merchant, flags)
        case EntryType.REFUND | EntryType.REFUND_REVERSAL:
            refund = movements.RefundRequest.FromString(raw)
            return _cleared(refund, refund.network_reference.transaction_id, refund.merchant, flags)
        case EntryType.REVERSAL:
            reversal = rpc.ReverseAuthorizationRequest.FromString(raw)
            return Detail(
                requested_minor=reversal.amount.amount_minor or None,
                currency=reversal.amount.currency_code,
                network_transaction_id=reversal.network_reference.transaction_id,
            )
        case EntryType.INCREMENT | EntryType.INCREMENT_DECLINE:
            increment = movements.IncrementAuthorizationRequest.FromString(raw)
            return Detail(
                requested_minor=increment.amount.amount_minor,
                currency=increment.amount.currency_code,
                network_transaction_id=increment.network_reference.transaction_id,
            )
    return _posting(entry)


def _purchase(request: rpc.AuthorizeRequest) -> Detail:
    transaction_at_ms = None
    for name in ("transaction_time", "transmission_time"):
        if request.HasField(name):
            transaction_at_ms = milliseconds(getattr(request, name))
            break
    foreign = request.HasField("merchant_amount")
    return Detail(
        requested_minor=request.amount.amount_minor,
        currency=request.amount.currency_code,
        network_transaction_id=request.network_data.transaction_id,
        stan=request.network_data.stan,
        rrn=request.network_data.rrn,
        merchant_id=request.merchant.id,
        merchant_name=request.merchant.descriptor,
        merchant_category_code=request.merchant.category_code,
        merchant_country=request.merchant.country_code,
        merchant_amount_minor=request.merchant_amount.amount_minor if foreign else None,
        merchant_currency=request.merchant_amount.currency_code,
        conversion_rate=request.conversion_rate,
        transaction_at_ms=transaction_at_ms,
        effective_at_ms=transaction_at_ms,
        category=_category_of(request.merchant),
    )


def _cleared(request: _Cleared, transaction_id: str, merchant: pb.Merchant, flags: str) -> Detail:
    foreign = request.HasField("merchant_amount")
    cleared = bool(request.clearing_reference)
    effective = request.HasField("effective_time")
    return Detail(
        requested_minor=request.amount.amount_minor,
        currency=request.amount.currency_code,
        network_transaction_id=transaction_id,
        clearing_reference=request.clearing_reference,
        clearing_sequence=request.clearing_sequence if cleared else None,
        merchant_id=merchant.id,
        merchant_name=merchant.descriptor,
        merchant_category_code=merchant.category_code,
        merchant_country=merchant.country_code,
        merchant_amount_minor=request.merchant_amount.amount_minor if foreign else None,
        merchant_currency=request.merchant_amount.currency_code,
        conversion_rate=request.conversion_rate,
        effective_at_ms=milliseconds(request.effective_time) if effective else None,
        category=_category_of(merchant, flags),
    )


def _category_of(merchant: pb.Merchant, flags: str = "") -> str:
    """Whoever names no merchant means that of the purchase, as its hold remembers it."""
    code = merchant.category_code
    cash = code in CASH_CODES if code else hold.CASH in flags
    return CASH if cash else PURCHASE


def _posting(entry: Entry) -> Detail:
    raw, kind = entry.request, entry.outcome.type
    match kind:
        case EntryType.PAYMENT_CREDIT:
            credit = postings.CreditPaymentRequest.FromString(raw)
            effective = credit.HasField("effective_time")
            return Detail(
                requested_minor=credit.amount.amount_minor,
                payment_id=credit.payment_id,
                effective_at_ms=milliseconds(credit.effective_time) if effective else None,
            )
        case EntryType.PAYMENT_RELEASE:
            return Detail(payment_id=postings.ReleasePaymentRequest.FromString(raw).payment_id)
        case EntryType.PAYMENT_RETURN | EntryType.PAYMENT_RETURN_RELEASED:
            return Detail(payment_id=postings.ReturnPaymentRequest.FromString(raw).payment_id)
        case (
            EntryType.FEE
            | EntryType.INTEREST
            | EntryType.ADJUSTMENT_DEBIT
            | EntryType.ADJUSTMENT_CREDIT
        ):
            post = postings.PostEntryRequest.FromString(raw)
            effective = post.HasField("effective_time")
            return Detail(
                requested_minor=post.amount.amount_minor,
                related_entry_id=post.related_entry_id,
                category=CATEGORIES.get(kind) or _CATEGORIES.get(post.category, PURCHASE),
                effective_at_ms=milliseconds(post.effective_time) if effective else None,
            )
    return Detail()
