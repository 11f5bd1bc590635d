"""AddAccountUser, RemoveAccountUser, ListAccountUsers, ListAccountChanges."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from holdfast.accounts.v1 import account_lifecycle_pb2 as pb
from holdfast.accounts.v1.account_user_pb2 import AccountUser
from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import FreezeCardRequest, GetCardRequest
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls, SpendLimit
from tests.accounts_mesh import (
    OTHER_OWNER,
    OWNER,
    UNKNOWN_ACCOUNT,
    AccountsMesh,
    call,
    call_replayed,
    refused,
    usd,
)

USER = "usr_3f" + "7" * 32
DAILY = SpendControls(
    limits=[
        SpendLimit(
            control_id="daily",
            amount=usd(5_000),
            calendar=CalendarWindow(unit=CalendarWindow.UNIT_DAY),
        )
    ]
)


def _add(account_id: str, **fields: Any) -> pb.AddAccountUserRequest:
    valid: dict[str, Any] = {"request_id": "a", "account_id": account_id, "user_id": USER}
    return pb.AddAccountUserRequest(**(valid | fields))


def _remove(account_id: str, **fields: Any) -> pb.RemoveAccountUserRequest:
    valid: dict[str, Any] = {"request_id": "r", "account_id": account_id, "user_id": USER}
    return pb.RemoveAccountUserRequest(**(valid | fields))


async def test_added_with_controls_of_their_own(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    answer, replayed = await call_replayed(
        mesh.accounts.AddAccountUser, _add(account.id, controls=DAILY)
    )
    user = answer.account_user
    assert not replayed
    assert (user.state, user.version) == (AccountUser.STATE_ACTIVE, 1)
    assert user.controls.limits[0].amount == usd(5_000)
    told = mesh.authorizer.requests[-1]
    assert (told.user_id, told.version, told.controls) == (USER, 1, user.controls)
    again = await call_replayed(mesh.accounts.AddAccountUser, _add(account.id, controls=DAILY))
    assert again == (answer, True)
    kept = await call(mesh.accounts.AddAccountUser, _add(account.id, request_id="b"))
    assert kept == answer, "without controls, those that were set stay"


async def test_removed_with_all_their_cards(mesh: AccountsMesh) -> None:
    """Once it has answered, the authorizer has every card of the user closed, and no other one.
    Added again, the user keeps the controls.
    """
    account = await mesh.open_account()
    await call(mesh.accounts.AddAccountUser, _add(account.id, controls=DAILY))
    cards = [await mesh.issue_card(account.id, user_id=USER) for _ in range(3)]
    frozen = FreezeCardRequest(request_id="f", card_id=cards[1].id)
    await call(mesh.cards.FreezeCard, frozen)
    others = await mesh.issue_card(account.id)
    removed = await call(mesh.accounts.RemoveAccountUser, _remove(account.id))
    assert removed.account_user.state == AccountUser.STATE_REMOVED
    assert [mesh.authorizer.versions[card.id] for card in cards] == [2, 3, 2]
    assert mesh.authorizer.versions[others.id] == 1
    for card in cards:
        found = await call(mesh.cards.GetCard, GetCardRequest(card_id=card.id))
        assert found.card.state == Card.STATE_CLOSED
    again = await call(mesh.accounts.RemoveAccountUser, _remove(account.id, request_id="r2"))
    assert again == removed
    back = await call(mesh.accounts.AddAccountUser, _add(account.id, request_id="b"))
    assert back.account_user.controls == removed.account_user.controls
    assert back.account_user.version == removed.account_user.version + 1


async def test_no_card_escapes_a_removal(mesh: AccountsMesh) -> None:
    """Freezing, issuing and removing at once: none waits for another for ever."""
    account = await mesh.open_account()
    await call(mesh.accounts.AddAccountUser, _add(account.id))
    cards = [await mesh.issue_card(account.id, user_id=USER) for _ in range(5)]
    await asyncio.gather(
        *(
            call(
                mesh.cards.FreezeCard,
                FreezeCardRequest(request_id=mesh.request_id(), card_id=card.id),
            )
            for card in cards
        ),
        call(mesh.accounts.RemoveAccountUser, _remove(account.id)),
        *(mesh.issue_card(account.id, user_id=USER) for _ in range(5)),
        return_exceptions=True,
    )
    states = await mesh.pool.fetch("SELECT DISTINCT state FROM card")
    assert [row["state"] for row in states] == ["CLOSED"]


async def test_pages_of_users(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    users = [f"usr_3f{number:032x}" for number in range(5)]
    for number, user_id in enumerate(users):
        mesh.clock.advance(number % 2)
        request = _add(account.id, request_id=f"a-{number}", user_id=user_id)
        await call(mesh.accounts.AddAccountUser, request)
    found: list[str] = []
    request_page = pb.ListAccountUsersRequest(account_id=account.id, page_size=2)
    while True:
        page = await call(mesh.accounts.ListAccountUsers, request_page)
        found += [user.user_id for user in page.account_users]
        request_page.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert found == users[::-1]


async def test_every_change_is_told(mesh: AccountsMesh) -> None:
    """Who, when, what before and after; a replay adds nothing; in pages."""
    account = await mesh.open_account()
    mesh.clock.advance(1_000)
    for _ in range(2):
        await call(mesh.accounts.AddAccountUser, _add(account.id, controls=DAILY))
    suspend = pb.SuspendAccountRequest(request_id="s", account_id=account.id)
    await call(mesh.accounts.SuspendAccount, suspend, principal=("x-auth-subject", "operator"))
    request = pb.ListAccountChangesRequest(account_id=account.id, page_size=2)
    page = await call(mesh.accounts.ListAccountChanges, request)
    suspended, added = page.changes
    assert (suspended.principal, suspended.method, suspended.request_id, suspended.version) == (
        "operator",
        "SuspendAccount",
        "s",
        2,
    )
    (state,) = suspended.fields
    assert (state.field, state.before, state.after) == ("state", "OPEN", "SUSPENDED")
    assert suspended.change_time.ToMilliseconds() == mesh.clock.now_ms()
    assert (added.user_id, added.principal, added.version) == (USER, "tester", 1)
    assert {field.field for field in added.fields} == {"state", "controls"}
    assert "5000" in next(field.after for field in added.fields if field.field == "controls")
    request.page_token = page.next_page_token
    (opened,) = (await call(mesh.accounts.ListAccountChanges, request)).changes
    assert (opened.method, opened.version) == ("OpenAccount", 1)
    told = {field.field: (field.before, field.after) for field in opened.fields}
    assert told["credit_limit.amount_minor"] == ("", "100000")


async def test_refusals(mesh: AccountsMesh) -> None:
    account = await mesh.open_account(OTHER_OWNER)
    add, remove = mesh.accounts.AddAccountUser, mesh.accounts.RemoveAccountUser
    error = await refused(remove, _remove(account.id))
    assert (error.reason, error.metadata["allowed"]) == ("ILLEGAL_TRANSITION", "ACTIVE")
    error = await refused(add, _add(account.id, user_id=OTHER_OWNER))
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["user_id"])
    error = await refused(add, _add("x", user_id=OWNER, controls=SpendControls(merchant_lock=True)))
    assert error.fields == ["account_id", "user_id", "controls.merchant_lock"]
    error = await refused(remove, _remove("x", user_id=OWNER, request_id=""))
    assert error.fields == ["request_id", "account_id", "user_id"]
    for method, request in ((add, _add(UNKNOWN_ACCOUNT)), (remove, _remove(UNKNOWN_ACCOUNT))):
        error = await refused(method, request)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    for listing, asked in (
        (mesh.accounts.ListAccountUsers, pb.ListAccountUsersRequest),
        (mesh.accounts.ListAccountChanges, pb.ListAccountChangesRequest),
    ):
        error = await refused(listing, asked(account_id=UNKNOWN_ACCOUNT))
        assert error.reason == "ACCOUNT_NOT_FOUND"
        error = await refused(listing, asked(account_id="x", page_size=-1, page_token="!"))
        assert error.fields == ["account_id", "page_size", "page_token"]
    await mesh.set_account_state(account.id, "SUSPENDED")
    error = await refused(add, _add(account.id))
    assert (error.reason, error.metadata["allowed"]) == ("ACCOUNT_NOT_OPEN", "OPEN")
    euros = SpendControls(limits=[SpendLimit()])
    euros.CopyFrom(DAILY)
    euros.limits[0].amount.currency_code = "EUR"
    await mesh.set_account_state(account.id, "OPEN")
    error = await refused(add, _add(account.id, controls=euros))
    assert error.fields == ["controls.limits[0].amount.currency_code"]
