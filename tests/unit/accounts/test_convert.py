from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from accounts import convert, projector
from accounts.account import Account, AccountState, OpenAccount
from accounts.card import Card, CardKind, CardState
from holdfast.accounts.v1 import account_pb2, card_pb2
from holdfast.accounts.v1.account_service_pb2 import OpenAccountRequest, UpdateCreditLimitRequest
from holdfast.accounts.v1.card_service_pb2 import CloseCardRequest, FreezeCardRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.type.v1.money_pb2 import Money
from runtime import identity
from runtime.identity import Identity

OWNER = "co_0a" + "1" * 32
ACCOUNT_ID = "acct_0a" + "3" * 32
CARD_ID = "card_0a" + "4" * 32
LIMIT = Money(currency_code="USD", amount_minor=5)


class _Context:
    def __init__(self, *metadata: tuple[str, str]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata


@pytest.fixture(autouse=True)
def _caller() -> Iterator[None]:
    token = identity._current.set(Identity(principal="tester"))
    yield
    identity._current.reset(token)


def _account(**fields: Any) -> Account:
    valid: dict[str, Any] = {
        "id": ACCOUNT_ID,
        "owner_id": OWNER,
        "programme_id": "prog_standard",
        "parent_account_id": None,
        "state": AccountState.OPEN,
        "currency_code": "USD",
        "credit_limit_minor": 5,
        "version": 3,
        "create_time_ms": 1_001,
        "update_time_ms": 2_002,
    }
    return Account(**(valid | fields))


def _card(**fields: Any) -> Card:
    valid: dict[str, Any] = {
        "id": CARD_ID,
        "account_id": ACCOUNT_ID,
        "root_card_id": CARD_ID,
        "kind": CardKind.VIRTUAL,
        "state": CardState.ACTIVE,
        "last4": "0007",
        "expiry_month": 1,
        "expiry_year": 2031,
        "version": 3,
        "create_time_ms": 1_001,
        "update_time_ms": 2_002,
    }
    return Card(**(valid | fields))


def test_open_account_leaves_the_programme_to_the_owner() -> None:
    request = OpenAccountRequest(request_id="r", owner_id=OWNER, credit_limit=LIMIT)
    key, command = convert.open_account(request, _Context())
    assert (key.principal, key.request_id, key.method) == ("tester", "r", "OpenAccount")
    assert command == OpenAccount(
        owner_id=OWNER,
        programme_id="",
        parent_account_id=None,
        currency_code="USD",
        credit_limit_minor=5,
    )


def test_fingerprint_is_of_the_content_and_not_of_the_id() -> None:
    request = UpdateCreditLimitRequest(account_id=ACCOUNT_ID, credit_limit=LIMIT)
    by_header, _ = convert.update_credit_limit(request, _Context(("idempotency-key", "k")))
    request.request_id = "k"
    by_field, _ = convert.update_credit_limit(request, _Context())
    request.credit_limit.amount_minor += 1
    other, _ = convert.update_credit_limit(request, _Context())
    assert by_header == by_field
    assert request.request_id == "k"
    assert other.fingerprint != by_field.fingerprint


def test_method_is_part_of_the_key() -> None:
    freeze = FreezeCardRequest(request_id="r", card_id=CARD_ID)
    close = CloseCardRequest(request_id="r", card_id=CARD_ID)
    assert convert.card_transition(freeze, _Context()) != convert.card_transition(close, _Context())


@pytest.mark.parametrize("state", list(AccountState))
def test_account_on_the_wire(state: AccountState) -> None:
    value = convert.account(_account(state=state, parent_account_id="acct_0a" + "5" * 32))
    assert account_pb2.Account.State.Name(value.state) == f"STATE_{state}"
    assert value.credit_limit == LIMIT
    assert value.parent_account_id == "acct_0a" + "5" * 32
    assert (value.create_time.ToMilliseconds(), value.update_time.ToMilliseconds()) == (
        1_001,
        2_002,
    )


@pytest.mark.parametrize("state", list(CardState))
@pytest.mark.parametrize("kind", list(CardKind))
def test_card_on_the_wire(kind: CardKind, state: CardState) -> None:
    value = convert.card(_card(kind=kind, state=state))
    assert card_pb2.Card.Kind.Name(value.kind) == f"KIND_{kind}"
    assert card_pb2.Card.State.Name(value.state) == f"STATE_{state}"
    assert (value.expiry_month, value.expiry_year, value.last4) == (1, 2031, "0007")


def test_enums_of_domain_and_contract_are_the_same() -> None:
    for names, enum, prefix in (
        (AccountState, account_pb2.Account.State, "STATE_"),
        (CardState, card_pb2.Card.State, "STATE_"),
        (CardKind, card_pb2.Card.Kind, "KIND_"),
        (AccountState, projection.AccountState, "ACCOUNT_STATE_"),
        (CardState, projection.CardState, "CARD_STATE_"),
    ):
        wire = {name.removeprefix(prefix) for name, _ in enum.items()} - {"UNSPECIFIED"}
        # To the authorizer an active card of who is suspended has a state of its own.
        wire -= {"SUSPENDED"} if enum is projection.CardState else set()
        assert wire == {str(name) for name in names}


def test_projection_of_an_account() -> None:
    message = projector.account_message(_account(state=AccountState.CLOSING))
    request = projection.ApplyAccountRequest.FromString(message.payload)
    assert (message.topic, message.key) == ("account", ACCOUNT_ID)
    assert (request.version, request.state) == (3, projection.ACCOUNT_STATE_CLOSING)


@pytest.mark.parametrize("state", CardState)
def test_projection_of_a_card_of_who_is_suspended(state: CardState) -> None:
    request = projector.card_request(_card(state=state, holder_suspended=True))
    name = "SUSPENDED" if state is CardState.ACTIVE else state
    assert projection.CardState.Name(request.state) == f"CARD_STATE_{name}"


def test_projection_of_a_card_is_ordered_behind_its_account() -> None:
    message = projector.card_message(_card(kind=CardKind.SINGLE_USE, state=CardState.FROZEN))
    request = projection.ApplyCardRequest.FromString(message.payload)
    assert (message.topic, message.key) == ("card", ACCOUNT_ID)
    assert request.single_use
    assert (request.version, request.state) == (3, projection.CARD_STATE_FROZEN)
