from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import CloseCardRequest
from tests.accounts_mesh import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_CARD,
    AccountsMesh,
    call,
    call_replayed,
    refused,
)


def _request(card_id: str, **fields: Any) -> CloseCardRequest:
    return CloseCardRequest(**({"request_id": "r-1", "card_id": card_id} | fields))


@pytest.mark.parametrize("state", ["INACTIVE", "ACTIVE", "FROZEN"])
async def test_closes_a_card_in_any_state(mesh: AccountsMesh, state: str) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    await mesh.set_card_state(card.id, state)
    closed = (await call(mesh.cards.CloseCard, _request(card.id))).card
    assert (closed.state, closed.version) == (Card.STATE_CLOSED, 2)
    assert mesh.authorizer.versions[card.id] == 2
    again = await call(mesh.cards.CloseCard, _request(card.id, request_id="r-2"))
    assert again.card == closed


async def test_replay_and_reuse(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    card, other = await mesh.issue_card(account.id), await mesh.issue_card(account.id)
    await mesh.set_card_state(card.id, "FROZEN")
    first = await call(mesh.cards.CloseCard, _request(card.id))
    again, replayed = await call_replayed(mesh.cards.CloseCard, _request(card.id))
    assert replayed
    assert again == first
    error = await refused(mesh.cards.CloseCard, _request(other.id))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_unknown_card(mesh: AccountsMesh) -> None:
    error = await refused(mesh.cards.CloseCard, _request(UNKNOWN_CARD))
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
        error = await refused(mesh.cards.CloseCard, request)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == wrong, fields
