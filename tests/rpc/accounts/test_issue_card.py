from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import IssueCardRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.accounts_mesh import (
    BIN,
    OWNER,
    UNKNOWN_ACCOUNT,
    AccountsMesh,
    call,
    call_replayed,
    refused,
)


def _request(account_id: str, **fields: Any) -> IssueCardRequest:
    valid: dict[str, Any] = {
        "request_id": "r-1",
        "account_id": account_id,
        "kind": Card.KIND_VIRTUAL,
    }
    return IssueCardRequest(**(valid | fields))


@pytest.mark.parametrize(
    ("kind", "state", "projected", "single_use"),
    [
        (Card.KIND_VIRTUAL, Card.STATE_ACTIVE, projection.CARD_STATE_ACTIVE, False),
        (Card.KIND_PHYSICAL, Card.STATE_INACTIVE, projection.CARD_STATE_INACTIVE, False),
        (Card.KIND_SINGLE_USE, Card.STATE_ACTIVE, projection.CARD_STATE_ACTIVE, True),
    ],
)
async def test_issues_a_card_and_tells_the_authorizer(
    mesh: AccountsMesh,
    kind: Card.Kind.ValueType,
    state: Card.State.ValueType,
    projected: projection.CardState.ValueType,
    single_use: bool,
) -> None:
    account = await mesh.open_account()
    card = (await call(mesh.cards.IssueCard, _request(account.id, kind=kind))).card
    assert card.id.startswith("card_0a")
    assert (card.account_id, card.root_card_id) == (account.id, card.id)
    assert (card.kind, card.state, card.version) == (kind, state, 1)
    number = await mesh.vault_pool.fetchrow("SELECT * FROM card_number")
    assert (card.bin, card.last4) == (BIN, number["last4"])
    assert (number["card_id"], number["bin"]) == (card.id, BIN)
    # The clock stands at 2027-01-15.
    assert (card.expiry_month, card.expiry_year) == (1, 2031)
    assert mesh.authorizer.requests[-1] == projection.ApplyCardRequest(
        version=1,
        card_id=card.id,
        account_id=account.id,
        root_card_id=card.id,
        state=projected,
        single_use=single_use,
        expiry_month=1,
        expiry_year=2031,
    )


async def test_replay_and_reuse(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    first = await call(mesh.cards.IssueCard, _request(account.id))
    again, replayed = await call_replayed(mesh.cards.IssueCard, _request(account.id))
    assert replayed
    assert again == first
    error = await refused(mesh.cards.IssueCard, _request(account.id, kind=Card.KIND_PHYSICAL))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await mesh.count("card") == 1


async def test_fifty_at_once_issue_one_card(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    answers = await asyncio.gather(
        *(call(mesh.cards.IssueCard, _request(account.id)) for _ in range(50))
    )
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert await mesh.count("card") == 1


async def test_unknown_account(mesh: AccountsMesh) -> None:
    error = await refused(mesh.cards.IssueCard, _request(UNKNOWN_ACCOUNT))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


@pytest.mark.parametrize("state", ["CLOSING", "CLOSED"])
async def test_account_that_is_not_open(mesh: AccountsMesh, state: str) -> None:
    account = await mesh.open_account()
    await mesh.set_account_state(account.id, state)
    error = await refused(mesh.cards.IssueCard, _request(account.id))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN")
    assert error.metadata == {
        "account_id": account.id,
        "state": state,
        "allowed": "OPEN",
    }


async def test_malformed_fields_are_named_and_nothing_is_written(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    malformed: list[tuple[dict[str, Any], list[str]]] = [
        ({"request_id": ""}, ["request_id"]),
        ({"request_id": "x" * 100_000}, ["request_id"]),
        ({"account_id": ""}, ["account_id"]),
        ({"account_id": OWNER}, ["account_id"]),
        ({"account_id": "x" * 100_000}, ["account_id"]),
        ({"kind": Card.KIND_UNSPECIFIED}, ["kind"]),
        ({"kind": 99}, ["kind"]),
        ({"kind": -1}, ["kind"]),
        ({"request_id": "", "account_id": "", "kind": 0}, ["request_id", "account_id", "kind"]),
    ]
    for fields, wrong in malformed:
        request = _request(**({"account_id": account.id} | fields))
        error = await refused(mesh.cards.IssueCard, request)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == wrong, fields
    assert await mesh.count("card") == 0
    assert await mesh.count("request_record") == 1
