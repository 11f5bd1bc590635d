"""Wire to commands for the issuer's own postings."""

from __future__ import annotations

from typing import Protocol

from authz.commands import MovePayment, Post
from authz.convert import Fingerprints, Metadata, sealed
from authz.outcome import EntryType
from holdfast.authz.v1 import posting_service_pb2 as rpc
from runtime import ids
from runtime.identity import Identity
from runtime.validate import Violations

DESCRIPTION_LENGTH = 200

KINDS = {
    rpc.POSTING_KIND_FEE: EntryType.FEE,
    rpc.POSTING_KIND_INTEREST: EntryType.INTEREST,
    rpc.POSTING_KIND_ADJUSTMENT_DEBIT: EntryType.ADJUSTMENT_DEBIT,
    rpc.POSTING_KIND_ADJUSTMENT_CREDIT: EntryType.ADJUSTMENT_CREDIT,
    rpc.POSTING_KIND_CHARGE_OFF: EntryType.CHARGE_OFF,
    rpc.POSTING_KIND_RECOVERY: EntryType.RECOVERY,
    rpc.POSTING_KIND_PROVISIONAL_CREDIT: EntryType.PROVISIONAL_CREDIT,
    rpc.POSTING_KIND_PROVISIONAL_CREDIT_REVERSAL: EntryType.PROVISIONAL_CREDIT_REVERSAL,
    rpc.POSTING_KIND_DISPUTE_CLAIM: EntryType.DISPUTE_CLAIM,
    rpc.POSTING_KIND_DISPUTE_LOSS: EntryType.DISPUTE_LOSS,
}


class _OfPayment(Protocol):
    request_id: str
    account_id: str
    payment_id: str

    def DiscardUnknownFields(self) -> None: ...

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...


def _check_payment(request: _OfPayment, check: Violations, refund_id: str | None = None) -> None:
    check.id("account_id", request.account_id, ids.ACCOUNT)
    check.id("payment_id", request.payment_id, ids.PAYMENT)
    if refund_id is not None:
        check.id("refund_id", refund_id, ids.REFUND)
    check.raise_if_any()
    tag = ids.tag_of(request.account_id)
    if ids.tag_of(request.payment_id) != tag:
        check.add("payment_id", "must be of the account's partition")
    if refund_id is not None and ids.tag_of(refund_id) != tag:
        check.add("refund_id", "must be of the account's partition")


def credit_payment(
    request: rpc.CreditPaymentRequest,
    identity: Identity,
    metadata: Metadata,
    prints: Fingerprints,
) -> MovePayment:
    """Checks a CreditPaymentRequest."""
    check = Violations()
    raw = sealed(request, metadata, check)
    check.money("amount", request, minimum=1)
    check.timestamp("effective_time", request)
    _check_payment(request, check)
    check.raise_if_any()
    return MovePayment(
        principal=identity.principal,
        request_id=request.request_id,
        fingerprint=prints.of(b"CreditPayment", raw),
        account_id=request.account_id,
        payment_id=request.payment_id,
        kind=EntryType.PAYMENT_CREDIT,
        amount_minor=request.amount.amount_minor,
        currency_code=request.amount.currency_code,
        raw=raw,
    )


def move_payment(
    request: rpc.ReleasePaymentRequest | rpc.ReturnPaymentRequest,
    identity: Identity,
    metadata: Metadata,
    prints: Fingerprints,
) -> MovePayment:
    """Checks a ReleasePaymentRequest or a ReturnPaymentRequest."""
    check = Violations()
    raw = sealed(request, metadata, check)
    _check_payment(request, check)
    check.raise_if_any()
    released = isinstance(request, rpc.ReleasePaymentRequest)
    kind = EntryType.PAYMENT_RELEASE if released else EntryType.PAYMENT_RETURN
    return MovePayment(
        principal=identity.principal,
        request_id=request.request_id,
        fingerprint=prints.of(kind.name.encode(), raw),
        account_id=request.account_id,
        payment_id=request.payment_id,
        kind=kind,
        raw=raw,
    )


def debit_refund(
    request: rpc.DebitRefundRequest, identity: Identity, metadata: Metadata, prints: Fingerprints
) -> MovePayment:
    """Checks a DebitRefundRequest."""
    check = Violations()
    raw = sealed(request, metadata, check)
    check.money("amount", request, minimum=1)
    _check_payment(request, check, request.refund_id)
    check.raise_if_any()
    return MovePayment(
        principal=identity.principal,
        request_id=request.request_id,
        fingerprint=prints.of(b"DebitRefund", raw),
        account_id=request.account_id,
        payment_id=request.refund_id,
        kind=EntryType.PAYMENT_REFUND,
        amount_minor=request.amount.amount_minor,
        currency_code=request.amount.currency_code,
        raw=raw,
    )


def reverse_refund(
    request: rpc.ReverseRefundRequest, identity: Identity, metadata: Metadata, prints: Fingerprints
) -> MovePayment:
    """Checks a ReverseRefundRequest."""
    check = Violations()
    raw = sealed(request, metadata, check)
    _check_payment(request, check, request.refund_id)
    check.raise_if_any()
    return MovePayment(
        principal=identity.principal,
        request_id=request.request_id,
        fingerprint=prints.of(b"ReverseRefund", raw),
        account_id=request.account_id,
        payment_id=request.refund_id,
        kind=EntryType.PAYMENT_REFUND_REVERSAL,
        raw=raw,
    )


def post_entry(
    request: rpc.PostEntryRequest, identity: Identity, metadata: Metadata, prints: Fingerprints
) -> Post:
    """Checks a PostEntryRequest."""
    check = Violations()
    raw = sealed(request, metadata, check)
    check.id("account_id", request.account_id, ids.ACCOUNT)
    known = rpc.PostingKind.DESCRIPTOR.values_by_number
    check.enum("kind", request.kind, known, required=True)
    check.enum("category", request.category, rpc.BalanceCategory.DESCRIPTOR.values_by_number)
    check.money("amount", request, minimum=1)
    check.id("related_entry_id", request.related_entry_id, ids.ENTRY, required=False)
    check.text("description", request.description, limit=DESCRIPTION_LENGTH)
    check.timestamp("effective_time", request)
    check.raise_if_any()
    return Post(
        principal=identity.principal,
        request_id=request.request_id,
        fingerprint=prints.of(b"PostEntry", raw),
        account_id=request.account_id,
        kind=KINDS[request.kind],
        amount_minor=request.amount.amount_minor,
        currency_code=request.amount.currency_code,
        raw=raw,
    )
