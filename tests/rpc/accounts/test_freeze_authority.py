"""Who may lift a freeze: whoever set it, or somebody with more say."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1.account_lifecycle_pb2 import AddAccountUserRequest
from holdfast.accounts.v1.card_lifecycle_pb2 import (
    REPLACEMENT_REASON_DAMAGED,
    ActivateCardRequest,
    ReplaceCardRequest,
    ReportCardLostRequest,
    ReportCardStolenRequest,
    UpdateCardShippingRequest,
)
from holdfast.accounts.v1.card_pb2 import Card, Shipping
from holdfast.accounts.v1.card_service_pb2 import FreezeCardRequest, UnfreezeCardRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.accounts_mesh import OTHER_OWNER, OWNER, AccountsMesh, call, refused

USER = "usr_0d" + "4" * 32


def _as(subject: str, role: str, company_id: str = "") -> dict[str, Any]:
    company = (("x-auth-company", company_id),) if company_id else ()
    return {
        "principal": ("x-auth-subject", subject),
        "metadata": (("x-auth-roles", role), *company),
    }


#: From the least to the most say, over an account of a company and over a person's.
COMPANY = [_as(USER, "cardholder"), _as("usr_0d" + "6" * 32, "manager", OWNER), {}]
PERSONAL = [_as(USER, "cardholder"), _as(OTHER_OWNER, "cardholder"), {}]
NAMES = ["USER", "OWNER", "ISSUER"]
_REPORTS: dict[str, Any] = {
    "ReportCardLost": ReportCardLostRequest,
    "ReportCardStolen": ReportCardStolenRequest,
}


async def _card(
    mesh: AccountsMesh, owner_id: str, kind: Card.Kind.ValueType = Card.KIND_VIRTUAL
) -> Card:
    account = await mesh.open_account(owner_id)
    share = AddAccountUserRequest(request_id="add", account_id=account.id, user_id=USER)
    await call(mesh.accounts.AddAccountUser, share)
    return await mesh.issue_card(account.id, kind, user_id=USER)


async def _replaced(mesh: AccountsMesh, card_id: str) -> Card:
    request = ReplaceCardRequest(
        request_id=mesh.request_id(), card_id=card_id, reason=REPLACEMENT_REASON_DAMAGED
    )
    new: Card = (await call(mesh.cards.ReplaceCard, request, **PERSONAL[0])).card
    return new


async def _freeze(mesh: AccountsMesh, card: Card, who: dict[str, Any]) -> None:
    request = FreezeCardRequest(request_id=mesh.request_id(), card_id=card.id)
    assert (await call(mesh.cards.FreezeCard, request, **who)).card.state == Card.STATE_FROZEN


def _unfreezing(mesh: AccountsMesh, card_id: str) -> UnfreezeCardRequest:
    return UnfreezeCardRequest(request_id=mesh.request_id(), card_id=card_id)


@pytest.mark.parametrize(
    ("owner_id", "people"), [(OWNER, COMPANY), (OTHER_OWNER, PERSONAL)], ids=["company", "person"]
)
@pytest.mark.parametrize("by", range(3), ids=NAMES)
async def test_nobody_with_less_say_lifts_a_freeze(
    mesh: AccountsMesh, owner_id: str, people: list[dict[str, Any]], by: int
) -> None:
    card = await _card(mesh, owner_id)
    for lifting, who in enumerate(people):
        await _freeze(mesh, card, people[by])
        if lifting >= by:
            lifted = await call(mesh.cards.UnfreezeCard, _unfreezing(mesh, card.id), **who)
            assert lifted.card.state == Card.STATE_ACTIVE
            continue
        error = await refused(mesh.cards.UnfreezeCard, _unfreezing(mesh, card.id), **who)
        assert (error.code, error.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "FROZEN_BY_OTHERS",
        )
        assert error.metadata == {"card_id": card.id, "frozen_by": NAMES[by]}


async def test_of_two_who_froze_the_one_with_more_say_counts_and_only_until_it_is_lifted(
    mesh: AccountsMesh,
) -> None:
    card = await _card(mesh, OTHER_OWNER)
    user, _, issuer = PERSONAL
    for who in (user, issuer, user):
        await _freeze(mesh, card, who)
    error = await refused(mesh.cards.UnfreezeCard, _unfreezing(mesh, card.id), **user)
    assert error.metadata["frozen_by"] == "ISSUER"
    await call(mesh.cards.UnfreezeCard, _unfreezing(mesh, card.id), **issuer)
    await _freeze(mesh, card, user)
    await call(mesh.cards.UnfreezeCard, _unfreezing(mesh, card.id), **user)


@pytest.mark.parametrize("reported", [None, "ReportCardLost", "ReportCardStolen"])
@pytest.mark.parametrize("by", range(1, 3), ids=NAMES[1:])
async def test_a_replacement_is_no_way_around_a_freeze(
    mesh: AccountsMesh, by: int, reported: str | None
) -> None:
    """Nor is one of a card that was reported lost or stolen in between."""
    card = await _card(mesh, OTHER_OWNER)
    await _freeze(mesh, card, PERSONAL[by])
    if reported is not None:
        report = _REPORTS[reported](request_id=mesh.request_id(), card_id=card.id)
        await call(getattr(mesh.cards, reported), report, **PERSONAL[0])
    new = await _replaced(mesh, card.id)
    assert new.state == Card.STATE_FROZEN
    error = await refused(mesh.cards.UnfreezeCard, _unfreezing(mesh, new.id), **PERSONAL[0])
    assert (error.reason, error.metadata["frozen_by"]) == ("FROZEN_BY_OTHERS", NAMES[by])
    await call(mesh.cards.UnfreezeCard, _unfreezing(mesh, new.id), **PERSONAL[by])
    assert (await _replaced(mesh, new.id)).state == Card.STATE_ACTIVE, "it was lifted"


async def test_plastic_in_place_of_a_frozen_card_is_frozen_once_it_is_activated(
    mesh: AccountsMesh,
) -> None:
    """However often it is replaced on its way."""
    card = await _card(mesh, OTHER_OWNER, Card.KIND_PHYSICAL)
    activate = ActivateCardRequest(request_id=mesh.request_id(), card_id=card.id)
    assert (await call(mesh.cards.ActivateCard, activate)).card.state == Card.STATE_ACTIVE
    await _freeze(mesh, card, PERSONAL[2])
    new = await _replaced(mesh, (await _replaced(mesh, card.id)).id)
    assert new.state == Card.STATE_INACTIVE
    ship = UpdateCardShippingRequest(
        request_id=mesh.request_id(), card_id=new.id, state=Shipping.STATE_SHIPPED
    )
    await call(mesh.cards.UpdateCardShipping, ship)
    holds = ActivateCardRequest(
        request_id=mesh.request_id(),
        card_id=new.id,
        last4=new.last4,
        expiry_year=new.expiry_year,
        expiry_month=new.expiry_month,
    )
    assert (await call(mesh.cards.ActivateCard, holds, **PERSONAL[0])).card.state == (
        Card.STATE_FROZEN
    )
    assert mesh.authorizer.requests[-1].state == projection.CARD_STATE_FROZEN
    error = await refused(mesh.cards.UnfreezeCard, _unfreezing(mesh, new.id), **PERSONAL[0])
    assert error.metadata["frozen_by"] == "ISSUER"
