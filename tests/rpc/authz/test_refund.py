"""Refund: a credit that always posts, once, linked to its purchase or not; and its reversal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import movement_pb2 as movements
from tests.authz_audit import audit, lines_of, repeats
from tests.authz_checks import (
    UNKNOWN_AUTHORIZATION,
    UNKNOWN_CARD,
    answered,
    approved,
    balance,
    by_network,
    expire_records,
    fetched,
    network_purchase,
    nothing_written,
    refused,
    usd,
)
from tests.authz_mesh import (
    ADMIN,
    MERCHANT,
    NETWORK,
    OTHER_NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
)
from tests.authz_messages import refund_of


async def _refund(mesh: AuthzMesh, request: movements.RefundRequest) -> movements.RefundResponse:
    answer: movements.RefundResponse = await mesh.authorization.Refund(request, metadata=NETWORK)
    return answer


async def _bought(mesh: AuthzMesh, account: str, amount: int) -> str:
    held = await approved(mesh, await mesh.issue_card(account), amount)
    await mesh.authorization.CaptureAuthorization(
        capture_of(held, amount, final=True), metadata=NETWORK
    )
    return held


async def _names(mesh: AuthzMesh, account: str, bought: str) -> dict[str, Any]:
    """What a refund names: the purchase, or a card."""
    if bought:
        return {"authorization_id": bought}
    return {"card_id": await mesh.issue_card(account)}


async def test_linked_refund_gives_the_money_back(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    bought = await _bought(mesh, account, 1_000)
    answer = await _refund(mesh, refund_of(bought, 400))
    assert answer.authorization_id == bought
    assert (answer.posted_amount, answer.refunded_amount) == (usd(400), usd(400))
    assert answer.available_credit == usd(99_400)
    assert (await _refund(mesh, refund_of(bought, 600))).refunded_amount == usd(1_000)
    assert (await fetched(mesh, bought)).refunded_amount == usd(1_000)
    assert await balance(mesh, account) == (0, 0, 100_000)
    await audit(mesh, account)


async def test_refund_does_not_touch_the_hold(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 300), metadata=NETWORK)
    await _refund(mesh, refund_of(held, 300))
    assert await balance(mesh, account) == (0, 700, 99_300)
    await audit(mesh, account)


async def test_refund_beyond_the_purchase_is_credit_that_the_next_purchase_uses(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account()
    bought = await _bought(mesh, account, 1_000)
    await _refund(mesh, refund_of(bought, 1_500))
    assert await balance(mesh, account) == (-500, 0, 100_500)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "N") == [
        ("network_clearing", 1_500),
        ("receivable.purchase", -1_000),
        ("customer_credit", -500),
    ]
    await _bought(mesh, account, 800)
    assert await balance(mesh, account) == (300, 0, 99_700)
    await audit(mesh, account)
    assert (await lines_of(mesh, account, "C"))[2:] == [
        ("customer_credit", 500),
        ("receivable.purchase", 300),
        ("network_clearing", -800),
    ]


async def test_unlinked_refund_of_a_card(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    answer = await _refund(
        mesh, refund_of(amount_minor=250, card_id=await mesh.issue_card(account))
    )
    assert (answer.authorization_id, answer.refunded_amount) == ("", usd(0))
    assert answer.posted_amount == usd(250)
    assert await balance(mesh, account) == (-250, 0, 100_250)
    await audit(mesh, account)
    assert await mesh.ledger.fetchval("SELECT count(*) FROM card_authorization") == 0


@pytest.mark.parametrize("linked", [False, True])
async def test_reversal_takes_the_refund_back(mesh: AuthzMesh, *, linked: bool) -> None:
    account = await mesh.open_account()
    bought = await _bought(mesh, account, 1_000)
    names = await _names(mesh, account, bought if linked else "")
    await _refund(mesh, refund_of(amount_minor=1_500, **names))
    answer = await _refund(mesh, refund_of(amount_minor=1_500, reversal=True, **names))
    assert (answer.posted_amount, answer.refunded_amount) == (usd(1_500), usd(0))
    assert await balance(mesh, account) == (1_000, 0, 99_000)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "O") == [
        ("customer_credit", 500),
        ("receivable.purchase", 1_000),
        ("network_clearing", -1_500),
    ]


async def test_refund_may_come_before_its_purchase(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    early = await _refund(mesh, by_network(refund_of("", 400), card, "t1"))
    assert early.refunded_amount == usd(400)
    answer = await mesh.authorization.Authorize(
        network_purchase(card, 1_000, "t1"), metadata=NETWORK
    )
    assert answer.authorization_id == early.authorization_id
    assert answer.decision == pb.DECISION_APPROVED
    found = await fetched(mesh, early.authorization_id)
    assert (found.refunded_amount, found.held_amount) == (usd(400), usd(1_000))
    assert await balance(mesh, account) == (-400, 1_000, 99_400)
    await audit(mesh, account)


@pytest.mark.parametrize("linked", [False, True])
async def test_repetition_is_the_same_answer(mesh: AuthzMesh, *, linked: bool) -> None:
    account = await mesh.open_account()
    bought = await _bought(mesh, account, 1_000)
    names = await _names(mesh, account, bought if linked else "")
    request, altered = (refund_of(amount_minor=n, reference="arn-1", **names) for n in (400, 401))
    altered.request_id = request.request_id
    await repeats(mesh, mesh.authorization.Refund, request, altered)
    assert await balance(mesh, account) == (600, 0, 99_400)
    await audit(mesh, account)


@pytest.mark.parametrize("late", [False, True])
async def test_clearing_posts_once_whatever_its_request_ids(mesh: AuthzMesh, *, late: bool) -> None:
    account = await mesh.open_account()
    bought = await _bought(mesh, account, 1_000)
    first = await _refund(mesh, refund_of(bought, 400, reference="arn-1"))
    if late:
        await mesh.settle()
        await expire_records(mesh.money, "req", "clr")
    again, stored = await answered(
        mesh.authorization.Refund, refund_of(bought, 400, reference="arn-1")
    )
    assert stored
    assert again == first
    for altered in (
        refund_of(bought, 401, reference="arn-1"),
        refund_of(bought, 400, reference="arn-1", reversal=True),
    ):
        error = await refused(mesh.authorization.Refund, altered)
        assert (error.code.name, error.reason) == ("ALREADY_EXISTS", "CLEARING_REUSED")
    assert await balance(mesh, account) == (600, 0, 99_400)


async def test_refund_starts_from_the_ledger_when_the_hold_is_gone(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    bought = await _bought(mesh, account, 1_000)
    await _refund(mesh, refund_of(bought, 400))
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    assert (await _refund(mesh, refund_of(bought, 100))).refunded_amount == usd(500)
    await audit(mesh, account)


async def test_whose_authorization_it_is(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    bought = await _bought(mesh, account, 1_000)
    method = mesh.authorization.Refund
    async with nothing_written(mesh.money):
        for name, caller in ((bought, OTHER_NETWORK), (UNKNOWN_AUTHORIZATION, NETWORK)):
            error = await refused(method, refund_of(name, 10), metadata=caller)
            assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
        error = await refused(method, refund_of(card_id=UNKNOWN_CARD))
        assert (error.code.name, error.reason) == ("NOT_FOUND", "CARD_NOT_FOUND")
    assert (await method(refund_of(bought, 10), metadata=ADMIN)).posted_amount == usd(10)


async def test_merchant_refunds_what_it_captured_and_nothing_else(mesh: AuthzMesh) -> None:
    """Goal: whoever has a merchant's key cannot make money: not on a card, by a transaction that
    nobody has seen, on a purchase of others, one without a clearing, or beyond what it captured.
    """
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    theirs = await _bought(mesh, account, 1_000)
    authorize = mesh.authorization.Authorize
    bought, held = [
        (await authorize(purchase(card, 500), metadata=MERCHANT)).authorization_id for _ in range(2)
    ]
    await mesh.authorization.CaptureAuthorization(
        capture_of(bought, 500, final=True), metadata=MERCHANT
    )
    refund, before = mesh.authorization.Refund, await balance(mesh, account)
    async with nothing_written(mesh.money):
        for request, reason in (
            (refund_of(amount_minor=1, card_id=card), "REFUND_NEEDS_PURCHASE"),
            (refund_of(amount_minor=1, card_id=UNKNOWN_CARD), "REFUND_NEEDS_PURCHASE"),
            (by_network(refund_of("", 1), card, "t1"), "AUTHORIZATION_NOT_FOUND"),
            (refund_of(theirs, 1), "AUTHORIZATION_NOT_FOUND"),
            (refund_of(held, 1), "REFUND_EXCEEDED"),
            (refund_of(bought, 501), "REFUND_EXCEEDED"),
            (refund_of(bought, 1, reversal=True), "REFUND_EXCEEDED"),
        ):
            error = await refused(refund, request, metadata=MERCHANT)
            assert error.reason == reason
    assert await balance(mesh, account) == before
    back = [refund_of(bought, 300), refund_of(bought, 200), refund_of(bought, 500, reversal=True)]
    for request in back:
        await refund(request, metadata=MERCHANT)
    assert (await fetched(mesh, bought, MERCHANT)).refunded_amount == usd(0)
    assert await balance(mesh, account) == before
    await audit(mesh, account)


async def test_refunds_of_a_merchant_side_by_side_stay_below_the_capture(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    request = purchase(await mesh.issue_card(account), 500)
    bought = (await mesh.authorization.Authorize(request, metadata=MERCHANT)).authorization_id
    await mesh.authorization.CaptureAuthorization(capture_of(bought, 500), metadata=MERCHANT)
    answers = await asyncio.gather(
        *(mesh.authorization.Refund(refund_of(bought, 100), metadata=MERCHANT) for _ in range(12)),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 5
    assert (await balance(mesh, account))[0] == 0
    await audit(mesh, account)


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"request_id": ""}, ["request_id"]),
        ({"authorization_id": ""}, ["authorization_id"]),
        ({"authorization_id": "", "card_id": "acct_1"}, ["card_id"]),
        ({"card_id": UNKNOWN_CARD}, ["card_id"]),
        ({"network_reference": pb.NetworkReference()}, ["authorization_id"]),
        ({"amount": None}, ["amount"]),
        ({"amount": usd(0)}, ["amount.amount_minor"]),
        ({"merchant": pb.Merchant(category_code="x")}, ["merchant.category_code"]),
        ({"clearing_reference": "x" * 65}, ["clearing_reference"]),
        ({"clearing_sequence": -1}, ["clearing_sequence"]),
    ],
)
async def test_wrong_fields_are_named(
    mesh: AuthzMesh, change: dict[str, Any], fields: list[str]
) -> None:
    request = refund_of(UNKNOWN_AUTHORIZATION, 10)
    for name, value in change.items():
        request.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            request.MergeFrom(movements.RefundRequest(**{name: value}))
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.Refund, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields)
