from __future__ import annotations

from typing import Any

import grpc

from holdfast.accounts.v1.account_service_pb2 import ListAccountsRequest, ListAccountsResponse
from tests.accounts_mesh import OTHER_OWNER, OWNER, UNKNOWN_ACCOUNT, AccountsMesh, call, refused


async def _list(mesh: AccountsMesh, **fields: Any) -> ListAccountsResponse:
    answer: ListAccountsResponse = await call(
        mesh.accounts.ListAccounts, ListAccountsRequest(**fields)
    )
    return answer


async def test_lists_newest_first_and_of_one_owner(mesh: AccountsMesh) -> None:
    opened = []
    for owner_id in (OWNER, OTHER_OWNER, OWNER):
        opened.append(await mesh.open_account(owner_id))
        mesh.clock.advance(1)
    assert list((await _list(mesh)).accounts) == opened[::-1]
    assert list((await _list(mesh, owner_id=OWNER)).accounts) == [opened[2], opened[0]]
    assert not (await _list(mesh, owner_id="usr_0c" + "9" * 32)).accounts


async def test_pages_neither_skip_nor_repeat_while_accounts_are_opened(mesh: AccountsMesh) -> None:
    """Some accounts share a millisecond; more are opened between the pages."""
    opened = set()
    for number in range(7):
        opened.add((await mesh.open_account()).id)
        mesh.clock.advance(number % 2)
    seen: list[str] = []
    tokens = [""]
    while tokens[-1] or len(tokens) == 1:
        page = await _list(mesh, owner_id=OWNER, page_size=3, page_token=tokens[-1])
        seen += [account.id for account in page.accounts]
        tokens.append(page.next_page_token)
        mesh.clock.advance(1)
        await mesh.open_account()
    assert len(tokens) == 4
    assert len(seen) == 7
    assert set(seen) == opened


async def test_last_full_page_has_no_token(mesh: AccountsMesh) -> None:
    for _ in range(2):
        await mesh.open_account()
    assert (await _list(mesh, page_size=2)).next_page_token == ""
    assert (await _list(mesh, page_size=1)).next_page_token


async def test_malformed_fields(mesh: AccountsMesh) -> None:
    for _ in range(2):
        await mesh.open_account()
    token = (await _list(mesh, owner_id=OWNER, page_size=1)).next_page_token
    malformed: list[tuple[dict[str, Any], list[str]]] = [
        ({"owner_id": "x"}, ["owner_id"]),
        ({"owner_id": UNKNOWN_ACCOUNT}, ["owner_id"]),
        ({"owner_id": "x" * 100_000}, ["owner_id"]),
        ({"page_size": -1}, ["page_size"]),
        ({"page_size": -(2**31)}, ["page_size"]),
        ({"page_token": "garbage"}, ["page_token"]),
        ({"page_token": token}, ["page_token"]),
        ({"page_token": "x" * 100_000}, ["page_token"]),
        (
            {"owner_id": "x", "page_size": -1, "page_token": "é"},
            ["owner_id", "page_size", "page_token"],
        ),
    ]
    for fields, wrong in malformed:
        error = await refused(mesh.accounts.ListAccounts, ListAccountsRequest(**fields))
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == wrong, fields
