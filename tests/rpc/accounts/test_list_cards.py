from __future__ import annotations

from typing import Any

import grpc

from holdfast.accounts.v1.card_service_pb2 import ListCardsRequest, ListCardsResponse
from tests.accounts_mesh import OWNER, UNKNOWN_ACCOUNT, AccountsMesh, call, refused


async def _list(mesh: AccountsMesh, **fields: Any) -> ListCardsResponse:
    answer: ListCardsResponse = await call(mesh.cards.ListCards, ListCardsRequest(**fields))
    return answer


async def test_pages_through_the_cards_of_one_account_newest_first(mesh: AccountsMesh) -> None:
    account, other = await mesh.open_account(), await mesh.open_account()
    await mesh.issue_card(other.id)
    issued = []
    for _ in range(5):
        issued.append((await mesh.issue_card(account.id)).id)
        mesh.clock.advance(1)
    seen: list[list[str]] = []
    token = ""
    while not seen or token:
        answer = await _list(mesh, account_id=account.id, page_size=2, page_token=token)
        seen.append([card.id for card in answer.cards])
        token = answer.next_page_token
    assert seen == [issued[4:2:-1], issued[2:0:-1], issued[:1]]


async def test_account_without_cards_has_an_empty_list(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    assert await _list(mesh, account_id=account.id) == ListCardsResponse()


async def test_unknown_account(mesh: AccountsMesh) -> None:
    error = await refused(mesh.cards.ListCards, ListCardsRequest(account_id=UNKNOWN_ACCOUNT))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


async def test_malformed_fields(mesh: AccountsMesh) -> None:
    malformed: list[tuple[dict[str, Any], list[str]]] = [
        ({"account_id": ""}, ["account_id"]),
        ({"account_id": OWNER}, ["account_id"]),
        ({"account_id": "x" * 100_000}, ["account_id"]),
        ({"page_size": -1}, ["page_size"]),
        ({"page_token": "garbage"}, ["page_token"]),
        (
            {"account_id": "", "page_size": -1, "page_token": "x"},
            ["account_id", "page_size", "page_token"],
        ),
    ]
    for fields, wrong in malformed:
        request = ListCardsRequest(**({"account_id": UNKNOWN_ACCOUNT} | fields))
        error = await refused(mesh.cards.ListCards, request)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == wrong, fields
