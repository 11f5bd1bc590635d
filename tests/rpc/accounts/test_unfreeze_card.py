from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import UnfreezeCardRequest
from tests.accounts_mesh import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_CARD,
    AccountsMesh,
    call,
    call_replayed,
    refused,
)


def _request(card_id: str, **fields: Any) -> UnfreezeCardRequest:
    return UnfreezeCardRequest(**({"request_id": "r-1", "card_id": card_id} | fields))


async def test_makes_a_frozen_card_active(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    await mesh.set_card_state(card.id, "FROZEN")
    active = (await call(mesh.cards.UnfreezeCard, _request(card.id))).card
    assert (active.state, active.version) == (Card.STATE_ACTIVE, 2)
    assert mesh.authorizer.versions[card.id] == 2


async def test_unfreezing_an_active_card_changes_nothing(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    assert (await call(mesh.cards.UnfreezeCard, _request(card.id))).card == card


@pytest.mark.parametrize(
    ("state", "allowed"), [("INACTIVE", "CLOSED,ACTIVE,LOST,STOLEN"), ("CLOSED", "")]
)
async def test_illegal_transition(mesh: AccountsMesh, state: str, allowed: str) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    await mesh.set_card_state(card.id, state)
    error = await refused(mesh.cards.UnfreezeCard, _request(card.id))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ILLEGAL_TRANSITION",
    )
    assert error.metadata == {"from": state, "to": "ACTIVE", "allowed": allowed}


async def test_replay_and_reuse(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    card, other = await mesh.issue_card(account.id), await mesh.issue_card(account.id)
    await mesh.set_card_state(card.id, "FROZEN")
    first = await call(mesh.cards.UnfreezeCard, _request(card.id))
    again, replayed = await call_replayed(mesh.cards.UnfreezeCard, _request(card.id))
    assert replayed
    assert again == first
    error = await refused(mesh.cards.UnfreezeCard, _request(other.id))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_unknown_card(mesh: AccountsMesh) -> None:
    error = await refused(mesh.cards.UnfreezeCard, _request(UNKNOWN_CARD))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")


async def test_malformed_fields(mesh: AccountsMesh) -> None:
    malformed: list[tuple[dict[str, Any], list[str]]] = [
        ({"request_id": ""}, ["request_id"]),
        ({"request_id": "x" * 100_000}, ["request_id"]),
        ({"card_id": ""}, ["card_id"]),
        ({"card_id": UNKNOWN_ACCOUNT}, ["card_id"]),
        ({"card_id": "x" * 100_000}, ["card_id"]),
        ({"request_id": "", "card_id": ""}, ["request_id", "card_id"]),
    ]
    for fields, wrong in malformed:
        request = _request(**({"card_id": UNKNOWN_CARD} | fields))
        error = await refused(mesh.cards.UnfreezeCard, request)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == wrong, fields
