"""What clears a purchase of cash posts as cash, although clearings name no merchant."""

from __future__ import annotations

import pytest

from authz import keys
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import movement_pb2 as movements
from tests import authz_messages as messages
from tests.authz_audit import audit, lines_of
from tests.authz_checks import by_network, network_purchase
from tests.authz_mesh import NETWORK, AuthzMesh, capture_of, purchase

CASH = [("receivable.cash", 300), ("network_clearing", -300)]
PURCHASE = [("receivable.purchase", 300), ("network_clearing", -300)]


async def held(mesh: AuthzMesh, request: rpc.AuthorizeRequest, code: str = "6010") -> str:
    request.merchant.category_code = code
    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    name: str = answer.authorization_id
    return name


async def capture(mesh: AuthzMesh, name: str) -> None:
    await mesh.authorization.CaptureAuthorization(capture_of(name, 300), metadata=NETWORK)


@pytest.mark.parametrize(("code", "lines"), [("6010", CASH), ("6011", CASH), ("5411", PURCHASE)])
@pytest.mark.parametrize("advised", [False, True])
@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_capture_posts_as_its_purchase(
    mesh: AuthzMesh, code: str, lines: list[tuple[str, int]], *, advised: bool, forgotten: bool
) -> None:
    """Also of what the network approved, and of a hold that only the ledger still has."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = messages.advice(card, 1_000) if advised else purchase(card, 1_000)
    name = await held(mesh, request, code)
    await mesh.settle()
    if forgotten:
        await mesh.money.delete(keys.hold(name))
    await capture(mesh, name)
    await capture(mesh, name)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "C") == lines * 2
    found = await mesh.ledger.fetch(
        "SELECT DISTINCT balance_category FROM journal_entry WHERE type = 'C'"
    )
    assert [row[0] for row in found] == [lines[0][0].partition(".")[2]]


async def test_a_refund_of_cash_lowers_cash(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    name = await held(mesh, purchase(await mesh.issue_card(account), 1_000))
    await capture(mesh, name)
    await mesh.authorization.Refund(messages.refund_of(name, 100), metadata=NETWORK)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "N") == [
        ("network_clearing", 100),
        ("receivable.cash", -100),
    ]


async def test_a_clearing_that_names_its_merchant_says_what_it_is(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await held(mesh, network_purchase(card, 1_000, "t-1"))
    for code in ("5411", "", "6011"):
        forced = messages.forced(card, 300, "t-1")
        forced.merchant.category_code = code
        await mesh.authorization.ForcePost(forced, metadata=NETWORK)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "P") == PURCHASE + CASH + CASH


async def test_before_the_purchase_is_known_a_clearing_is_a_purchase(mesh: AuthzMesh) -> None:
    """And from then on cash; an increment does not change it."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    early = by_network(capture_of("", 300), card, "t-1")
    await mesh.authorization.CaptureAuthorization(early, metadata=NETWORK)
    name = await held(mesh, network_purchase(card, 1_000, "t-1"))
    increment: movements.IncrementAuthorizationRequest = messages.increment_of(name, 500)
    await mesh.authorization.IncrementAuthorization(increment, metadata=NETWORK)
    await capture(mesh, name)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "C") == PURCHASE + CASH
