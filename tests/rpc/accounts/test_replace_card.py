"""ReplaceCard, ReissueCard, RenewCard, ListCardChanges, kinds of IssueCard, and renewals."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from accounts import renewals
from holdfast.accounts.v1 import card_lifecycle_pb2 as pb
from holdfast.accounts.v1.account_lifecycle_pb2 import AddAccountUserRequest
from holdfast.accounts.v1.card_pb2 import Card, Shipping
from holdfast.accounts.v1.card_service_pb2 import (
    GetCardRequest,
    IssueCardRequest,
    SetCardControlsRequest,
)
from holdfast.accounts.v1.vault_service_pb2 import RevealCardRequest
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime.clock import ms_of
from tests.accounts_mesh import BIN, UNKNOWN_CARD, AccountsMesh, call, refused
from tests.rpc.accounts.test_account_users import DAILY, USER

LOST = pb.REPLACEMENT_REASON_LOST


async def _card(mesh: AccountsMesh, card_id: str) -> Card:
    card: Card = (await call(mesh.cards.GetCard, GetCardRequest(card_id=card_id))).card
    return card


async def _replace(
    mesh: AccountsMesh, card_id: str, reason: pb.ReplacementReason.ValueType = LOST
) -> Card:
    request = pb.ReplaceCardRequest(request_id=mesh.request_id(), card_id=card_id, reason=reason)
    card: Card = (await call(mesh.cards.ReplaceCard, request)).card
    return card


async def _reveal(mesh: AccountsMesh, card_id: str) -> Any:
    request = RevealCardRequest(request_id=mesh.request_id(), card_id=card_id, reason="test")
    return await call(mesh.vaults.RevealCard, request, metadata=(("x-auth-roles", "admin"),))


async def test_limits_user_nickname_and_history_follow(mesh: AccountsMesh) -> None:
    """A new number, a new id, the same line; the limit goes on counting from when it was set."""
    account = await mesh.open_account()
    add = AddAccountUserRequest(request_id="a", account_id=account.id, user_id=USER)
    await call(mesh.accounts.AddAccountUser, add)
    issue = IssueCardRequest(
        request_id="i",
        account_id=account.id,
        kind=Card.KIND_VIRTUAL,
        user_id=USER,
        nickname="Groceries",
        controls=DAILY,
    )
    card = (await call(mesh.cards.IssueCard, issue)).card
    assert card.controls.limits[0].counting_since.ToMilliseconds() == mesh.clock.now_ms()
    number = await _reveal(mesh, card.id)
    mesh.clock.advance(1_000)
    new = await _replace(mesh, card.id)
    old = await _card(mesh, card.id)
    assert (old.state, old.replaced_by_card_id) == (Card.STATE_LOST, new.id)
    assert (new.replaces_card_id, new.root_card_id) == (card.id, card.id)
    assert (new.state, new.nickname, new.user_id) == (Card.STATE_ACTIVE, "Groceries", USER)
    assert new.controls == card.controls
    assert (await _reveal(mesh, new.id)).pan != number.pan
    assert mesh.authorizer.versions[card.id] == 2
    told = {one.card_id: one for one in mesh.authorizer.requests if hasattr(one, "card_id")}
    assert told[new.id].root_card_id == card.id
    third = await _replace(mesh, new.id, pb.REPLACEMENT_REASON_STOLEN)
    assert third.root_card_id == card.id
    request = pb.ListCardChangesRequest(card_id=third.id, page_size=3)
    page = await call(mesh.cards.ListCardChanges, request)
    found = list(page.changes)
    request.page_token = page.next_page_token
    found += (await call(mesh.cards.ListCardChanges, request)).changes
    assert [(one.method, one.subject_id, one.version) for one in found] == [
        ("ReplaceCard", new.id, 2),
        ("ReplaceCard", third.id, 1),
        ("ReplaceCard", card.id, 2),
        ("ReplaceCard", new.id, 1),
        ("IssueCard", card.id, 1),
    ]
    ended = {field.field: (field.before, field.after) for field in found[2].fields}
    assert ended == {"state": ("ACTIVE", "LOST"), "replaced_by_card_id": ("", new.id)}
    error = await refused(
        mesh.cards.ReplaceCard,
        pb.ReplaceCardRequest(request_id="r", card_id=card.id, reason=LOST),
    )
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CARD_REPLACED")
    assert error.metadata == {"replaced_by_card_id": new.id}


async def test_a_card_is_replaced_once_however_many_ask(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id)
    asked = (_replace(mesh, card.id) for _ in range(8))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, Card) for one in answers) == 1
    assert await mesh.count("card") == 2


async def test_what_cannot_be_replaced_reissued_or_renewed(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account.id)
    for method, request in (
        (mesh.cards.ReplaceCard, pb.ReplaceCardRequest(reason=LOST)),
        (mesh.cards.ReissueCard, pb.ReissueCardRequest()),
        (mesh.cards.RenewCard, pb.RenewCardRequest()),
    ):
        request.request_id, request.card_id = mesh.request_id(), card.id
        await mesh.set_account_state(account.id, "SUSPENDED")
        assert (await refused(method, request)).reason == "ACCOUNT_NOT_OPEN"
        await mesh.set_account_state(account.id, "OPEN")
        await mesh.set_card_state(card.id, "CLOSED")
        error = await refused(method, request)
        assert (error.reason, error.metadata["state"]) == ("CARD_STATE", "CLOSED")
        await mesh.set_card_state(card.id, "ACTIVE")
    error = await refused(mesh.cards.RenewCard, request)
    assert (error.reason, error.metadata) == ("RENEWAL_NOT_DUE", {"due_date": "2030-11-03"})
    error = await refused(
        mesh.cards.ListCardChanges, pb.ListCardChangesRequest(card_id=UNKNOWN_CARD)
    )
    assert error.reason == "CARD_NOT_FOUND"
    malformed = pb.ListCardChangesRequest(card_id="x", page_size=-1, page_token="!")
    error = await refused(mesh.cards.ListCardChanges, malformed)
    assert error.fields == ["card_id", "page_size", "page_token"]


async def test_reissue_keeps_the_number(mesh: AccountsMesh) -> None:
    card = await mesh.issue_card((await mesh.open_account()).id, Card.KIND_PHYSICAL)
    number = await _reveal(mesh, card.id)
    mesh.clock.advance(400 * 86_400_000)
    request = pb.ReissueCardRequest(request_id="r", card_id=card.id)
    anew = (await call(mesh.cards.ReissueCard, request)).card
    assert (anew.id, anew.last4) == (card.id, card.last4)
    assert (anew.expiry_year, anew.shipping.state) == (card.expiry_year + 1, Shipping.STATE_ORDERED)
    shown = await _reveal(mesh, card.id)
    assert (shown.pan, shown.expiry_year) == (number.pan, anew.expiry_year)
    assert mesh.authorizer.requests[-1].expiry_year == anew.expiry_year


async def test_in_place_of_a_frozen_card_comes_a_frozen_one(mesh: AccountsMesh) -> None:
    """Nobody has said that it may be used again. Plastic is not active anyway."""
    account = await mesh.open_account()
    for kind, expected in (
        (Card.KIND_VIRTUAL, Card.STATE_FROZEN),
        (Card.KIND_PHYSICAL, Card.STATE_INACTIVE),
    ):
        card = await mesh.issue_card(account.id, kind)
        await mesh.set_card_state(card.id, "FROZEN")
        new = await _replace(mesh, card.id)
        assert new.state == expected
        applied = [one for one in mesh.authorizer.requests if getattr(one, "card_id", "") == new.id]
        assert [one.state for one in applied] == [expected]


async def test_cards_in_use_are_renewed_before_they_expire(mesh: AccountsMesh) -> None:
    """Those of open accounts only, neither single-use nor closed; once; with who and when."""
    account, closing = await mesh.open_account(), await mesh.open_account()
    card, frozen = [await mesh.issue_card(account.id) for _ in range(2)]
    await mesh.set_card_state(frozen.id, "FROZEN")
    others = [
        await mesh.issue_card(account.id, Card.KIND_SINGLE_USE),
        await mesh.issue_card(account.id, Card.KIND_PHYSICAL),
        await mesh.issue_card(closing.id),
    ]
    await mesh.set_account_state(closing.id, "CLOSING")
    last_day = datetime(card.expiry_year, card.expiry_month, 31, tzinfo=UTC)
    mesh.clock.advance(ms_of(last_day) - 30 * 86_400_000 - mesh.clock.now_ms())
    assert await mesh.renewals.renew_due() == 0
    mesh.clock.advance(86_400_000)
    assert await mesh.renewals.renew_due() == 2
    assert await mesh.renewals.renew_due() == 0
    for one in (card, frozen):
        renewed = await _card(mesh, one.id)
        assert (renewed.expiry_year, renewed.last4) == (one.expiry_year + 4, one.last4)
    for one in others:
        assert await _card(mesh, one.id) == one
    changes = await call(mesh.cards.ListCardChanges, pb.ListCardChangesRequest(card_id=card.id))
    assert (changes.changes[0].principal, changes.changes[0].method) == ("system", "RenewCard")


async def test_cards_that_cannot_be_renewed_hold_up_no_others(
    mesh: AccountsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: more refused cards than a page has, all of them first: the others are renewed."""
    monkeypatch.setattr(renewals, "BATCH", 2)
    account = await mesh.open_account()
    cards = [await mesh.issue_card(account.id) for _ in range(7)]
    lost = [card.id for card in cards[:5]]
    await mesh.vault_pool.execute("DELETE FROM card_number WHERE card_id = ANY($1)", lost)
    await mesh.pool.execute("UPDATE card SET expiry_year = 2024 WHERE id = ANY($1)", lost)
    mesh.clock.advance(4 * 366 * 86_400_000)
    for expected in (2, 0):
        assert await mesh.renewals.renew_due() == expected
    for card in cards[5:]:
        assert (await _card(mesh, card.id)).expiry_year == card.expiry_year + 4


@pytest.mark.parametrize("method", ["ReissueCard", "RenewCard"])
async def test_a_renewal_that_never_happened_is_not_shown(mesh: AccountsMesh, method: str) -> None:
    """Goal: expiry and CVV are those of the card that everybody knows, between the vault's step and
    the commit, after a crash there, and after the repetition. Method: the commit waits for a lock
    when its connection dies.
    """
    card = await mesh.issue_card((await mesh.open_account()).id)
    before = await _reveal(mesh, card.id)
    mesh.clock.advance((4 * 365 - 20) * 86_400_000)
    request = getattr(pb, f"{method}Request")(request_id="again", card_id=card.id)
    expiry = "SELECT expiry_year FROM card_number"
    async with mesh.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE change IN SHARE MODE")
        running = asyncio.create_task(call(getattr(mesh.cards, method), request))
        waiting = "SELECT pid FROM pg_locks WHERE relation = 'change'::regclass AND NOT granted"
        while (process := await other.fetchval(waiting)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await mesh.vault_pool.fetchval(expiry) != card.expiry_year
        assert await _reveal(mesh, card.id) == before
        assert await other.fetchval("SELECT pg_terminate_backend($1)", process)
        with pytest.raises(grpc.aio.AioRpcError):
            await running
    assert await _card(mesh, card.id) == card
    assert await _reveal(mesh, card.id) == before
    renewed = (await call(getattr(mesh.cards, method), request)).card
    after = await _reveal(mesh, card.id)
    assert (after.pan, after.expiry_year) == (before.pan, renewed.expiry_year)
    assert renewed.expiry_year == card.expiry_year + 4 - (method == "ReissueCard")


async def test_merchant_locked_cards_stay_locked(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account.id, Card.KIND_MERCHANT_LOCKED)
    assert card.state == Card.STATE_ACTIVE
    assert card.controls.merchant_lock
    assert mesh.authorizer.requests[-1].controls.merchant_lock
    request = SetCardControlsRequest(request_id="r", card_id=card.id, controls=DAILY)
    error = await refused(mesh.cards.SetCardControls, request)
    assert (error.code, error.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["controls.merchant_lock"],
    )
    request.controls.merchant_lock = True
    assert (await call(mesh.cards.SetCardControls, request)).card.version == 2
    # Imports, and first cards of approvals, were once made without the lock.
    await mesh.pool.execute("UPDATE card SET controls = '' WHERE id = $1", card.id)
    new = await _replace(mesh, card.id)
    assert new.controls.merchant_lock
    sent = [one for one in mesh.authorizer.requests if getattr(one, "card_id", "") == new.id]
    assert sent[-1].controls.merchant_lock


async def test_issued_with_nickname_and_controls(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    wrong = SpendControls()
    wrong.CopyFrom(DAILY)
    wrong.limits[0].amount.currency_code = "EUR"
    request = IssueCardRequest(
        request_id="i", account_id=account.id, kind=Card.KIND_VIRTUAL, controls=wrong
    )
    error = await refused(mesh.cards.IssueCard, request)
    assert error.fields == ["controls.limits[0].amount.currency_code"]
    request.nickname = "x" * 65
    assert (await refused(mesh.cards.IssueCard, request)).fields == ["nickname"]


async def test_numbers_begin_with_the_programmes_bin(mesh: AccountsMesh) -> None:
    """Programmes that were never described have the installation's."""
    account = await mesh.open_account()
    assert (await mesh.issue_card(account.id)).bin == BIN
    await mesh.pool.execute(
        "INSERT INTO programme (id, display_name, kind, network, currency_code, bin, state,"
        " underwriting, first_card_kind, version, create_time, update_time) VALUES ($1, 'S',"
        " 'CONSUMER', 'NETWORK_VISA', 'USD', '41234567', 'ACTIVE', '', 'KIND_VIRTUAL', 1, now(),"
        " now())",
        account.programme_id,
    )
    card = await mesh.issue_card(account.id)
    assert card.bin == "41234567"
    new = await _replace(mesh, card.id)
    assert new.bin == "41234567"
    assert (await _reveal(mesh, new.id)).pan.startswith("41234567")
