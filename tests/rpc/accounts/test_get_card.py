from __future__ import annotations

import grpc

from holdfast.accounts.v1.card_service_pb2 import GetCardRequest
from tests.accounts_mesh import UNKNOWN_ACCOUNT, UNKNOWN_CARD, AccountsMesh, call, refused


async def test_returns_the_card_as_it_was_issued(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    answer = await call(mesh.cards.GetCard, GetCardRequest(card_id=card.id))
    assert answer.card == card


async def test_unknown_card(mesh: AccountsMesh) -> None:
    error = await refused(mesh.cards.GetCard, GetCardRequest(card_id=UNKNOWN_CARD))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
    assert error.metadata == {"card_id": UNKNOWN_CARD}


async def test_malformed_fields(mesh: AccountsMesh) -> None:
    for card_id in ("", "x", UNKNOWN_ACCOUNT, UNKNOWN_CARD + "0", "card_" + "x" * 100_000):
        error = await refused(mesh.cards.GetCard, GetCardRequest(card_id=card_id))
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == ["card_id"], card_id
