"""Purchases abroad, and accounts in currencies of other exponents."""

from __future__ import annotations

from typing import Any

import pytest

from authz import keys
from tests.authz_audit import audit
from tests.authz_checks import balance, by_network, fetched, network_purchase
from tests.authz_mesh import NETWORK, AuthzMesh, capture_of, purchase
from tests.authz_messages import advice, forced, increment_of, money


async def _bought(mesh: AuthzMesh, card: str, billing: int, merchant: tuple[int, str]) -> str:
    request = network_purchase(card, billing, "t1")
    request.merchant_amount.CopyFrom(money(*merchant))
    request.conversion_rate = "1.1"
    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    return str(answer.authorization_id)


def _clearing(held: str, billing: int, merchant: tuple[int, str]) -> Any:
    request = capture_of(held, billing)
    request.merchant_amount.CopyFrom(money(*merchant))
    return request


async def test_hold_closes_when_the_merchant_has_everything(mesh: AuthzMesh) -> None:
    """The rate moved: what is left of the hold is owed to nobody."""
    account = await mesh.open_account()
    held = await _bought(mesh, await mesh.issue_card(account), 11_000, (10_000, "EUR"))
    capture = mesh.authorization.CaptureAuthorization
    await capture(_clearing(held, 4_300, (4_000, "EUR")), metadata=NETWORK)
    assert await balance(mesh, account) == (4_300, 6_700, 89_000)
    await capture(_clearing(held, 6_450, (6_000, "EUR")), metadata=NETWORK)
    assert await balance(mesh, account) == (10_750, 0, 89_250)
    assert (await fetched(mesh, held)).conversion_rate == "1.1"
    await audit(mesh, account)


async def _forget(mesh: AuthzMesh, authorization_id: str) -> None:
    """From now on only the ledger knows it."""
    await mesh.settle()
    assert await mesh.money.delete(keys.hold(authorization_id))


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
async def test_amounts_of_other_currencies_are_never_compared(
    mesh: AuthzMesh, order: tuple[int, ...], *, forgotten: bool
) -> None:
    """Cleared in yen, a purchase in euro is not cleared; in whatever order they come."""
    account = await mesh.open_account()
    held = await _bought(mesh, await mesh.issue_card(account), 11_000, (10_000, "EUR"))
    clearings = [
        _clearing(held, 4_000, (5_000, "EUR")),
        _clearing(held, 1_000, (900_000, "JPY")),
        _clearing(held, 4_000, (5_000, "EUR")),
    ]
    for number, index in enumerate(order, 1):
        if forgotten:
            await _forget(mesh, held)
        await mesh.authorization.CaptureAuthorization(clearings[index], metadata=NETWORK)
        both_euro = {0, 2} <= set(order[:number])
        assert ((await balance(mesh, account))[1] == 0) == both_euro
    await audit(mesh, account)


async def test_domestic_amounts_close_nothing(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await _bought(mesh, await mesh.issue_card(account), 11_000, (10_000, "USD"))
    await mesh.authorization.CaptureAuthorization(
        _clearing(held, 10_000, (10_000, "USD")), metadata=NETWORK
    )
    assert await balance(mesh, account) == (10_000, 1_000, 89_000)


async def test_after_an_increment_the_merchant_s_amount_is_unknown(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await _bought(mesh, await mesh.issue_card(account), 11_000, (10_000, "EUR"))
    await mesh.authorization.IncrementAuthorization(increment_of(held, 1_000), metadata=NETWORK)
    await mesh.authorization.CaptureAuthorization(
        _clearing(held, 10_500, (10_000, "EUR")), metadata=NETWORK
    )
    assert await balance(mesh, account) == (10_500, 1_500, 88_000)
    await audit(mesh, account)


async def test_early_clearings_close_the_hold_as_late_ones_do(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    early = by_network(_clearing("", 10_750, (10_000, "EUR")), card, "t1")
    await mesh.authorization.CaptureAuthorization(early, metadata=NETWORK)
    await _bought(mesh, card, 11_000, (10_000, "EUR"))
    assert await balance(mesh, account) == (10_750, 0, 89_250)
    await audit(mesh, account)


@pytest.mark.parametrize("forgotten", [False, True])
async def test_the_latest_advice_wins_whenever_it_comes(
    mesh: AuthzMesh, *, forgotten: bool
) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    now_ms = mesh.clock.now_ms()
    later = advice(card, 5_500, "t1", sent_ms=now_ms)
    held = (await mesh.authorization.Authorize(later, metadata=NETWORK)).authorization_id
    if forgotten:
        await _forget(mesh, held)
    earlier = advice(card, 9_900, "t1", sent_ms=now_ms - 1_000)
    await mesh.authorization.Authorize(earlier, metadata=NETWORK)
    assert await balance(mesh, account) == (0, 5_500, 94_500)
    await audit(mesh, account)


async def test_advice_brings_its_own_merchant_amount(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await _bought(mesh, card, 11_000, (10_000, "EUR"))
    told = advice(card, 5_500, "t1")
    told.merchant_amount.CopyFrom(money(5_000, "EUR"))
    await mesh.authorization.Authorize(told, metadata=NETWORK)
    await mesh.authorization.CaptureAuthorization(
        _clearing(held, 5_400, (5_000, "EUR")), metadata=NETWORK
    )
    assert await balance(mesh, account) == (5_400, 0, 94_600)
    await audit(mesh, account)


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
async def test_account_of_another_exponent(mesh: AuthzMesh, currency: str) -> None:
    """Minor units are what they are: yen have none, dinar a thousand."""
    account = await mesh.open_account(500_000, currency=currency)
    card = await mesh.issue_card(account)
    request = purchase(card, 1_234)
    request.amount.currency_code = currency
    request.merchant_amount.CopyFrom(money(1_100, "USD"))
    held = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert held.approved_amount == money(1_234, currency)
    post = forced(card, 100)
    post.amount.currency_code = currency
    await mesh.authorization.ForcePost(post, metadata=NETWORK)
    assert await balance(mesh, account) == (100, 1_234, 498_666)
    capture = _clearing(held.authorization_id, 1_230, (1_100, "USD"))
    capture.amount.currency_code = currency
    answer = await mesh.authorization.CaptureAuthorization(capture, metadata=NETWORK)
    assert answer.posted_amount == money(1_230, currency)
    assert await balance(mesh, account) == (1_330, 0, 498_670)
    await audit(mesh, account)
    units = "SELECT DISTINCT currency FROM journal_line"
    assert [row[0] for row in await mesh.ledger.fetch(units)] == [currency]
