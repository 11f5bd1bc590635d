from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import CloseCardRequest, FreezeCardRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.accounts_mesh import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_CARD,
    AccountsMesh,
    call,
    call_replayed,
    refused,
)


def _request(card_id: str, **fields: Any) -> FreezeCardRequest:
    return FreezeCardRequest(**({"request_id": "r-1", "card_id": card_id} | fields))


async def test_answers_after_the_authorizer_has_frozen_it(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    mesh.clock.advance(5)
    frozen = (await call(mesh.cards.FreezeCard, _request(card.id))).card
    assert (frozen.state, frozen.version) == (Card.STATE_FROZEN, 2)
    assert frozen.update_time.ToMilliseconds() == mesh.clock.now_ms()
    last = mesh.authorizer.requests[-1]
    assert (last.version, last.state) == (2, projection.CARD_STATE_FROZEN)


async def test_freezing_a_frozen_card_changes_nothing(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    frozen = await call(mesh.cards.FreezeCard, _request(card.id))
    told = len(mesh.authorizer.requests)
    again, replayed = await call_replayed(
        mesh.cards.FreezeCard, _request(card.id, request_id="r-2")
    )
    assert not replayed
    assert again == frozen
    assert len(mesh.authorizer.requests) == told


async def test_replay_and_reuse(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    card, other = await mesh.issue_card(account.id), await mesh.issue_card(account.id)
    first = await call(mesh.cards.FreezeCard, _request(card.id))
    again, replayed = await call_replayed(mesh.cards.FreezeCard, _request(card.id))
    assert replayed
    assert again == first
    error = await refused(mesh.cards.FreezeCard, _request(other.id))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    # The same fields are other content when another RPC carries them.
    request = CloseCardRequest(request_id="r-1", card_id=card.id)
    assert (await refused(mesh.cards.CloseCard, request)).reason == "REQUEST_ID_REUSED"


async def test_fifty_at_once_freeze_once(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    answers = await asyncio.gather(
        *(call(mesh.cards.FreezeCard, _request(card.id)) for _ in range(50))
    )
    assert {answer.card.version for answer in answers} == {2}


async def test_without_the_authorizer_the_outcome_is_unknown_until_it_is_back(
    impatient_mesh: AccountsMesh,
) -> None:
    """Freezes while the authorizer refuses: the freeze, its replay and a no-op freeze all answer
    UNAVAILABLE; once it accepts, the replay answers, and the authorizer has the frozen card.
    """
    mesh = impatient_mesh
    card = await mesh.issue_card((await mesh.open_account()).id)
    mesh.authorizer.refusing = True
    for request_id in ("r-1", "r-1", "r-2"):
        error = await refused(mesh.cards.FreezeCard, _request(card.id, request_id=request_id))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    mesh.authorizer.refusing = False
    assert await mesh.outbox.wait_delivered(card.account_id, timeout_s=5)
    answer, replayed = await call_replayed(mesh.cards.FreezeCard, _request(card.id))
    assert replayed
    assert answer.card.version == 2
    assert mesh.authorizer.versions[card.id] == 2


@pytest.mark.parametrize(
    ("state", "allowed"), [("INACTIVE", "CLOSED,ACTIVE,LOST,STOLEN"), ("CLOSED", "")]
)
async def test_illegal_transition(mesh: AccountsMesh, state: str, allowed: str) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    await mesh.set_card_state(card.id, state)
    error = await refused(mesh.cards.FreezeCard, _request(card.id))
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ILLEGAL_TRANSITION",
    )
    assert error.metadata == {"from": state, "to": "FROZEN", "allowed": allowed}


async def test_unknown_card(mesh: AccountsMesh) -> None:
    error = await refused(mesh.cards.FreezeCard, _request(UNKNOWN_CARD))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
    assert await mesh.count("request_record") == 0


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
        error = await refused(mesh.cards.FreezeCard, request)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == wrong, fields
