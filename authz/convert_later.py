"""Wire to commands for what happens to an authorization after its decision, or without one."""

from __future__ import annotations

from typing import Any, Protocol

from authz.commands import Capture, Clearing, Increment, Refund, Release, Target
from authz.controls import Place
from authz.convert import (
    TRANSACTION_ID_LENGTH,
    Fingerprints,
    Metadata,
    check_merchant,
    check_network,
    is_believed,
    is_network,
    merchant_amount,
    name_card,
    sealed,
)
from authz.outcome import EntryType
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2 as movements
from runtime import ids
from runtime.errors import PermissionDenied
from runtime.identity import Identity
from runtime.ids import IdSource
from runtime.validate import Violations

CLEARING_REFERENCE_LENGTH = 64
CLEARING_SEQUENCE_MAX = 99


class _Targeted(Protocol):
    @property
    def authorization_id(self) -> str: ...

    @property
    def network_reference(self) -> pb.NetworkReference: ...

    def HasField(self, field_name: Any) -> bool: ...


class _Cleared(Protocol):
    @property
    def clearing_reference(self) -> str: ...

    @property
    def clearing_sequence(self) -> int: ...


def network_authorization_id(
    principal: str, card_id: str, network: str, transaction_id: str
) -> str:
    """The authorization of a network transaction. Derived, so that whichever message comes first
    creates it and every later one meets it, without an index.
    """
    return ids.derived(
        ids.AUTHORIZATION, ids.tag_of(card_id), principal, card_id, network, transaction_id
    )


def _name_cards(request: Any) -> None:
    """Wherever a request names a card."""
    fields = request.DESCRIPTOR.fields_by_name
    if "card_id" in fields:
        name_card(request)
    if "network_reference" in fields and request.HasField("network_reference"):
        name_card(request.network_reference)


def _target(request: _Targeted, principal: str, check: Violations) -> Target:
    named = bool(request.authorization_id)
    if named == request.HasField("network_reference"):
        check.add("authorization_id", "name either authorization_id or network_reference, not both")
        return Target(authorization_id="")
    if named:
        check.id("authorization_id", request.authorization_id, ids.AUTHORIZATION)
        return Target(authorization_id=request.authorization_id)
    reference = request.network_reference
    check.id("network_reference.card_id", reference.card_id, ids.CARD)
    if not is_network(reference.network):
        check.add(
            "network_reference.network",
            "is required: at most 32 lower-case letters, digits or underscores",
        )
    check.text(
        "network_reference.transaction_id",
        reference.transaction_id,
        limit=TRANSACTION_ID_LENGTH,
        required=True,
    )
    check.raise_if_any()
    return Target(
        authorization_id=network_authorization_id(
            principal, reference.card_id, reference.network, reference.transaction_id
        ),
        card_id=reference.card_id,
        network=reference.network,
    )


def _check_clearing(request: Any, check: Violations) -> None:
    check.money("amount", request, minimum=1)
    check.money("merchant_amount", request, required=False)
    check.decimal("conversion_rate", request.conversion_rate)
    check.text("clearing_reference", request.clearing_reference, limit=CLEARING_REFERENCE_LENGTH)
    if not 0 <= request.clearing_sequence <= CLEARING_SEQUENCE_MAX:
        check.add("clearing_sequence", f"must be from 0 to {CLEARING_SEQUENCE_MAX}")
    check.timestamp("effective_time", request)


def _clearing(request: _Cleared, prints: Fingerprints, *content: object) -> Clearing:
    """The clearing's identity; `content` is what a repetition under another id must equal."""
    if not request.clearing_reference:
        return Clearing()
    text = "|".join(str(part) for part in content)
    return Clearing(
        reference=request.clearing_reference,
        sequence=request.clearing_sequence,
        fingerprint=prints.of(b"Clearing", text.encode()),
    )


def capture(
    request: rpc.CaptureAuthorizationRequest,
    identity: Identity,
    metadata: Metadata,
    prints: Fingerprints,
) -> Capture:
    """Checks a CaptureAuthorizationRequest. A merchant clears what was approved, no more."""
    check = Violations()
    _name_cards(request)
    raw = sealed(request, metadata, check)
    _check_clearing(request, check)
    target = _target(request, identity.principal, check)
    check.raise_if_any()
    bounded = not is_believed(identity)
    if bounded:
        # Its clearing never comes before its authorization.
        target = Target(authorization_id=target.authorization_id)
    amount = request.amount.amount_minor
    return Capture(
        principal=identity.principal,
        acts_for_all="admin" in identity.roles,
        request_id=request.request_id,
        fingerprint=prints.of(b"Capture", raw),
        target=target,
        kind=EntryType.CAPTURE,
        amount_minor=amount,
        currency_code=request.amount.currency_code,
        final=request.final,
        clearing=_clearing(request, prints, "C", target.authorization_id, amount, request.final),
        merchant_amount=merchant_amount(request),
        bounded=bounded,
        raw=raw,
    )


def force_post(
    request: movements.ForcePostRequest,
    identity: Identity,
    metadata: Metadata,
    prints: Fingerprints,
    id_source: IdSource,
) -> Capture:
    """Checks a ForcePostRequest: the clearing of an authorization that may never have been."""
    check = Violations()
    _name_cards(request)
    raw = sealed(request, metadata, check)
    check.id("card_id", request.card_id, ids.CARD)
    _check_clearing(request, check)
    check_merchant(request.merchant, check)
    check_network(request.network_data, "network_data", check)
    check.raise_if_any()
    network = request.network_data
    if network.transaction_id:
        authorization_id = network_authorization_id(
            identity.principal, request.card_id, network.network, network.transaction_id
        )
    else:
        authorization_id = id_source.new(ids.AUTHORIZATION, ids.partition_of(request.card_id))
    amount = request.amount.amount_minor
    return Capture(
        principal=identity.principal,
        acts_for_all=False,
        request_id=request.request_id,
        fingerprint=prints.of(b"ForcePost", raw),
        target=Target(
            authorization_id=authorization_id, card_id=request.card_id, network=network.network
        ),
        kind=EntryType.FORCE_POST,
        amount_minor=amount,
        currency_code=request.amount.currency_code,
        final=False,
        clearing=_clearing(request, prints, "P", request.card_id, amount),
        merchant_amount=merchant_amount(request),
        place=Place(category_code=request.merchant.category_code),
        raw=raw,
    )


def increment(
    request: movements.IncrementAuthorizationRequest,
    identity: Identity,
    metadata: Metadata,
    prints: Fingerprints,
) -> Increment:
    """Checks an IncrementAuthorizationRequest."""
    check = Violations()
    _name_cards(request)
    raw = sealed(request, metadata, check)
    check.money("amount", request, minimum=1)
    target = _target(request, identity.principal, check)
    check.raise_if_any()
    return Increment(
        principal=identity.principal,
        acts_for_all="admin" in identity.roles,
        request_id=request.request_id,
        fingerprint=prints.of(b"Increment", raw),
        # An increment never comes before its authorization.
        target=Target(authorization_id=target.authorization_id),
        amount_minor=request.amount.amount_minor,
        currency_code=request.amount.currency_code,
        raw=raw,
    )


def reverse(
    request: rpc.ReverseAuthorizationRequest,
    identity: Identity,
    metadata: Metadata,
    prints: Fingerprints,
) -> Release:
    """Checks a ReverseAuthorizationRequest."""
    check = Violations()
    _name_cards(request)
    raw = sealed(request, metadata, check)
    check.money("amount", request, minimum=1, required=False)
    target = _target(request, identity.principal, check)
    check.raise_if_any()
    partial = request.HasField("amount")
    return Release(
        principal=identity.principal,
        acts_for_all="admin" in identity.roles,
        request_id=request.request_id,
        fingerprint=prints.of(b"Reverse", raw),
        target=target,
        kind=EntryType.REVERSAL,
        amount_minor=request.amount.amount_minor if partial else None,
        currency_code=request.amount.currency_code if partial else "",
        raw=raw,
    )


def expire(
    request: movements.ExpireAuthorizationRequest,
    identity: Identity,
    metadata: Metadata,
    prints: Fingerprints,
) -> Release:
    """Checks an ExpireAuthorizationRequest."""
    check = Violations()
    _name_cards(request)
    raw = sealed(request, metadata, check)
    check.id("authorization_id", request.authorization_id, ids.AUTHORIZATION)
    check.raise_if_any()
    return Release(
        principal=identity.principal,
        acts_for_all="admin" in identity.roles,
        request_id=request.request_id,
        fingerprint=prints.of(b"Expire", raw),
        target=Target(authorization_id=request.authorization_id),
        kind=EntryType.EXPIRY,
        amount_minor=None,
        currency_code="",
        raw=raw,
    )


def refund(
    request: movements.RefundRequest,
    identity: Identity,
    metadata: Metadata,
    prints: Fingerprints,
) -> Refund:
    """Checks a RefundRequest. Card networks and administrators are believed that money is due."""
    check = Violations()
    bounded = not is_believed(identity)
    _name_cards(request)
    raw = sealed(request, metadata, check)
    _check_clearing(request, check)
    check_merchant(request.merchant, check, required=False)
    if (
        request.card_id
        and not request.authorization_id
        and not request.HasField("network_reference")
    ):
        check.id("card_id", request.card_id, ids.CARD)
        check.raise_if_any()
        if bounded:
            raise PermissionDenied(
                "a merchant refunds its own purchases; name one instead of a card",
                reason="REFUND_NEEDS_PURCHASE",
                metadata={"field": "card_id"},
            )
        target = Target(authorization_id="", card_id=request.card_id)
    elif request.card_id:
        check.add("card_id", "names a refund without a purchase; leave out the purchase, or this")
        target = Target(authorization_id="")
    else:
        target = _target(request, identity.principal, check)
        if bounded:
            # Its refund never comes before its purchase.
            target = Target(authorization_id=target.authorization_id)
    check.raise_if_any()
    kind = EntryType.REFUND_REVERSAL if request.reversal else EntryType.REFUND
    amount = request.amount.amount_minor
    named = target.authorization_id or target.card_id
    return Refund(
        principal=identity.principal,
        acts_for_all="admin" in identity.roles,
        request_id=request.request_id,
        fingerprint=prints.of(b"Refund", raw),
        target=target,
        kind=kind,
        amount_minor=amount,
        currency_code=request.amount.currency_code,
        clearing=_clearing(request, prints, kind.value, named, amount),
        bounded=bounded,
        raw=raw,
    )
