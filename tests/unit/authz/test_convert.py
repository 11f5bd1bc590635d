"""Wire to commands: every field that can be wrong is wrong once, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from authz import convert, convert_later
from authz.convert import Fingerprints
from authz.convert_later import network_authorization_id
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.errors import InvalidArgument
from runtime.identity import Identity

PRINTS = Fingerprints(b"key")
CALLER = Identity(principal="spiffe://holdfast.local/network/demo")
CARD = "card_0a" + "0" * 32
HELD = "auth_0a" + "0" * 32
Change = Callable[[Any], object]


def _money(amount_minor: int, currency: str = "USD") -> Money:
    return Money(currency_code=currency, amount_minor=amount_minor)


def _purchase() -> rpc.AuthorizeRequest:
    return rpc.AuthorizeRequest(
        request_id="r-1",
        card_id=CARD,
        amount=_money(100),
        merchant=pb.Merchant(id="m-1", descriptor="Shop", category_code="5411", country_code="US"),
    )


def _capture() -> rpc.CaptureAuthorizationRequest:
    return rpc.CaptureAuthorizationRequest(
        request_id="r-1", authorization_id=HELD, amount=_money(100)
    )


def _by_network() -> rpc.CaptureAuthorizationRequest:
    request = _capture()
    request.authorization_id = ""
    request.network_reference.card_id = CARD
    request.network_reference.network = "visa"
    request.network_reference.transaction_id = "t1"
    return request


def _reversal() -> rpc.ReverseAuthorizationRequest:
    return rpc.ReverseAuthorizationRequest(request_id="r-1", authorization_id=HELD)


def _set(path: str, value: object) -> Change:
    def change(request: Any) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            request = getattr(request, parent)
        if isinstance(value, Money):
            getattr(request, name).CopyFrom(value)
        else:
            setattr(request, name, value)

    return change


def _clear(name: str) -> Change:
    return lambda request: request.ClearField(name)


def _texts(path: str, limit: int) -> list[tuple[Change, list[str]]]:
    """Too long, and each kind of control character."""
    wrong = ("x" * (limit + 1), "a\x00b", "a\nb", "a\x1fb", "a\x7fb")
    return [(_set(path, value), [path]) for value in wrong]


def _amounts(path: str, minimum: int) -> list[tuple[Change, list[str]]]:
    amounts = [
        (_set(path, _money(n)), [f"{path}.amount_minor"]) for n in (minimum - 1, 2**53, 2**63 - 1)
    ]
    currencies = ("", "usd", "XXX", "US", "USDX")
    return [
        *amounts,
        *((_set(path, _money(50, code)), [f"{path}.currency_code"]) for code in currencies),
    ]


REQUEST_IDS = ("", "x" * 65, "a b", "ü", "a\n", "a/b")
IDS = (
    "",
    "card_1",
    "acct_0a" + "0" * 32,
    "card_40" + "0" * 32,
    CARD.upper(),
    CARD + "0",
    CARD + "\n",
)
RATES = ("0", "0.000", "-1", "1e5", "1,5", ".5", "5.", "x", "1" * 13, "1.0 ", "nan")

AUTHORIZE: list[tuple[Change, list[str]]] = [
    *((_set("request_id", value), ["request_id"]) for value in REQUEST_IDS),
    *((_set("card_id", value), ["card_id"]) for value in IDS),
    (_clear("amount"), ["amount"]),
    *(_amounts("amount", 0)),
    (_set("message_type", 9), ["message_type"]),
    (_set("message_type", -1), ["message_type"]),
    (_set("initiator", 9), ["initiator"]),
    (_set("merchant_amount", _money(-1)), ["merchant_amount.amount_minor"]),
    (_set("merchant_amount", _money(1, "ZZZ")), ["merchant_amount.currency_code"]),
    *((_set("conversion_rate", value), ["conversion_rate"]) for value in RATES),
    (_set("cash_amount", _money(101)), ["cash_amount.amount_minor"]),
    (_set("cash_amount", _money(1, "EUR")), ["cash_amount.currency_code"]),
    (_set("acquirer_fee", _money(101)), ["acquirer_fee.amount_minor"]),
    (_set("acquirer_fee", _money(-1)), ["acquirer_fee.amount_minor"]),
    (_clear("merchant"), ["merchant.descriptor"]),
    *_texts("merchant.id", 64),
    *_texts("merchant.descriptor", 128),
    *_texts("merchant.city", 64),
    *_texts("merchant.region", 32),
    *_texts("merchant.postal_code", 16),
    *(
        (_set("merchant.category_code", v), ["merchant.category_code"])
        for v in ("1", "12345", "x411", "٥٤١١")
    ),
    *(
        (_set("merchant.country_code", v), ["merchant.country_code"])
        for v in ("us", "USA", "U", "ÜS")
    ),
    (_set("point_of_sale.entry_mode", 77), ["point_of_sale.entry_mode"]),
    *(
        (_set(f"verification.{name}", 9), [f"verification.{name}"])
        for name in ("cvv", "expiry", "address_line", "postal_code", "pin", "three_d_secure")
    ),
    *_texts("wallet.type", 32),
    *_texts("wallet.token_id", 64),
    *(
        (_set("network_data.network", v), ["network_data.network"])
        for v in ("Visa", "x" * 33, "a b")
    ),
    (_set("network_data.transaction_id", "t1"), ["network_data.network"]),
    *_texts("network_data.original_transaction_id", 64),
    *((_set("network_data.stan", v), ["network_data.stan"]) for v in ("1" * 13, "12a", "-1")),
    *((_set("network_data.rrn", v), ["network_data.rrn"]) for v in ("1" * 13, "a-b")),
    (
        _set("network_data.acquiring_institution_id", "1" * 12),
        ["network_data.acquiring_institution_id"],
    ),
    *(
        (_set("network_data.authorization_code", v), ["network_data.authorization_code"])
        for v in ("1234567", "a|b", "a\n")
    ),
    *(
        (_set("transmission_time.seconds", s), ["transmission_time"])
        for s in (1, -1, 4_102_444_800)
    ),
    (_set("transaction_time.nanos", -1), ["transaction_time"]),
    (_set("transaction_time.nanos", 1_000_000_000), ["transaction_time"]),
]

CAPTURE: list[tuple[Change, list[str]]] = [
    *((_set("request_id", value), ["request_id"]) for value in REQUEST_IDS),
    (_clear("authorization_id"), ["authorization_id"]),
    (_set("authorization_id", CARD), ["authorization_id"]),
    (_set("authorization_id", HELD + "\n"), ["authorization_id"]),
    (_set("network_reference.card_id", CARD), ["authorization_id"]),
    (_clear("amount"), ["amount"]),
    *(_amounts("amount", 1)),
    (_set("merchant_amount", _money(2**53)), ["merchant_amount.amount_minor"]),
    *((_set("conversion_rate", value), ["conversion_rate"]) for value in RATES),
    *_texts("clearing_reference", 64),
    (_set("clearing_sequence", -1), ["clearing_sequence"]),
    (_set("clearing_sequence", 100), ["clearing_sequence"]),
    (_set("effective_time.seconds", 1), ["effective_time"]),
]

BY_NETWORK: list[tuple[Change, list[str]]] = [
    (_set("network_reference.card_id", ""), ["network_reference.card_id"]),
    (_set("network_reference.card_id", HELD), ["network_reference.card_id"]),
    (_set("network_reference.network", ""), ["network_reference.network"]),
    (_set("network_reference.network", "VISA"), ["network_reference.network"]),
    (_set("network_reference.transaction_id", ""), ["network_reference.transaction_id"]),
    *_texts("network_reference.transaction_id", 64),
    (_set("authorization_id", HELD), ["authorization_id"]),
]

REVERSE: list[tuple[Change, list[str]]] = [
    *((_set("request_id", value), ["request_id"]) for value in REQUEST_IDS),
    (_clear("authorization_id"), ["authorization_id"]),
    *(_amounts("amount", 1)),
]


@pytest.mark.parametrize(
    ("make", "read", "table"),
    [
        (_purchase, convert.authorize, AUTHORIZE),
        (_capture, convert_later.capture, CAPTURE),
        (_by_network, convert_later.capture, BY_NETWORK),
        (_reversal, convert_later.reverse, REVERSE),
    ],
    ids=["authorize", "capture", "by-network", "reverse"],
)
def test_each_wrong_field_is_named(
    make: Callable[[], Any], read: Any, table: list[tuple[Change, list[str]]]
) -> None:
    read(make(), CALLER, (), PRINTS)
    for number, (change, fields) in enumerate(table):
        request = make()
        change(request)
        with pytest.raises(InvalidArgument) as caught:
            read(request, CALLER, (), PRINTS)
        assert [violation.field for violation in caught.value.violations] == fields, number


def test_all_wrong_fields_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert.authorize(rpc.AuthorizeRequest(), CALLER, (), PRINTS)
    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["request_id", "card_id", "amount", "merchant.descriptor"]


def test_limits_themselves_are_fine() -> None:
    request = _purchase()
    request.amount.amount_minor = 2**53 - 1
    request.merchant.descriptor = "ü" * 128
    request.network_data.network = "x" * 32
    request.network_data.transaction_id = "é" * 64
    request.request_id = "a" * 64
    request.conversion_rate = "123456789012.1234567"
    command = convert.authorize(request, CALLER, (), PRINTS)
    assert command.purchase.amount_minor == 2**53 - 1


def test_command_of_a_purchase() -> None:
    request = _purchase()
    request.point_of_sale.entry_mode = pb.ENTRY_MODE_ECOMMERCE
    request.point_of_sale.partial_approval_capable = True
    request.initiator = pb.INITIATOR_MERCHANT
    request.transmission_time.FromMilliseconds(1_800_000_000_123)
    command = convert.authorize(request, CALLER, (), PRINTS)
    assert command.principal == CALLER.principal
    assert command.purchase.partial_approval
    assert command.purchase.circumstances.ecommerce
    assert command.purchase.circumstances.merchant_initiated
    assert command.transmitted_at_ms == 1_800_000_000_123
    assert rpc.AuthorizeRequest.FromString(command.raw) == request
    assert convert.authorize(_purchase(), CALLER, (), PRINTS).transmitted_at_ms is None


def test_absent_amount_of_a_reversal_is_everything() -> None:
    assert convert_later.reverse(_reversal(), CALLER, (), PRINTS).amount_minor is None


def test_administrator_acts_for_all() -> None:
    admin = Identity(principal="usr_1", roles=frozenset({"admin"}))
    auditor = Identity(principal="usr_1", roles=frozenset({"auditor"}))
    assert convert_later.capture(_capture(), admin, (), PRINTS).acts_for_all
    assert not convert_later.capture(_capture(), auditor, (), PRINTS).acts_for_all
    assert not convert_later.reverse(_reversal(), CALLER, (), PRINTS).acts_for_all


def test_fingerprint_is_of_method_content_and_key() -> None:
    same = convert_later.capture(_capture(), CALLER, (), PRINTS).fingerprint
    assert same == convert_later.capture(_capture(), CALLER, (), PRINTS).fingerprint
    assert len(same) == 32
    other = _capture()
    other.final = True
    assert convert_later.capture(other, CALLER, (), PRINTS).fingerprint != same
    assert convert_later.capture(_capture(), CALLER, (), Fingerprints(b"other")).fingerprint != same
    assert PRINTS.of(b"ab", b"c") != PRINTS.of(b"a", b"bc")
    assert PRINTS.of(b"Capture", b"x") != PRINTS.of(b"Reverse", b"x")


def test_clearing_fingerprint_ignores_the_request_id() -> None:
    one, other = _capture(), _capture()
    other.request_id = "r-2"
    prints = {
        convert_later.capture(request, CALLER, (), PRINTS).clearing.fingerprint
        for request in (one, other)
    }
    assert len(prints) == 1


def test_header_stands_for_the_request_id_and_is_part_of_the_content() -> None:
    request = _capture()
    request.request_id = ""
    command = convert_later.capture(request, CALLER, (("idempotency-key", "r-1"),), PRINTS)
    assert command.fingerprint == convert_later.capture(_capture(), CALLER, (), PRINTS).fingerprint


def test_unknown_fields_are_dropped() -> None:
    extended = rpc.AuthorizeRequest.FromString(_purchase().SerializeToString() + b"\xfa\x3f\x01x")
    command = convert.authorize(extended, CALLER, (), PRINTS)
    assert command.raw == _purchase().SerializeToString(deterministic=True)


def test_authorization_of_a_network_transaction() -> None:
    """An id like any other, in the card's partition, and another one for whatever differs."""
    base = ("p", CARD, "visa", "t1")
    found = {
        network_authorization_id(*base),
        network_authorization_id("q", *base[1:]),
        network_authorization_id("p", "card_0a" + "1" * 32, "visa", "t1"),
        network_authorization_id("p", CARD, "mastercard", "t1"),
        network_authorization_id("p", CARD, "visa", "t2"),
    }
    assert len(found) == 5
    assert all(ids.is_id(name, ids.AUTHORIZATION) for name in found)
    assert {ids.partition_of(name) for name in found} == {10}
    assert network_authorization_id(*base) in found
