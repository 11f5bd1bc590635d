"""What the audit log keeps of a message."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from holdfast.accounts.v1 import account_pb2, account_service_pb2, card_bulk_service_pb2
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.options_pb2 import sensitive
from runtime.audit.redaction import REDACTED, ids_in, redacted

_FIELD = descriptor_pb2.FieldDescriptorProto


def message_with(name: str, value: Any, *, marked: bool = False) -> Message:
    """A message of one field that the contract does not have."""
    package = f"test_{name}_{marked}".lower()
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    kind = _FIELD.TYPE_BYTES if isinstance(value, bytes) else _FIELD.TYPE_STRING
    field = file.message_type.add(name="One").field.add(
        name=name, number=1, type=kind, label=_FIELD.LABEL_OPTIONAL
    )
    field.options.Extensions[sensitive] = marked
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: Message = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.One"))(
        **{name: value}
    )
    return found


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "access_token", "pan", "cvv", "ssn", "email", "given_name",
     "display_name", "phone", "secret", "totp_secret", "street_address", "birth_date", "name",
     "nickname", "tracking_number"],
)  # fmt: skip
def test_what_its_name_gives_away_is_never_kept(name: str) -> None:
    assert redacted(message_with(name, "value")) == {name: REDACTED}


@pytest.mark.parametrize("name", ["company_id", "span", "state", "last4", "expand"])
def test_other_names_are_kept(name: str) -> None:
    assert redacted(message_with(name, "value")) == {name: "value"}


def test_the_contract_can_mark_a_field() -> None:
    assert redacted(message_with("note", "value", marked=True)) == {"note": REDACTED}


def test_bytes_are_not_kept_and_long_texts_are_cut() -> None:
    assert redacted(message_with("body", b"value")) == {"body": REDACTED}
    assert len(redacted(message_with("reason", "x" * 10_000))["reason"]) < 300


def test_a_resource_is_kept_by_its_names() -> None:
    account = account_pb2.Account(
        id="acct_1",
        state=account_pb2.Account.STATE_OPEN,
        credit_limit=Money(currency_code="USD", amount_minor=5),
    )
    account.create_time.FromSeconds(0)
    assert redacted(account) == {
        "id": "acct_1",
        "state": "STATE_OPEN",
        "credit_limit": {"currency_code": "USD", "amount_minor": 5},
        "create_time": "1970-01-01T00:00:00+00:00",
    }


def test_ids_are_what_a_call_is_about() -> None:
    """Those of parts, too; the request's own id is none, nor is a text too long for one."""
    request = account_service_pb2.SetAccountUserControlsRequest(
        request_id="r-1", account_id="acct_1", user_id="usr_1"
    )
    answer = account_service_pb2.OpenAccountResponse(account=account_pb2.Account(id="acct_2"))
    assert ids_in(request, answer) == ("acct_1", "usr_1", "acct_2")
    assert ids_in(account_service_pb2.GetAccountRequest(account_id="x" * 1_000)) == ()
    imported = card_bulk_service_pb2.ImportCardsRequest(
        cards=[
            card_bulk_service_pb2.ImportedCard(reference="a", account_id="acct_1"),
            card_bulk_service_pb2.ImportedCard(reference="b", owner_id="usr_1"),
        ]
    )
    assert ids_in(imported) == ("acct_1", "usr_1")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("card_0a" + "4" * 32, True),
        # All of its hex digits are decimal, and a card's number is among them.
        ("card_0a4111111111111111" + "0" * 16, True),
        ("mer_shop", True),
        ("mer_000012345678901", True),
        ("prog_gold", True),
        ("4111111111111111", False),
        ("4111 1111 1111 1111", False),
        ("card_4111111111111111", False),
        ("mer_5555555555554444", False),
        ("mer_00004111111111111111", False),
        ("ada@example.com", False),
        ("correct horse battery", False),
        ("hff_" + "a" * 64, False),
        ("hf_" + "a" * 34 + "_" + "b" * 56, False),
        ("eyJhbGciOiJFUzI1NiJ9", False),
        ("x" * 1_000, False),
    ],
)
def test_what_stands_in_the_place_of_an_id_is_no_target(text: str, kept: bool) -> None:
    """A caller's mistake is refused, and must not be kept for good."""
    request = account_service_pb2.GetAccountRequest(account_id=text)
    assert ids_in(request) == ((text,) if kept else ())
