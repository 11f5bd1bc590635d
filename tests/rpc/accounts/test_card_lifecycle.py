"""ActivateCard, ReportCardLost, ReportCardStolen, UpdateCardShipping, UpdateCard."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import card_lifecycle_pb2 as pb
from holdfast.accounts.v1.account_lifecycle_pb2 import AddAccountUserRequest
from holdfast.accounts.v1.card_pb2 import Card, Shipping
from holdfast.accounts.v1.card_service_pb2 import GetCardRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.accounts_mesh import (
    OTHER_OWNER,
    OWNER,
    UNKNOWN_CARD,
    AccountsMesh,
    call,
    call_replayed,
    refused,
)

HOLDER: dict[str, Any] = {"principal": ("x-auth-subject", OTHER_OWNER)}
ADMIN = (("x-auth-roles", "admin"),)
USER = "usr_3f" + "7" * 32
REQUESTS: dict[str, Any] = {
    name: getattr(pb, f"{name}Request")
    for name in (
        "ActivateCard",
        "ReportCardLost",
        "ReportCardStolen",
        "ReplaceCard",
        "ReissueCard",
        "RenewCard",
        "UpdateCard",
        "UpdateCardShipping",
        "ClearCardSuspicion",
    )
}
FIELDS: dict[str, dict[str, Any]] = {
    "ReplaceCard": {"reason": pb.REPLACEMENT_REASON_DAMAGED},
    "UpdateCardShipping": {"state": Shipping.STATE_SHIPPED},
    "UpdateCard": {"nickname": "Coffee"},
}


async def _do(mesh: AccountsMesh, method: str, card_id: str, **fields: Any) -> Card:
    request = REQUESTS[method](request_id=mesh.request_id(), card_id=card_id, **fields)
    answer = await call(getattr(mesh.cards, method), request)
    card: Card = answer.card
    return card


def _printed(card: Card, **fields: Any) -> dict[str, Any]:
    return {
        "last4": card.last4,
        "expiry_month": card.expiry_month,
        "expiry_year": card.expiry_year,
    } | fields


async def test_plastic_from_order_to_use(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id, Card.KIND_PHYSICAL)
    assert (card.state, card.shipping.state) == (Card.STATE_INACTIVE, Shipping.STATE_ORDERED)
    request = pb.ActivateCardRequest(request_id="early", card_id=card.id, **_printed(card))
    error = await refused(mesh.cards.ActivateCard, request)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CARD_NOT_SHIPPED")
    assert error.metadata == {"state": "ORDERED", "allowed": "SHIPPED,DELIVERED"}
    shipped = await _do(
        mesh,
        "UpdateCardShipping",
        card.id,
        state=Shipping.STATE_SHIPPED,
        carrier="Post",
        tracking_number="T-1",
    )
    assert (shipped.shipping.carrier, shipped.shipping.tracking_number) == ("Post", "T-1")
    delivered = await _do(mesh, "UpdateCardShipping", card.id, state=Shipping.STATE_DELIVERED)
    assert (delivered.state, delivered.received) == (Card.STATE_INACTIVE, False)
    active = await _do(mesh, "ActivateCard", card.id, **_printed(card))
    assert (active.state, active.received) == (Card.STATE_ACTIVE, True)
    assert mesh.authorizer.requests[-1].state == projection.CARD_STATE_ACTIVE
    assert await _do(mesh, "ActivateCard", card.id, **_printed(card)) == active
    lost = await _do(mesh, "ReportCardLost", card.id)
    assert lost.state == Card.STATE_LOST
    assert mesh.authorizer.requests[-1].state == projection.CARD_STATE_LOST
    stolen = await _do(mesh, "ReportCardStolen", card.id)
    assert stolen.state == Card.STATE_STOLEN
    assert mesh.authorizer.requests[-1].state == projection.CARD_STATE_STOLEN
    request = pb.ActivateCardRequest(request_id="late", card_id=card.id)
    error = await refused(mesh.cards.ActivateCard, request, metadata=ADMIN)
    assert (error.reason, error.metadata["from"]) == ("ILLEGAL_TRANSITION", "STOLEN")


async def test_guessing_the_details_ends_soon(mesh: AccountsMesh) -> None:
    """Ten guesses at once: five are looked at. Then the right details are refused, too, and an
    administrator activates the card without.
    """
    card = await mesh.issue_card((await mesh.open_account(OTHER_OWNER)).id, Card.KIND_PHYSICAL)
    await _do(mesh, "UpdateCardShipping", card.id, state=Shipping.STATE_SHIPPED)
    wrong = _printed(card, expiry_month=card.expiry_month % 12 + 1)
    errors = await asyncio.gather(
        *(
            refused(
                mesh.cards.ActivateCard,
                pb.ActivateCardRequest(request_id=f"g-{number}", card_id=card.id, **wrong),
                **HOLDER,
            )
            for number in range(10)
        )
    )
    reasons = [error.reason for error in errors]
    assert sorted(reasons) == ["ACTIVATION_LOCKED"] * 5 + ["CARD_DETAILS_WRONG"] * 5
    right = pb.ActivateCardRequest(request_id="right", card_id=card.id, **_printed(card))
    assert (await refused(mesh.cards.ActivateCard, right, **HOLDER)).reason == "ACTIVATION_LOCKED"
    bare = pb.ActivateCardRequest(request_id="bare", card_id=card.id)
    error = await refused(mesh.cards.ActivateCard, bare, **HOLDER)
    assert error.fields == ["last4", "expiry_month", "expiry_year"]
    answer = await call(mesh.cards.ActivateCard, bare, metadata=ADMIN)
    assert answer.card.state == Card.STATE_ACTIVE


async def test_only_guesses_count(mesh: AccountsMesh) -> None:
    """Goal: who is impatient, or asks again, is not locked out. Method: many tries while nothing
    could activate the card, then four wrong ones, the right one, and the same again.
    """
    card = await mesh.issue_card((await mesh.open_account(OTHER_OWNER)).id, Card.KIND_PHYSICAL)

    async def refusals(count: int, **fields: Any) -> set[str]:
        request = pb.ActivateCardRequest(card_id=card.id, **_printed(card, **fields))
        reasons = set()
        for _ in range(count):
            request.request_id = mesh.request_id()
            reasons.add((await refused(mesh.cards.ActivateCard, request, **HOLDER)).reason)
        return reasons

    wrong = {"expiry_month": card.expiry_month % 12 + 1}
    assert await refusals(4) | await refusals(4, **wrong) == {"CARD_NOT_SHIPPED"}
    await _do(mesh, "UpdateCardShipping", card.id, state=Shipping.STATE_SHIPPED)
    await mesh.set_card_state(card.id, "FROZEN")
    assert await refusals(6, **wrong) == {"ILLEGAL_TRANSITION"}
    await mesh.set_card_state(card.id, "INACTIVE")
    assert await refusals(4, **wrong) == {"CARD_DETAILS_WRONG"}
    for _ in range(3):
        assert (await _do(mesh, "ActivateCard", card.id, **_printed(card))).received
    assert await mesh.pool.fetchval("SELECT activation_tries FROM card") == 4


async def test_nickname_and_user(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account.id)
    named = await _do(mesh, "UpdateCard", card.id, nickname="Groceries")
    assert (named.nickname, named.version) == ("Groceries", 2)
    add = AddAccountUserRequest(request_id="a", account_id=account.id, user_id=USER)
    await call(mesh.accounts.AddAccountUser, add)
    given = await _do(mesh, "UpdateCard", card.id, user_id=USER)
    assert (given.nickname, given.user_id) == ("Groceries", USER)
    assert mesh.authorizer.requests[-1].user_id == USER
    assert (await _do(mesh, "UpdateCard", card.id, user_id="")).user_id == ""
    other = pb.UpdateCardRequest(request_id="o", card_id=card.id, user_id=OTHER_OWNER)
    error = await refused(mesh.cards.UpdateCard, other)
    assert error.reason == "USER_NOT_ON_ACCOUNT"
    await mesh.set_card_state(card.id, "LOST")
    other.user_id = USER
    error = await refused(mesh.cards.UpdateCard, other)
    assert (error.reason, error.metadata["allowed"]) == ("CARD_STATE", "INACTIVE,ACTIVE,FROZEN")


@pytest.mark.parametrize(
    ("method", "fields", "wrong"),
    [
        ("ActivateCard", {"last4": "12"}, ["last4", "expiry_month", "expiry_year"]),
        (
            "ActivateCard",
            {"last4": "12a4", "expiry_month": 13, "expiry_year": 99},
            ["last4", "expiry_month", "expiry_year"],
        ),
        ("ReplaceCard", {}, ["reason"]),
        ("ReplaceCard", {"reason": 9}, ["reason"]),
        ("UpdateCard", {"nickname": "x" * 65, "user_id": OWNER}, ["nickname", "user_id"]),
        ("UpdateCard", {"nickname": "a\nb"}, ["nickname"]),
        ("UpdateCardShipping", {}, ["state"]),
        ("UpdateCardShipping", {"state": Shipping.STATE_ORDERED}, ["state"]),
        (
            "UpdateCardShipping",
            {"state": 2, "carrier": "x" * 65, "tracking_number": "\x00"},
            ["carrier", "tracking_number"],
        ),
    ],
)
async def test_malformed_fields_are_named(
    mesh: AccountsMesh, method: str, fields: dict[str, Any], wrong: list[str]
) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    request = REQUESTS[method](request_id="r", card_id=card.id, **fields)
    error = await refused(getattr(mesh.cards, method), request)
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)
    assert mesh.authorizer.versions[card.id] == 1


@pytest.mark.parametrize("method", REQUESTS)
async def test_replay_reuse_unknown_and_malformed(mesh: AccountsMesh, method: str) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account.id, Card.KIND_PHYSICAL)
    other = await mesh.issue_card(account.id, Card.KIND_PHYSICAL)
    await mesh.pool.execute("UPDATE card SET expiry_year = 2027, expiry_month = 1")
    rpc, kind, fields = getattr(mesh.cards, method), REQUESTS[method], FIELDS.get(method, {})
    options: dict[str, Any] = {"metadata": ADMIN}
    request = kind(request_id="r", card_id=card.id, **fields)
    answer, replayed = await call_replayed(rpc, request, **options)
    assert not replayed
    mesh.clock.advance(1_000)
    assert await call_replayed(rpc, request, **options) == (answer, True)
    error = await refused(rpc, kind(request_id="r", card_id=other.id, **fields), **options)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    error = await refused(rpc, kind(request_id="s", card_id=UNKNOWN_CARD, **fields), **options)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
    error = await refused(rpc, kind(card_id=OWNER, **fields), **options)
    assert error.fields == ["request_id", "card_id"]
    found = await call(mesh.cards.GetCard, GetCardRequest(card_id=answer.card.id))
    assert found.card == answer.card


async def test_the_authorizer_is_waited_for(impatient_mesh: AccountsMesh) -> None:
    mesh = impatient_mesh
    card = await mesh.issue_card((await mesh.open_account()).id)
    mesh.authorizer.refusing = True
    request = pb.ReportCardStolenRequest(request_id="r", card_id=card.id)
    error = await refused(mesh.cards.ReportCardStolen, request)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
