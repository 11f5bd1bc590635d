"""Checks of fields, each alone; what the contract's messages make of them is tested per service."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime.errors import InvalidArgument
from runtime.validate import Violations, milliseconds, timestamp


def _wrong(check: Callable[[Violations], None]) -> list[str]:
    violations = Violations()
    check(violations)
    try:
        violations.raise_if_any()
    except InvalidArgument as error:
        return [violation.field for violation in error.violations]
    return []


@pytest.mark.parametrize(
    ("value", "required", "fine"),
    [("", False, True), ("", True, False), ("abc", True, True), ("abcd", False, False)]
    + [(text, False, False) for text in ("\x00", "a\t", "\x7f", "\n")]
    + [("üéß", False, True)],
)
def test_text(value: str, *, required: bool, fine: bool) -> None:
    assert (_wrong(lambda v: v.text("f", value, limit=3, required=required)) == []) is fine


@pytest.mark.parametrize(
    ("value", "fine"),
    [("", True), ("1", True), ("0.1", True), ("0.000001", True), ("1" * 12 + ".1234567", True)]
    + [(text, False) for text in ("0", "00.00", "-1", "+1", "1.", ".1", "1e1", "1" * 13, " 1")]
    + [("1" * 12 + ".123456789", False), ("٣", False)],
)
def test_decimal(value: str, *, fine: bool) -> None:
    assert (_wrong(lambda v: v.decimal("f", value)) == []) is fine


@pytest.mark.parametrize(
    ("amount", "minimum", "fine"),
    [(0, 0, True), (0, 1, False), (-1, 0, False), (2**53 - 1, 0, True), (2**53, 0, False)],
)
def test_money(amount: int, minimum: int, *, fine: bool) -> None:
    request = rpc.AuthorizeRequest(amount=Money(currency_code="USD", amount_minor=amount))
    assert (_wrong(lambda v: v.money("amount", request, minimum=minimum)) == []) is fine


def test_money_of_a_nested_field_keeps_its_path() -> None:
    request = rpc.AuthorizeRequest(amount=Money(currency_code="usd", amount_minor=-1))
    assert _wrong(lambda v: v.money("items.amount", request)) == [
        "items.amount.currency_code",
        "items.amount.amount_minor",
    ]


@pytest.mark.parametrize(
    ("seconds", "nanos", "fine"),
    [
        (946_684_800, 0, True),
        (946_684_799, 999_999_999, False),
        (4_102_444_799, 999_999_999, True),
        (4_102_444_800, 0, False),
        (1_800_000_000, -1, False),
        (1_800_000_000, 1_000_000_000, False),
        (-(2**63), 0, False),
    ],
)
def test_timestamp(seconds: int, nanos: int, *, fine: bool) -> None:
    request = rpc.AuthorizeRequest(transaction_time=Timestamp(seconds=seconds, nanos=nanos))
    assert (_wrong(lambda v: v.timestamp("transaction_time", request)) == []) is fine


def test_absent_timestamp_is_fine() -> None:
    assert _wrong(lambda v: v.timestamp("transaction_time", rpc.AuthorizeRequest())) == []


@pytest.mark.parametrize("ms", [0, 1, 999, 1_800_000_000_123])
def test_milliseconds_survive(ms: int) -> None:
    assert milliseconds(timestamp(ms)) == ms


@pytest.mark.parametrize(
    ("value", "required", "fine"),
    [(0, False, True), (0, True, False), (1, True, True), (9, False, False)],
)
def test_enum(value: int, *, required: bool, fine: bool) -> None:
    known = {0: "none", 1: "one"}
    assert (_wrong(lambda v: v.enum("f", value, known, required=required)) == []) is fine
