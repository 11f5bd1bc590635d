"""Whoever is suspended pays with no card until that ends; then every card is what it was."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from accounts.holding import of_holder
from holdfast.accounts.v1 import card_bulk_service_pb2 as bulk
from holdfast.accounts.v1 import card_lifecycle_pb2 as life
from holdfast.accounts.v1 import user_service_pb2
from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import (
    FreezeCardRequest,
    GetCardRequest,
    IssueCardRequest,
    UnfreezeCardRequest,
)
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.accounts_mesh import OTHER_OWNER, AccountsMesh, call, call_replayed, refused, usd
from tests.rpc.accounts.test_erasing import person
from tests.rpc.accounts.test_leaving import card_of, share, told
from tests.rpc.accounts.test_users import move

ACTIVE, FROZEN = projection.CARD_STATE_ACTIVE, projection.CARD_STATE_FROZEN
INACTIVE, SUSPENDED = projection.CARD_STATE_INACTIVE, projection.CARD_STATE_SUSPENDED
REFUSED = (grpc.StatusCode.FAILED_PRECONDITION, "USER_NOT_ACTIVE")


async def change(mesh: AccountsMesh, name: str, card_id: str) -> Card:
    kind = {"FreezeCard": FreezeCardRequest, "UnfreezeCard": UnfreezeCardRequest}.get(name)
    request = (kind or getattr(life, f"{name}Request"))(
        request_id=mesh.request_id(), card_id=card_id
    )
    changed: Card = (await call(getattr(mesh.cards, name), request)).card
    return changed


async def found(mesh: AccountsMesh, card_id: str) -> Card:
    card: Card = (await call(mesh.cards.GetCard, GetCardRequest(card_id=card_id))).card
    return card


def usable(mesh: AccountsMesh, *cards: Card) -> list[int]:
    """The states that the authorizer goes by."""
    return [told(mesh, card.id).state for card in cards]


async def issuing(mesh: AccountsMesh, account_id: str, user_id: str = "") -> tuple[Any, str]:
    request = IssueCardRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        kind=Card.KIND_VIRTUAL,
        user_id=user_id,
    )
    error = await refused(mesh.cards.IssueCard, request)
    return error.code, error.reason


async def test_all_cards_of_the_person_stop_and_go_on_as_they_were(mesh: AccountsMesh) -> None:
    """Goal: once SuspendUser has answered, the authorizer has it; nothing is closed. Others go on,
    also on the person's own account. Reactivating lifts no freeze, and lifts what it set only.
    """
    user_id = await person(mesh)
    account = await mesh.open_account(user_id)
    elsewhere = await mesh.open_account(OTHER_OWNER)
    nobodys, own = await mesh.issue_card(account.id), await mesh.issue_card(account.id)
    frozen, lost = await mesh.issue_card(account.id), await mesh.issue_card(account.id)
    plastic = await mesh.issue_card(account.id, Card.KIND_PHYSICAL, user_id=user_id)
    shared = await card_of(mesh, elsewhere.id, user_id)
    friends = await card_of(mesh, account.id, OTHER_OWNER)
    theirs = await mesh.issue_card(elsewhere.id)
    await change(mesh, "FreezeCard", frozen.id)
    await change(mesh, "ReportCardLost", lost.id)
    cards = (nobodys, own, frozen, plastic, shared)
    before = [await found(mesh, card.id) for card in cards]

    request = user_service_pb2.SuspendUserRequest(request_id="s", user_id=user_id)
    answer = await call(mesh.users.SuspendUser, request)
    assert usable(mesh, *cards) == [SUSPENDED, SUSPENDED, FROZEN, INACTIVE, SUSPENDED]
    assert usable(mesh, lost, friends, theirs) == [projection.CARD_STATE_LOST, ACTIVE, ACTIVE]
    stopped = [await found(mesh, card.id) for card in cards]
    assert all(card.holder_suspended for card in stopped)
    assert [card.state for card in stopped] == [card.state for card in before]
    assert await call_replayed(mesh.users.SuspendUser, request) == (answer, True)
    await move(mesh, "SuspendUser", user_id)
    assert [await found(mesh, card.id) for card in cards] == stopped
    history = "SELECT fields, method FROM change WHERE subject_id = $1 ORDER BY id DESC LIMIT 1"
    row = await mesh.pool.fetchrow(history, own.id)
    assert tuple(row) == ('[["holder_suspended", "false", "true"]]', "SuspendUser")

    await move(mesh, "ReactivateUser", user_id)
    assert usable(mesh, *cards) == [ACTIVE, ACTIVE, FROZEN, INACTIVE, ACTIVE]
    for card, was in zip(cards, before, strict=True):
        now = await found(mesh, card.id)
        now.version = was.version
        now.update_time.CopyFrom(was.update_time)
        assert now == was


async def test_no_change_of_a_card_lets_the_suspended_pay(mesh: AccountsMesh) -> None:
    """Goal: unfreeze, activate, replace, be given another's card, be imported: no way back."""
    user_id = await person(mesh)
    account = await mesh.open_account(user_id)
    frozen, plain = await mesh.issue_card(account.id), await mesh.issue_card(account.id)
    plastic = await mesh.issue_card(account.id, Card.KIND_PHYSICAL)
    other = await card_of(mesh, account.id, OTHER_OWNER)
    await change(mesh, "FreezeCard", frozen.id)
    await move(mesh, "SuspendUser", user_id)

    unfrozen = await change(mesh, "UnfreezeCard", frozen.id)
    activated = await change(mesh, "ActivateCard", plastic.id)
    replacing = life.ReplaceCardRequest(
        request_id="p", card_id=plain.id, reason=life.REPLACEMENT_REASON_LOST
    )
    new = (await call(mesh.cards.ReplaceCard, replacing)).card
    assert usable(mesh, unfrozen, activated, new) == [SUSPENDED] * 3
    assert new.holder_suspended

    assert await issuing(mesh, account.id) == REFUSED
    assert await issuing(mesh, account.id, user_id) == REFUSED
    for holder in (user_id, ""):
        request = life.UpdateCardRequest(request_id="u", card_id=other.id, user_id=holder)
        error = await refused(mesh.cards.UpdateCard, request)
        assert (error.code, error.reason) == REFUSED
    imported = bulk.ImportedCard(reference="c", account_id=account.id)
    opened = bulk.ImportedCard(reference="d", owner_id=user_id, credit_limit=usd(5))
    rows = bulk.ImportCardsRequest(request_id="i", cards=[imported, opened])
    results = (await call(mesh.card_bulk.ImportCards, rows)).results
    fields = [[one.field for one in result.violations] for result in results]
    assert fields == [["account_id"], ["owner_id"]]

    # The friend on the suspended person's account is nobody's prisoner.
    assert (await mesh.issue_card(account.id, user_id=OTHER_OWNER)).holder_suspended is False
    await share(mesh, account.id, OTHER_OWNER)
    given = life.UpdateCardRequest(request_id="g", card_id=new.id, user_id=OTHER_OWNER)
    assert not (await call(mesh.cards.UpdateCard, given)).card.holder_suspended
    assert usable(mesh, new, other) == [ACTIVE, ACTIVE]


async def test_what_replaces_a_lost_card_is_stopped_as_its_holder_is(mesh: AccountsMesh) -> None:
    """Goal: a card that had ended before somebody was suspended is no way to a usable one; nor is
    who is no longer suspended stopped, because the card that is replaced had ended before.
    """
    user_id = await person(mesh)
    account = await mesh.open_account(user_id)
    elsewhere = await mesh.open_account(OTHER_OWNER)
    lost = [await mesh.issue_card(account.id), await card_of(mesh, elsewhere.id, user_id)]
    later = await mesh.issue_card(account.id)

    async def replaced(card: Card) -> Card:
        request = life.ReplaceCardRequest(
            request_id=mesh.request_id(), card_id=card.id, reason=life.REPLACEMENT_REASON_LOST
        )
        new: Card = (await call(mesh.cards.ReplaceCard, request)).card
        return new

    for card in lost:
        await change(mesh, "ReportCardLost", card.id)
    await move(mesh, "SuspendUser", user_id)
    new = [await replaced(card) for card in lost]
    assert usable(mesh, *new) == [SUSPENDED, SUSPENDED]
    await change(mesh, "ReportCardStolen", later.id)
    await move(mesh, "ReactivateUser", user_id)
    assert usable(mesh, *new, await replaced(later)) == [ACTIVE] * 3


async def test_a_first_card_that_is_due_is_stopped_as_it_is_made(mesh: AccountsMesh) -> None:
    """What was approved before the suspension is opened all the same, and cannot be used."""
    user_id = await person(mesh)
    card = await mesh.issue_card((await mesh.open_account(user_id)).id)
    made = await mesh.store.card(card.id)
    assert made is not None
    for name, suspended in (("SuspendUser", True), ("ReactivateUser", False)):
        await move(mesh, name, user_id)
        async with mesh.store.transaction(now_ms=mesh.clock.now_ms()) as transaction:
            due = await of_holder(transaction, made, user_id)
            others = await of_holder(transaction, made, OTHER_OWNER)
        assert (due.holder_suspended, due.version) == (suspended, made.version)
        assert not others.holder_suspended


async def test_suspending_misses_no_card_that_is_made_at_once(mesh: AccountsMesh) -> None:
    user_id = await person(mesh)
    account = await mesh.open_account(user_id)
    elsewhere = await mesh.open_account(OTHER_OWNER)
    cards = [await mesh.issue_card(account.id) for _ in range(4)]
    works = [
        call(
            mesh.cards.ReplaceCard,
            life.ReplaceCardRequest(
                request_id=mesh.request_id(),
                card_id=card.id,
                reason=life.REPLACEMENT_REASON_DAMAGED,
            ),
        )
        for card in cards
    ]
    works += [mesh.issue_card(account.id) for _ in range(4)]
    works += [card_of(mesh, elsewhere.id, user_id) for _ in range(4)]
    works.insert(6, move(mesh, "SuspendUser", user_id))
    await asyncio.gather(*works, return_exceptions=True)
    assert await mesh.pool.fetchval("SELECT state FROM person") == "SUSPENDED"
    query = """SELECT id FROM card WHERE state IN ('ACTIVE', 'INACTIVE', 'FROZEN')
        AND NOT holder_suspended"""
    assert await mesh.pool.fetch(query) == []
    living = await mesh.pool.fetch("SELECT id FROM card WHERE state = 'ACTIVE'")
    assert {told(mesh, row["id"]).state for row in living} == {SUSPENDED}


@pytest.mark.parametrize("name", ["SuspendUser", "ReactivateUser"])
async def test_is_not_answered_before_the_authorizer_has_it(
    impatient_mesh: AccountsMesh, name: str
) -> None:
    """Nor is its repetition; once the authorizer is back, it has the last word of both."""
    mesh = impatient_mesh
    user_id = await person(mesh)
    card = await mesh.issue_card((await mesh.open_account(user_id)).id)
    if name == "ReactivateUser":
        await move(mesh, "SuspendUser", user_id)
    request = getattr(user_service_pb2, f"{name}Request")(request_id="s", user_id=user_id)
    mesh.authorizer.refusing = True
    for _ in range(2):
        error = await refused(getattr(mesh.users, name), request, timeout_s=1)
        assert error.reason == "OUTCOME_UNKNOWN"
    mesh.authorizer.refusing = False
    await call(getattr(mesh.users, name), request)
    assert usable(mesh, card) == [SUSPENDED if name == "SuspendUser" else ACTIVE]
