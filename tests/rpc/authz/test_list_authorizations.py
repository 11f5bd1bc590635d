"""ListAuthorizations: settled authorizations, newest first, the caller's own."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from hashlib import blake2b

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from tests.authz_checks import UNKNOWN_CARD, approved, fetched, nothing_written, refused
from tests.authz_mesh import ADMIN, NETWORK, OTHER_NETWORK, AuthzMesh, purchase


async def _list(
    mesh: AuthzMesh, request: rpc.ListAuthorizationsRequest, metadata: object = NETWORK
) -> rpc.ListAuthorizationsResponse:
    answer: rpc.ListAuthorizationsResponse = await mesh.authorization.ListAuthorizations(
        request,
        metadata=metadata,  # type: ignore[arg-type]
    )
    return answer


async def test_pages_are_newest_first_and_complete(mesh: AuthzMesh) -> None:
    """Some were decided in the same millisecond: the id decides between them."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    made: list[pb.Authorization] = []
    for number in range(7):
        mesh.clock.advance(number % 2)
        made.append(await fetched(mesh, await approved(mesh, card, 10 + number)))
    await approved(mesh, await mesh.card(), 99)
    await mesh.settle()
    made.sort(key=lambda one: (one.decide_time.ToMilliseconds(), one.id), reverse=True)
    for by in (
        {"account_id": account},
        {"card_id": card},
        {"account_id": account, "card_id": card},
    ):
        listed: list[pb.Authorization] = []
        token, sizes = "", []
        while True:
            page = await _list(
                mesh, rpc.ListAuthorizationsRequest(**by, page_size=3, page_token=token)
            )
            listed.extend(page.authorizations)
            sizes.append(len(page.authorizations))
            token = page.next_page_token
            if not token:
                break
        assert sizes == [3, 3, 1]
        assert listed == made


async def test_own_only_but_by_role_all(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    ours = await approved(mesh, card, 10)
    theirs = await mesh.authorization.Authorize(purchase(card, 20), metadata=OTHER_NETWORK)
    await mesh.settle()
    request = rpc.ListAuthorizationsRequest(card_id=card)
    assert [a.id for a in (await _list(mesh, request)).authorizations] == [ours]
    found = {a.id for a in (await _list(mesh, request, ADMIN)).authorizations}
    assert found == {ours, theirs.authorization_id}


async def test_what_is_not_settled_is_not_listed(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    await approved(mesh, card, 10)
    assert not (await _list(mesh, rpc.ListAuthorizationsRequest(card_id=card))).authorizations


async def test_unknown_card_has_none(mesh: AuthzMesh) -> None:
    found = await _list(mesh, rpc.ListAuthorizationsRequest(card_id=UNKNOWN_CARD))
    assert found == rpc.ListAuthorizationsResponse()


async def test_filter_is_required_and_fields_are_checked(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.ListAuthorizations, rpc.ListAuthorizationsRequest()
        )
        assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["account_id"])
        error = await refused(
            mesh.authorization.ListAuthorizations,
            rpc.ListAuthorizationsRequest(
                account_id="x", card_id="y", page_size=-1, page_token="zzz"
            ),
        )
    assert error.fields == ["account_id", "card_id", "page_size", "page_token"]


@pytest.mark.parametrize("key", [-1, 2**47, 253_402_300_800_000, 2**62])
async def test_forged_token_is_refused(mesh: AuthzMesh, key: int) -> None:
    """A token is not signed: one that names no instant is the caller's mistake, not ours."""
    scope = f"authorizations||{UNKNOWN_CARD}"
    digest = blake2b(scope.encode(), digest_size=6).hexdigest()
    text = json.dumps([digest, key, ""], separators=(",", ":"))
    token = urlsafe_b64encode(text.encode()).decode().rstrip("=")
    request = rpc.ListAuthorizationsRequest(card_id=UNKNOWN_CARD, page_token=token)
    if 0 <= key < 253_402_300_800_000:
        assert not (await _list(mesh, request)).authorizations
        return
    error = await refused(mesh.authorization.ListAuthorizations, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["page_token"])
