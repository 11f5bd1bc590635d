"""Nobody keeps, or gets, a card on an account that was shared with them until they were removed."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from accounts.applications.application import Fulfilment
from accounts.applications.fulfilment import Fulfilling
from holdfast.accounts.v1 import card_lifecycle_pb2 as life
from holdfast.accounts.v1 import programme_pb2
from holdfast.accounts.v1.account_lifecycle_pb2 import (
    AddAccountUserRequest,
    RemoveAccountUserRequest,
)
from holdfast.accounts.v1.account_user_pb2 import AccountUser
from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import GetCardRequest
from holdfast.accounts.v1.member_service_pb2 import RemoveMemberRequest
from holdfast.accounts.v1.user_service_pb2 import CloseUserRequest
from holdfast.accounts.v1.vault_service_pb2 import RevealCardRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.accounts_applying import approve, checked, create_programme
from tests.accounts_mesh import OTHER_OWNER, AccountsMesh, call, call_replayed, refused
from tests.accounts_people import ANNA, BORIS, CHLOE, STAFF, as_user, found_company, join
from tests.rpc.accounts.test_erasing import person

FOUND_NOT = (grpc.StatusCode.NOT_FOUND, "CARD_NOT_FOUND")
NOT_ON_ACCOUNT = (grpc.StatusCode.FAILED_PRECONDITION, "USER_NOT_ON_ACCOUNT")


async def share(mesh: AccountsMesh, account_id: str, user_id: str) -> None:
    request = AddAccountUserRequest(
        request_id=mesh.request_id(), account_id=account_id, user_id=user_id
    )
    await call(mesh.accounts.AddAccountUser, request)


async def unshare(mesh: AccountsMesh, account_id: str, user_id: str) -> None:
    request = RemoveAccountUserRequest(
        request_id=mesh.request_id(), account_id=account_id, user_id=user_id
    )
    await call(mesh.accounts.RemoveAccountUser, request)


async def card_of(mesh: AccountsMesh, account_id: str, user_id: str) -> Card:
    await share(mesh, account_id, user_id)
    return await mesh.issue_card(account_id, user_id=user_id)


async def state_of(mesh: AccountsMesh, card_id: str) -> int:
    found = await call(mesh.cards.GetCard, GetCardRequest(card_id=card_id))
    return int(found.card.state)


def told(mesh: AccountsMesh, card_id: str) -> Any:
    """What the authorizer goes by at the next purchase."""
    return [one for one in mesh.authorizer.requests if getattr(one, "card_id", "") == card_id][-1]


async def not_replaced(mesh: AccountsMesh, card_id: str, **who: Any) -> tuple[Any, str]:
    request = life.ReplaceCardRequest(
        request_id=mesh.request_id(), card_id=card_id, reason=life.REPLACEMENT_REASON_LOST
    )
    error = await refused(mesh.cards.ReplaceCard, request, **who)
    return error.code, error.reason


async def not_made_anew(mesh: AccountsMesh, card_id: str) -> list[tuple[Any, str]]:
    found = []
    for method, request in (
        (mesh.cards.ReissueCard, life.ReissueCardRequest(request_id="i", card_id=card_id)),
        (mesh.cards.RenewCard, life.RenewCardRequest(request_id="n", card_id=card_id)),
    ):
        error = await refused(method, request)
        found.append((error.code, error.reason))
    return found


async def reveals(mesh: AccountsMesh, card_id: str, user_id: str) -> Any:
    request = RevealCardRequest(request_id=mesh.request_id(), card_id=card_id)
    fresh = ("x-auth-mfa-time", str(mesh.clock.now_ms() // 1000))
    error = await refused(
        mesh.vaults.RevealCard,
        request,
        principal=("x-auth-subject", user_id),
        metadata=(("x-auth-roles", "cardholder"), fresh),
    )
    return error.code, error.reason


@pytest.mark.parametrize("how", ["ReportCardLost", "ReportCardStolen"])
async def test_a_lost_card_is_no_way_back(mesh: AccountsMesh, how: str) -> None:
    """Goal: report the card lost, be removed, have it replaced: no card on the owner's credit. The
    owner has none made by mistake, either. Who shares the account again may.
    """
    account = await mesh.open_account(OTHER_OWNER)
    card = await card_of(mesh, account.id, BORIS)
    report = getattr(life, f"{how}Request")(request_id="l", card_id=card.id)
    await call(getattr(mesh.cards, how), report, **as_user(BORIS))
    assert await call(mesh.cards.GetCard, GetCardRequest(card_id=card.id), **as_user(BORIS))
    await unshare(mesh, account.id, BORIS)
    assert await not_replaced(mesh, card.id, **as_user(BORIS)) == FOUND_NOT
    assert await not_replaced(mesh, card.id, **as_user(OTHER_OWNER)) == NOT_ON_ACCOUNT
    assert await not_made_anew(mesh, card.id) == [NOT_ON_ACCOUNT] * 2
    error = await refused(mesh.cards.GetCard, GetCardRequest(card_id=card.id), **as_user(BORIS))
    assert (error.code, error.reason) == FOUND_NOT
    assert await reveals(mesh, card.id, BORIS) == FOUND_NOT
    assert await mesh.count("card") == 1
    await share(mesh, account.id, BORIS)
    request = life.ReplaceCardRequest(
        request_id="again", card_id=card.id, reason=life.REPLACEMENT_REASON_LOST
    )
    answer = await call(mesh.cards.ReplaceCard, request, **as_user(BORIS))
    assert answer.card.user_id == BORIS


async def test_replacing_and_removing_at_once_leave_no_living_card(mesh: AccountsMesh) -> None:
    account = await mesh.open_account(OTHER_OWNER)
    cards = [await card_of(mesh, account.id, BORIS)]
    cards += [await mesh.issue_card(account.id, user_id=BORIS) for _ in range(4)]
    await asyncio.gather(
        *(
            call(
                mesh.cards.ReplaceCard,
                life.ReplaceCardRequest(
                    request_id=mesh.request_id(),
                    card_id=card.id,
                    reason=life.REPLACEMENT_REASON_LOST,
                ),
                **as_user(BORIS),
            )
            for card in cards
        ),
        unshare(mesh, account.id, BORIS),
        return_exceptions=True,
    )
    living = "SELECT count(*) FROM card WHERE state NOT IN ('CLOSED', 'LOST', 'STOLEN')"
    assert await mesh.pool.fetchval(living) == 0


async def test_a_removed_member_takes_no_company_money_along(mesh: AccountsMesh) -> None:
    """Goal: once RemoveMember has answered, the authorizer declines every card that the person has
    on the company's accounts; others' cards, and the person's elsewhere, go on.
    """
    company = await found_company(mesh, ANNA)
    for user_id in (BORIS, CHLOE):
        await join(mesh, company.id, user_id, "EMPLOYEE", by=ANNA)
    accounts = [await mesh.open_account(company.id) for _ in range(2)]
    theirs = [await card_of(mesh, account.id, BORIS) for account in accounts]
    others = await card_of(mesh, accounts[0].id, CHLOE)
    nobodys = await mesh.issue_card(accounts[0].id)
    private = await mesh.issue_card((await mesh.open_account(BORIS)).id, user_id=BORIS)
    friends = await card_of(mesh, (await mesh.open_account(OTHER_OWNER)).id, BORIS)
    lost = life.ReportCardLostRequest(request_id="l", card_id=theirs[1].id)
    await call(mesh.cards.ReportCardLost, lost, **as_user(BORIS))

    remove = RemoveMemberRequest(request_id="r", company_id=company.id, user_id=BORIS)
    removed = await call(mesh.members.RemoveMember, remove, **as_user(ANNA))
    assert told(mesh, theirs[0].id).state == projection.CARD_STATE_CLOSED
    assert told(mesh, theirs[1].id).state == projection.CARD_STATE_LOST
    for card in theirs:
        assert await not_replaced(mesh, card.id, **as_user(BORIS)) == FOUND_NOT
        assert await reveals(mesh, card.id, BORIS) == FOUND_NOT
    for card in (others, nobodys, private, friends):
        assert await state_of(mesh, card.id) == Card.STATE_ACTIVE
    rows = await mesh.pool.fetch("SELECT account_id, user_id, state FROM account_user")
    ended = {(one["account_id"], one["user_id"]) for one in rows if one["state"] == "REMOVED"}
    assert ended == {(account.id, BORIS) for account in accounts}
    method = "SELECT method, principal FROM change WHERE subject_id = $1 AND version = 2"
    assert tuple(await mesh.pool.fetchrow(method, theirs[0].id)) == ("RemoveMember", ANNA)
    again = await call_replayed(mesh.members.RemoveMember, remove, **as_user(ANNA))
    assert again == (removed, True)


@pytest.mark.parametrize("step", [Fulfilment.OPEN_ACCOUNT, Fulfilment.ISSUE_CARD])
async def test_who_applied_for_a_company_and_was_removed_gets_no_card_of_it(
    mesh: AccountsMesh, step: Fulfilment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: apply for the company, be removed, be approved: no card on the company's money, also if
    the approval had gone half way. The company's first card is nobody's in particular.
    """
    kind = programme_pb2.Programme.KIND_BUSINESS
    await create_programme(mesh, programme_id="prog_biz", kind=kind)
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "ADMIN", by=ANNA)
    fields = {"programme_id": "prog_biz", "company_id": company.id}
    name = (await checked(mesh, "0008", user_id=BORIS, **fields)).id
    whole = Fulfilling._step

    async def dying(self: Fulfilling, application_id: str) -> Fulfilment:
        if await mesh.pool.fetchval("SELECT fulfilment FROM application") == step:
            raise RuntimeError("killed")
        return await whole(self, application_id)

    with monkeypatch.context() as patch:
        patch.setattr(Fulfilling, "_step", dying)
        await refused(mesh.applications.ApproveApplication, approve(name), **STAFF)
    remove = RemoveMemberRequest(request_id="r", company_id=company.id, user_id=BORIS)
    await call(mesh.members.RemoveMember, remove, **as_user(ANNA))
    await call(mesh.applications.ApproveApplication, approve(name), **STAFF)
    card = await mesh.pool.fetchrow("SELECT user_id, state FROM card")
    assert tuple(card) == (None, "ACTIVE")
    shares = "SELECT count(*) FROM account_user WHERE state = 'ACTIVE'"
    assert await mesh.pool.fetchval(shares) == 0


async def test_a_removal_is_not_answered_before_the_authorizer_has_it(
    impatient_mesh: AccountsMesh,
) -> None:
    """Nor is its repetition: all that both wait for is kept under the company."""
    mesh = impatient_mesh
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "EMPLOYEE", by=ANNA)
    card = await card_of(mesh, (await mesh.open_account(company.id)).id, BORIS)
    remove = RemoveMemberRequest(request_id="r", company_id=company.id, user_id=BORIS)
    mesh.authorizer.refusing = True
    for _ in range(2):
        error = await refused(mesh.members.RemoveMember, remove, **as_user(ANNA))
        assert error.reason == "OUTCOME_UNKNOWN"
    keys = await mesh.pool.fetch("SELECT topic, key FROM outbox ORDER BY topic")
    waiting = {one["topic"]: one["key"] for one in keys}
    assert waiting == dict.fromkeys(("account_user", "card", "membership"), company.id)
    mesh.authorizer.refusing = False
    await call(mesh.members.RemoveMember, remove, **as_user(ANNA))
    assert told(mesh, card.id).state == projection.CARD_STATE_CLOSED


async def test_who_may_not_remove_ends_nothing(mesh: AccountsMesh) -> None:
    company = await found_company(mesh, ANNA)
    for user_id in (BORIS, CHLOE):
        await join(mesh, company.id, user_id, "EMPLOYEE", by=ANNA)
    account = await mesh.open_account(company.id)
    cards = [await card_of(mesh, account.id, user_id) for user_id in (ANNA, BORIS)]
    for user_id, by, reason in ((BORIS, CHLOE, "ROLE_TOO_LOW"), (ANNA, ANNA, "LAST_ADMIN")):
        request = RemoveMemberRequest(request_id="r", company_id=company.id, user_id=user_id)
        error = await refused(mesh.members.RemoveMember, request, **as_user(by))
        assert error.reason == reason
    assert [await state_of(mesh, card.id) for card in cards] == [Card.STATE_ACTIVE] * 2


async def test_strangers_do_not_keep_a_person_from_closing(mesh: AccountsMesh) -> None:
    """Whoever adds somebody to an account needs no consent: closing the person ends the share."""
    user_id = await person(mesh)
    account = await mesh.open_account(OTHER_OWNER)
    card = await card_of(mesh, account.id, user_id)
    close = CloseUserRequest(request_id="c", user_id=user_id)
    await call(mesh.users.CloseUser, close)
    assert told(mesh, card.id).state == projection.CARD_STATE_CLOSED
    state = await mesh.pool.fetchval("SELECT state FROM account_user")
    assert state == AccountUser.State.Name(AccountUser.STATE_REMOVED).removeprefix("STATE_")
    assert await mesh.pool.fetchval("SELECT state FROM account") == "OPEN"


async def test_who_was_added_may_leave_and_sends_nobody_else_away(mesh: AccountsMesh) -> None:
    """Goal: of others who share the account, or own it, be rid. Only of oneself: the card ends."""
    account = await mesh.open_account(OTHER_OWNER)
    cards = [await card_of(mesh, account.id, user_id) for user_id in (ANNA, BORIS)]

    def remove(user_id: str) -> RemoveAccountUserRequest:
        return RemoveAccountUserRequest(
            request_id=mesh.request_id(), account_id=account.id, user_id=user_id
        )

    for by, user_id in ((BORIS, ANNA), (BORIS, OTHER_OWNER), (CHLOE, ANNA), (CHLOE, CHLOE)):
        error = await refused(mesh.accounts.RemoveAccountUser, remove(user_id), **as_user(by))
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    answer = await call(mesh.accounts.RemoveAccountUser, remove(BORIS), **as_user(BORIS))
    assert answer.account_user.state == AccountUser.STATE_REMOVED
    assert [told(mesh, card.id).state for card in cards] == [
        projection.CARD_STATE_ACTIVE,
        projection.CARD_STATE_CLOSED,
    ]
    error = await refused(mesh.accounts.RemoveAccountUser, remove(BORIS), **as_user(BORIS))
    assert error.reason == "ACCOUNT_NOT_FOUND"
    owners = await call(mesh.accounts.RemoveAccountUser, remove(ANNA), **as_user(OTHER_OWNER))
    assert owners.account_user.state == AccountUser.STATE_REMOVED


async def test_a_person_who_is_not_closed_keeps_the_shares(mesh: AccountsMesh) -> None:
    user_id = await person(mesh)
    await mesh.open_account(user_id)
    card = await card_of(mesh, (await mesh.open_account(OTHER_OWNER)).id, user_id)
    close = CloseUserRequest(request_id="c", user_id=user_id)
    assert (await refused(mesh.users.CloseUser, close)).reason == "USER_HAS_ACCOUNTS"
    assert await state_of(mesh, card.id) == Card.STATE_ACTIVE


async def test_adding_and_closing_at_once_wait_for_each_other_not_for_ever(
    mesh: AccountsMesh,
) -> None:
    """Either way nobody who is closed shares an account."""
    people = [await person(mesh, f"Person{number}") for number in range(8)]
    account = await mesh.open_account(OTHER_OWNER)
    for user_id in people[::2]:
        await share(mesh, account.id, user_id)
    works = [
        work
        for user_id in people
        for work in (
            share(mesh, account.id, user_id),
            call(
                mesh.users.CloseUser,
                CloseUserRequest(request_id=mesh.request_id(), user_id=user_id),
            ),
        )
    ]
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, grpc.aio.AioRpcError):
            assert result.code() is grpc.StatusCode.FAILED_PRECONDITION, result
        else:
            assert not isinstance(result, BaseException), result
    both = """SELECT count(*) FROM account_user u JOIN person p ON p.id = u.user_id
        WHERE u.state = 'ACTIVE' AND p.state = 'CLOSED'"""
    assert await mesh.pool.fetchval(both) == 0
