"""An account has no more open cards than its programme says."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from accounts import room
from accounts.programme import OPEN_CARDS_MAX
from holdfast.accounts.v1 import card_lifecycle_pb2 as life
from holdfast.accounts.v1.account_pb2 import Account
from holdfast.accounts.v1.account_service_pb2 import OpenAccountRequest
from holdfast.accounts.v1.card_pb2 import Card
from holdfast.accounts.v1.card_service_pb2 import CloseCardRequest, IssueCardRequest
from holdfast.accounts.v1.programme_service_pb2 import UpdateProgrammeRequest
from tests.accounts_applying import create_programme
from tests.accounts_mesh import OWNER, AccountsMesh, Refused, call, refused, usd
from tests.accounts_people import STAFF

MOST = 3


async def open_account(mesh: AccountsMesh) -> Account:
    await create_programme(mesh, open_cards_max=MOST)
    request = OpenAccountRequest(
        request_id="o", owner_id=OWNER, programme_id="prog_gold", credit_limit=usd(100)
    )
    account: Account = (await call(mesh.accounts.OpenAccount, request)).account
    return account


def issue(mesh: AccountsMesh, account_id: str) -> IssueCardRequest:
    return IssueCardRequest(
        request_id=mesh.request_id(), account_id=account_id, kind=Card.KIND_VIRTUAL
    )


def replace(mesh: AccountsMesh, card_id: str) -> life.ReplaceCardRequest:
    return life.ReplaceCardRequest(
        request_id=mesh.request_id(), card_id=card_id, reason=life.REPLACEMENT_REASON_LOST
    )


def check(error: Refused, account_id: str, most: int = MOST) -> None:
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_CARDS")
    assert error.metadata == {"account_id": account_id, "open_cards_max": str(most)}


async def test_the_last_place_is_taken_once(mesh: AccountsMesh) -> None:
    """Of several who want it at the same time, also for a card in place of a lost one."""
    account = await open_account(mesh)
    lost = await mesh.issue_card(account.id)
    report = life.ReportCardLostRequest(request_id="l", card_id=lost.id)
    await call(mesh.cards.ReportCardLost, report)
    for _ in range(MOST - 1):
        await mesh.issue_card(account.id)
    answers = await asyncio.gather(
        *(call(mesh.cards.IssueCard, issue(mesh, account.id)) for _ in range(4)),
        call(mesh.cards.ReplaceCard, replace(mesh, lost.id)),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    count = "SELECT count(*) FROM card WHERE state = 'ACTIVE'"
    assert await mesh.pool.fetchval(count) == MOST
    check(await refused(mesh.cards.IssueCard, issue(mesh, account.id)), account.id)


async def test_what_is_closed_or_expired_makes_room(mesh: AccountsMesh) -> None:
    account = await open_account(mesh)
    cards = [await mesh.issue_card(account.id) for _ in range(MOST)]
    new = (await call(mesh.cards.ReplaceCard, replace(mesh, cards[0].id))).card
    check(await refused(mesh.cards.IssueCard, issue(mesh, account.id)), account.id)
    await call(mesh.cards.CloseCard, CloseCardRequest(request_id="c", card_id=new.id))
    await mesh.issue_card(account.id)
    # The clock stands in January of 2027.
    expiry = "UPDATE card SET expiry_year = 2026, expiry_month = 12 WHERE id = $1"
    await mesh.pool.execute(expiry, cards[1].id)
    await mesh.issue_card(account.id)
    check(await refused(mesh.cards.IssueCard, issue(mesh, account.id)), account.id)
    more = UpdateProgrammeRequest(request_id="m", programme_id="prog_gold", open_cards_max=MOST + 1)
    await call(mesh.programmes.UpdateProgramme, more, **STAFF)
    await mesh.issue_card(account.id)
    check(await refused(mesh.cards.IssueCard, issue(mesh, account.id)), account.id, MOST + 1)


async def test_without_a_programme_it_is_the_default(
    mesh: AccountsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OPEN_CARDS_MAX == 100
    monkeypatch.setattr(room, "OPEN_CARDS_MAX", 1)
    account = await mesh.open_account()
    await mesh.issue_card(account.id)
    check(await refused(mesh.cards.IssueCard, issue(mesh, account.id)), account.id, 1)
