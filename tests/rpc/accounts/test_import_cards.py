"""CardBulkService: cards by the hundred, each once."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from accounts import card_bulk_service
from holdfast.accounts.v1 import (
    account_service_pb2,
    card_pb2,
    card_service_pb2,
    user_service_pb2,
)
from holdfast.accounts.v1 import card_bulk_service_pb2 as pb
from tests.accounts_applying import create_programme
from tests.accounts_mesh import AccountsMesh, call, call_replayed, refused, usd
from tests.accounts_people import ANNA, AUDITOR, BORIS, CHLOE, STAFF, as_user, found_company

Outcome = pb.ImportedCardResult


def row(reference: str, **fields: Any) -> pb.ImportedCard:
    valid: dict[str, Any] = {"reference": reference, "owner_id": ANNA, "credit_limit": usd(50_000)}
    return pb.ImportedCard(**(valid | fields))


def on(account_id: str, reference: str, **fields: Any) -> pb.ImportedCard:
    return pb.ImportedCard(reference=reference, account_id=account_id, **fields)


async def imported(
    mesh: AccountsMesh, *rows: pb.ImportedCard, **fields: Any
) -> pb.ImportCardsResponse:
    request = pb.ImportCardsRequest(request_id=mesh.request_id(), cards=rows, **fields)
    answer: pb.ImportCardsResponse = await call(mesh.card_bulk.ImportCards, request, **STAFF)
    return answer


def outcomes(answer: pb.ImportCardsResponse) -> list[str]:
    return [Outcome.Outcome.Name(one.outcome).removeprefix("OUTCOME_") for one in answer.results]


def wrong(answer: pb.ImportCardsResponse) -> list[list[str]]:
    return [[one.field for one in result.violations] for result in answer.results]


async def test_accounts_are_opened_and_cards_issued(mesh: AccountsMesh) -> None:
    """Each with its own number, in the programme's range, its history, and at the authorizer."""
    await create_programme(mesh, bin="45717360")
    company = await found_company(mesh, CHLOE)
    answer = await imported(
        mesh,
        row("a", programme_id="prog_gold", nickname="Travel"),
        row("b", account_reference="a", kind=card_pb2.Card.KIND_PHYSICAL),
        row("c", owner_id=company.id, kind=card_pb2.Card.KIND_MERCHANT_LOCKED),
    )
    assert outcomes(answer) == ["CREATED"] * 3
    first, second, third = answer.results
    assert first.account_id == second.account_id != third.account_id
    request = account_service_pb2.GetAccountRequest(account_id=first.account_id)
    account = (await call(mesh.accounts.GetAccount, request)).account
    assert (account.owner_id, account.programme_id, account.credit_limit) == (
        ANNA,
        "prog_gold",
        usd(50_000),
    )
    listed = await call(mesh.card_bulk.ListAllCards, pb.ListAllCardsRequest(), **AUDITOR)
    cards = {one.id: one for one in listed.cards}
    assert set(cards) == {one.card_id for one in answer.results}
    assert (cards[first.card_id].nickname, cards[first.card_id].bin) == ("Travel", "45717360")
    assert cards[second.card_id].state == card_pb2.Card.STATE_INACTIVE
    assert [cards[one.card_id].controls.merchant_lock for one in answer.results] == [
        False,
        False,
        True,
    ]
    assert len({(one.bin, one.last4) for one in listed.cards}) == 3
    assert await mesh.vault_pool.fetchval("SELECT count(*) FROM card_number") == 3
    assert await mesh.count("change") == 5
    for one in answer.results:
        assert {one.account_id, one.card_id} <= set(mesh.authorizer.versions)


async def test_nobody_gets_a_card_twice(mesh: AccountsMesh) -> None:
    """Not by a repeated request, the same rows in another one, or both at the same time."""
    await create_programme(mesh)
    rows = [row(f"r-{number}") for number in range(20)]
    request = pb.ImportCardsRequest(request_id="once", cards=rows)
    first = await call(mesh.card_bulk.ImportCards, request, **STAFF)
    again, replayed = await call_replayed(mesh.card_bulk.ImportCards, request, **STAFF)
    assert (again, replayed) == (first, True)
    both = await asyncio.gather(*(imported(mesh, *rows, row("new")) for _ in range(4)))
    assert sorted(outcomes(one)[-1] for one in both) == ["CREATED"] + ["EXISTED"] * 3
    assert all(outcomes(one)[:-1] == ["EXISTED"] * 20 for one in both)
    twice = await imported(mesh, row("x"), row("x"))
    assert outcomes(twice) == ["CREATED", "EXISTED"]
    assert (await mesh.count("account"), await mesh.count("card")) == (22, 22)
    reused = pb.ImportCardsRequest(request_id="once", cards=[row("other")])
    error = await refused(mesh.card_bulk.ImportCards, reused, **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_rehearsal_makes_nothing(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    answer = await imported(mesh, row("a"), row("b", credit_limit=None), validate_only=True)
    assert outcomes(answer) == ["CREATED", "REFUSED"]
    assert (await mesh.count("account"), await mesh.count("card")) == (0, 0)
    assert await mesh.vault_pool.fetchval("SELECT count(*) FROM card_number") == 0


async def test_wrong_rows_are_named_and_the_others_made(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    euros = usd(50_000)
    euros.currency_code = "EUR"
    closed = await mesh.open_account(ANNA)
    await mesh.set_account_state(closed.id, "SUSPENDED")
    there = await mesh.open_account(BORIS)
    answer = await imported(
        mesh,
        on(there.id, "ok"),
        row("bad reference"),
        row("a", owner_id="usr_1"),
        row("b", owner_id=""),
        row("c", owner_reference="somebody"),
        row("d", owner_id=CHLOE),
        row("e", owner_id="", owner_reference="somebody"),
        row("f", programme_id="prog_none"),
        row("g", programme_id="prog_gold", credit_limit=euros),
        row("h", kind=77, nickname="x" * 65),
        on(there.id, "i", owner_id=BORIS, programme_id="prog_gold"),
        on("acct_0a" + "9" * 32, "j"),
        on(closed.id, "k"),
        row("l", credit_limit=usd(-1)),
    )
    assert outcomes(answer) == ["CREATED"] + ["REFUSED"] * 13
    assert wrong(answer)[1:] == [
        ["reference"],
        ["owner_id"],
        ["owner_id"],
        ["owner_id"],
        ["owner_id"],
        ["owner_reference"],
        ["programme_id"],
        ["credit_limit.currency_code"],
        ["kind", "nickname"],
        ["owner_id", "programme_id"],
        ["account_id"],
        ["account_id"],
        ["credit_limit.amount_minor"],
    ]
    assert await mesh.count("card") == 1


async def test_owners_by_their_reference(mesh: AccountsMesh) -> None:
    user_id = mesh.person_keys.id_of("crm-1")
    request = user_service_pb2.CreateUserRequest(
        request_id="u", user_id=user_id, name="Eve", email="eve@example.com"
    )
    await call(mesh.users.CreateUser, request, **STAFF)
    answer = await imported(mesh, row("a", owner_id="", owner_reference="crm-1"))
    assert outcomes(answer) == ["CREATED"]
    account = account_service_pb2.GetAccountRequest(account_id=answer.results[0].account_id)
    assert (await call(mesh.accounts.GetAccount, account)).account.owner_id == user_id


async def test_an_import_is_answered_once_the_authorizer_has_it(
    impatient_mesh: AccountsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then its outcome is unknown, others wait, and the same request is answered later."""
    mesh = impatient_mesh
    await create_programme(mesh)
    monkeypatch.setattr(card_bulk_service, "ROOM_WAIT_S", 0.2)
    monkeypatch.setattr(card_bulk_service, "PROJECTION_PAGE", 2)
    mesh.authorizer.refusing = True
    request = pb.ImportCardsRequest(
        request_id="once", cards=[row(f"a-{number}") for number in range(200)]
    )
    error = await refused(mesh.card_bulk.ImportCards, request, **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    more = pb.ImportCardsRequest(request_id="more", cards=[row("b")])
    error = await refused(mesh.card_bulk.ImportCards, more, **STAFF)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "IMPORT_BUSY")
    assert await mesh.count("card") == 200
    mesh.authorizer.refusing = False
    async with asyncio.timeout(10):
        while await mesh.outbox.pending():  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.01)
    answer, replayed = await call_replayed(mesh.card_bulk.ImportCards, request, **STAFF)
    assert (outcomes(answer), replayed) == (["CREATED"] * 200, True)
    for one in answer.results:
        assert {one.account_id, one.card_id} <= set(mesh.authorizer.versions)
    assert outcomes(await call(mesh.card_bulk.ImportCards, more, **STAFF)) == ["CREATED"]


async def test_a_freeze_waits_for_no_import(mesh: AccountsMesh) -> None:
    """Method: the authorizer takes a second for what is imported; a freeze comes meanwhile."""
    await create_programme(mesh)
    account = await mesh.open_account(ANNA)
    card = await mesh.issue_card(account.id)
    mesh.authorizer.import_delay_s = 1.0
    importing = asyncio.create_task(imported(mesh, *(row(f"a-{number}") for number in range(500))))
    async with asyncio.timeout(5):
        while not await mesh.outbox.pending():  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    freeze = card_service_pb2.FreezeCardRequest(request_id="f", card_id=card.id)
    await call(mesh.cards.FreezeCard, freeze)
    assert asyncio.get_running_loop().time() - began < 0.8
    assert not importing.done()
    mesh.authorizer.import_delay_s = 0.0
    assert outcomes(await importing) == ["CREATED"] * 500


async def test_what_is_refused_as_a_whole(mesh: AccountsMesh) -> None:
    method = mesh.card_bulk.ImportCards
    for rows in ([], [row(f"a-{number}") for number in range(501)]):
        request = pb.ImportCardsRequest(request_id="r", cards=rows)
        error = await refused(method, request, **STAFF)
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["cards"])
    request = pb.ImportCardsRequest(request_id="r", cards=[row("a")])
    for who in (as_user(ANNA), AUDITOR):
        error = await refused(method, request, **who)
        assert error.code == grpc.StatusCode.PERMISSION_DENIED
    listing = pb.ListAllCardsRequest()
    error = await refused(mesh.card_bulk.ListAllCards, listing, **as_user(ANNA))
    assert error.code == grpc.StatusCode.PERMISSION_DENIED


async def test_all_cards_page_by_page(mesh: AccountsMesh) -> None:
    await create_programme(mesh)
    await imported(mesh, *(row(f"a-{number}") for number in range(7)))
    seen: list[str] = []
    request = pb.ListAllCardsRequest(page_size=3)
    while True:
        answer = await call(mesh.card_bulk.ListAllCards, request, **AUDITOR)
        seen += [one.id for one in answer.cards]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert len(seen) == len(set(seen)) == 7
    request.page_token = "x"
    error = await refused(mesh.card_bulk.ListAllCards, request, **AUDITOR)
    assert error.fields == ["page_token"]
