"""Wire to commands: every field is checked, every wrong one is named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from typing import Literal, Protocol

from authz.commands import Authorize
from authz.controls import CASH_CODES, Channel, Place
from authz.decision import Purchase, Reason
from authz.expiry import Circumstances
from authz.outcome import EntryType
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.errors import PermissionDenied
from runtime.identity import Identity
from runtime.request_id import request_id_of
from runtime.validate import Violations, milliseconds

Metadata = Iterable[tuple[str, str | bytes]] | None

#: Lengths of the texts of a purchase, as the contract states them.
MERCHANT_LENGTHS = {"id": 64, "descriptor": 128, "city": 64, "region": 32, "postal_code": 16}
_MERCHANT_TEXTS = tuple((name, f"merchant.{name}", size) for name, size in MERCHANT_LENGTHS.items())
TRANSACTION_ID_LENGTH = 64

_MCC = re.compile(r"[0-9]{4}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_NETWORK = re.compile(r"[a-z0-9_]{1,32}")
_STAN = re.compile(r"[0-9]{1,12}")
_RRN = re.compile(r"[A-Za-z0-9]{1,12}")
_INSTITUTION = re.compile(r"[0-9]{1,11}")
_CODE = re.compile(r"[A-Za-z0-9]{1,6}")

#: What each check that failed declines with, if it does.
_MISMATCHES = {
    "expiry": Reason.EXPIRY_MISMATCH,
    "cvv": Reason.CVV_MISMATCH,
    "pin": Reason.PIN_INCORRECT,
    "address_line": Reason.AVS_MISMATCH,
    "postal_code": Reason.AVS_MISMATCH,
}

#: Values that the contract knows; looked up once, for a descriptor is slow.
_MESSAGE_TYPES = frozenset(pb.MessageType.values())
_INITIATORS = frozenset(pb.Initiator.values())
_ENTRY_MODES = frozenset(pb.EntryMode.values())
_CHECK_RESULTS = frozenset(pb.CheckResult.values())
_CHECKS = ("cvv", "expiry", "address_line", "postal_code", "pin", "three_d_secure")

NO_MISMATCH: frozenset[Reason] = frozenset()
_PRESENT = (pb.ENTRY_MODE_MAGSTRIPE, pb.ENTRY_MODE_CHIP, pb.ENTRY_MODE_CONTACTLESS)

_KINDS = {
    pb.MESSAGE_TYPE_FINANCIAL_AUTHORIZATION: EntryType.FINANCIAL,
    pb.MESSAGE_TYPE_AUTHORIZATION_ADVICE: EntryType.ADVICE,
}


_TOKEN = f"{ids.PAN_TOKEN}_"


class Fingerprints:
    """Keyed fingerprints of requests: equal content, equal fingerprint; content cannot be guessed
    from it.
    """

    def __init__(self, key: bytes) -> None:
        self._key = blake2b(key, digest_size=32).digest()

    def of(self, *parts: bytes) -> str:
        """32 hex digits."""
        digest = blake2b(digest_size=16, key=self._key)
        for part in parts:
            digest.update(len(part).to_bytes(4, "big"))
            digest.update(part)
        return digest.hexdigest()


class _Mutation(Protocol):
    request_id: str

    def DiscardUnknownFields(self) -> None: ...

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...


class _Named(Protocol):
    card_id: str


def name_card(named: _Named) -> None:
    """Puts the card in the place of the token of its number (ResolvePan): a purchase and repeats
    are the same by either name, and nothing behind here knows of tokens.
    """
    if named.card_id.startswith(_TOKEN) and ids.is_id(named.card_id, ids.PAN_TOKEN):
        named.card_id = ids.card_of_pan_token(named.card_id)


def sealed(request: _Mutation, metadata: Metadata, violations: Violations) -> bytes:
    """Settles the request id and returns the bytes that fingerprint and journal keep. What the
    contract does not know is not kept: it could be of any size, or a card number.
    """
    request.DiscardUnknownFields()
    request.request_id = request_id_of(request.request_id, metadata, violations)
    return request.SerializeToString(deterministic=True)


def is_believed(identity: Identity) -> bool:
    """Whether money moves because the caller says so, though nobody here has decided it: card
    networks answer for it with their certificate, administrators by name; merchants do not.
    """
    return identity.is_certificate or "admin" in identity.roles


def authorize(
    request: rpc.AuthorizeRequest, identity: Identity, metadata: Metadata, prints: Fingerprints
) -> Authorize:
    """Checks an AuthorizeRequest."""
    check = Violations()
    name_card(request)
    raw = sealed(request, metadata, check)
    # Held from here on: protobuf makes a new object each time that somebody looks at a part.
    amount, merchant, point = request.amount, request.merchant, request.point_of_sale
    check.id("card_id", request.card_id, ids.CARD)
    check.enum("message_type", request.message_type, _MESSAGE_TYPES)
    check.enum("initiator", request.initiator, _INITIATORS)
    _check_amounts(request, check)
    check_merchant(merchant, check)
    _check_terminal(request, check)
    if request.HasField("network_data"):
        check_network(request.network_data, "network_data", check)
    check.timestamp("transmission_time", request)
    check.timestamp("transaction_time", request)
    check.raise_if_any()
    kind = _KINDS.get(request.message_type, EntryType.AUTHORIZATION)
    if kind is EntryType.ADVICE and not is_believed(identity):
        raise PermissionDenied(
            "only a card network may say what it has approved; ask for an authorization",
            reason="ADVICE_NEEDS_NETWORK",
            metadata={"field": "message_type"},
        )
    mismatches = (
        _mismatches(request.verification) if request.HasField("verification") else NO_MISMATCH
    )
    network = request.network_data
    return Authorize(
        principal=identity.principal,
        request_id=request.request_id,
        fingerprint=prints.of(b"Authorize", raw),
        card_id=request.card_id,
        purchase=Purchase(
            amount_minor=amount.amount_minor,
            currency_code=amount.currency_code,
            partial_approval=point.partial_approval_capable,
            mismatches=mismatches,
            place=Place(
                merchant_id=merchant.id,
                descriptor=merchant.descriptor,
                category_code=merchant.category_code,
                country_code=merchant.country_code,
                channels=_channels(request),
                address_mismatch=Reason.AVS_MISMATCH in mismatches,
            ),
            circumstances=Circumstances(
                category_code=merchant.category_code,
                preauthorization=request.preauthorization,
                card_present=point.card_present,
                merchant_initiated=request.initiator == pb.INITIATOR_MERCHANT,
                ecommerce=point.entry_mode == pb.ENTRY_MODE_ECOMMERCE,
            ),
        ),
        network=network.network,
        transaction_id=network.transaction_id,
        authorization_code=network.authorization_code,
        transmitted_at_ms=milliseconds(request.transmission_time)
        if request.HasField("transmission_time")
        else None,
        kind=kind,
        merchant_amount=merchant_amount(request),
        inquiry=request.message_type == pb.MESSAGE_TYPE_BALANCE_INQUIRY,
        raw=raw,
    )


def _check_amounts(request: rpc.AuthorizeRequest, check: Violations) -> None:
    check.money("amount", request)
    if request.message_type == pb.MESSAGE_TYPE_BALANCE_INQUIRY and request.amount.amount_minor:
        check.add("amount.amount_minor", "must be 0: a balance inquiry reserves nothing")
    check.money("merchant_amount", request, required=False)
    check.decimal("conversion_rate", request.conversion_rate)
    for name in ("cash_amount", "acquirer_fee"):
        if not request.HasField(name):
            continue
        check.money(name, request)
        part = getattr(request, name)
        if part.currency_code != request.amount.currency_code:
            check.add(f"{name}.currency_code", "must be the currency of amount")
        elif part.amount_minor > request.amount.amount_minor:
            check.add(f"{name}.amount_minor", "must not exceed amount, which contains it")


def check_merchant(merchant: pb.Merchant, check: Violations, *, required: bool = True) -> None:
    """The merchant's fields; one that is required has a descriptor or an id."""
    if required and not merchant.id and not merchant.descriptor:
        check.add("merchant.descriptor", "is required: a merchant has a descriptor or an id")
    for name, field, limit in _MERCHANT_TEXTS:
        if value := getattr(merchant, name):
            check.text(field, value, limit=limit)
    check.pattern("merchant.category_code", merchant.category_code, _MCC, "must be four digits")
    check.pattern(
        "merchant.country_code", merchant.country_code, _COUNTRY, "must be two upper-case letters"
    )


def _check_terminal(request: rpc.AuthorizeRequest, check: Violations) -> None:
    check.enum("point_of_sale.entry_mode", request.point_of_sale.entry_mode, _ENTRY_MODES)
    if request.HasField("verification"):
        for name in _CHECKS:
            check.enum(f"verification.{name}", getattr(request.verification, name), _CHECK_RESULTS)
    if request.HasField("wallet"):
        check.text("wallet.type", request.wallet.type, limit=32)
        check.text("wallet.token_id", request.wallet.token_id, limit=64)


def _mismatches(checks: pb.Verification) -> frozenset[Reason]:
    return frozenset(
        reason
        for name, reason in _MISMATCHES.items()
        if getattr(checks, name) == pb.CHECK_RESULT_MISMATCH
    )


def _channels(request: rpc.AuthorizeRequest) -> frozenset[Channel]:
    point = request.point_of_sale
    return _channels_of(
        point.entry_mode,
        point.card_present,
        request.initiator == pb.INITIATOR_MERCHANT,
        request.merchant.category_code in CASH_CODES
        or (request.HasField("cash_amount") and request.cash_amount.amount_minor > 0),
    )


@cache
def _channels_of(mode: int, present: bool, by_merchant: bool, cash: bool) -> frozenset[Channel]:
    found = set()
    if present or mode in _PRESENT:
        found.add(Channel.CARD_PRESENT)
    if mode == pb.ENTRY_MODE_ECOMMERCE or (
        mode == pb.ENTRY_MODE_CREDENTIAL_ON_FILE and not by_merchant
    ):
        found.add(Channel.ECOMMERCE)
    if cash:
        found.add(Channel.CASH)
    if by_merchant:
        found.add(Channel.MERCHANT_INITIATED)
    if mode == pb.ENTRY_MODE_MAGSTRIPE:
        found.add(Channel.MAGSTRIPE)
    if mode == pb.ENTRY_MODE_MANUAL:
        found.add(Channel.MANUAL)
    return frozenset(found)


class _HasMerchantAmount(Protocol):
    @property
    def merchant_amount(self) -> Money: ...

    @property
    def amount(self) -> Money: ...

    def HasField(self, field_name: Literal["merchant_amount"]) -> bool: ...


def merchant_amount(request: _HasMerchantAmount) -> str:
    """`minor|currency` of the merchant's amount if its currency is another one, else ''."""
    if not request.HasField("merchant_amount"):
        return ""
    found = request.merchant_amount
    foreign = found.currency_code != request.amount.currency_code
    if not foreign or not found.amount_minor:
        return ""
    return f"{found.amount_minor}|{found.currency_code}"


def is_network(value: str) -> bool:
    """True for 1 to 32 lower-case letters, digits or underscores."""
    return _NETWORK.fullmatch(value) is not None


def check_network(data: pb.NetworkData, field: str, check: Violations) -> None:
    """The network's identifiers."""
    check.pattern(
        f"{field}.network",
        data.network,
        _NETWORK,
        "must be at most 32 lower-case letters, digits or underscores",
    )
    if data.transaction_id and not data.network:
        check.add(f"{field}.network", "is required with transaction_id")
    for name in ("transaction_id", "original_transaction_id"):
        check.text(f"{field}.{name}", getattr(data, name), limit=TRANSACTION_ID_LENGTH)
    check.pattern(f"{field}.stan", data.stan, _STAN, "must be at most 12 digits")
    check.pattern(f"{field}.rrn", data.rrn, _RRN, "must be at most 12 letters or digits")
    check.pattern(
        f"{field}.acquiring_institution_id",
        data.acquiring_institution_id,
        _INSTITUTION,
        "must be at most 11 digits",
    )
    check.pattern(
        f"{field}.authorization_code",
        data.authorization_code,
        _CODE,
        "must be at most 6 letters or digits",
    )
