"""ForcePost: a debit that nobody was asked about. It posts, once."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.authz_audit import audit, lines_of, repeats
from tests.authz_checks import (
    UNKNOWN_CARD,
    answered,
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
    reversal_of,
)
from tests.authz_messages import SHOP, advice, forced, refund_of


async def _force(
    mesh: AuthzMesh, request: movements.ForcePostRequest
) -> movements.ForcePostResponse:
    answer: movements.ForcePostResponse = await mesh.authorization.ForcePost(
        request, metadata=NETWORK
    )
    return answer


@pytest.mark.parametrize("trouble", ["none", "limit", "frozen", "closing", "expired"])
async def test_posts_whatever_the_state(mesh: AuthzMesh, trouble: str) -> None:
    limit = 100 if trouble == "limit" else 100_000
    account = await mesh.open_account(limit)
    card = await mesh.issue_card(account)
    if trouble == "frozen":
        await mesh.apply_card(card, account, version=2, state=projection.CARD_STATE_FROZEN)
    elif trouble == "closing":
        state = projection.ACCOUNT_STATE_CLOSING
        await mesh.apply_account(account, version=2, limit_minor=limit, state=state)
    elif trouble == "expired":
        await mesh.apply_card(card, account, version=2, expiry_year=2020)
    answer = await _force(mesh, forced(card, 700))
    assert (answer.posted_amount, answer.available_credit) == (usd(700), usd(limit - 700))
    assert answer.record_time.ToMilliseconds() == mesh.clock.now_ms()
    assert await balance(mesh, account) == (700, 0, limit - 700)
    await audit(mesh, account)
    assert await lines_of(mesh, account, "P") == [
        ("receivable.purchase", 700),
        ("network_clearing", -700),
    ]


async def test_stands_as_an_authorization_that_can_be_read_and_refunded(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    posted = (await _force(mesh, forced(await mesh.issue_card(account), 700))).authorization_id
    found = await fetched(mesh, posted)
    assert (found.state, found.decider) == (pb.Authorization.STATE_CAPTURED, "network")
    assert (found.captured_amount, found.merchant) == (usd(700), SHOP)
    await mesh.authorization.Refund(refund_of(posted, 700), metadata=NETWORK)
    assert await balance(mesh, account) == (0, 0, 100_000)
    found = await fetched(mesh, posted)
    assert found.refunded_amount == usd(700)
    await audit(mesh, account)
    await expire_records(mesh.money, "hold")
    assert await fetched(mesh, posted) == found


@pytest.mark.parametrize("first", ["force", "authorize"])
async def test_meets_the_authorization_of_its_transaction_id(mesh: AuthzMesh, first: str) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = network_purchase(card, 1_000, "t1")
    if first == "authorize":
        await mesh.authorization.Authorize(request, metadata=NETWORK)
    posted = await _force(mesh, forced(card, 700, "t1"))
    if first == "force":
        held = await mesh.authorization.Authorize(request, metadata=NETWORK)
        assert held.authorization_id == posted.authorization_id
    found = await fetched(mesh, posted.authorization_id)
    assert (found.held_amount, found.captured_amount) == (usd(300), usd(700))
    assert await balance(mesh, account) == (700, 300, 99_000)
    await audit(mesh, account)


async def test_reversal_before_it_tells_the_same_story_from_valkey_and_ledger(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await mesh.authorization.ReverseAuthorization(
        by_network(reversal_of("", 100), card, "t1"), metadata=NETWORK
    )
    posted = (await _force(mesh, forced(card, 700, "t1"))).authorization_id
    found = await fetched(mesh, posted)
    await audit(mesh, account)
    await expire_records(mesh.money, "hold")
    assert await fetched(mesh, posted) == found


async def test_repetition_is_the_same_answer(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request, altered = forced(card, 700, reference="arn-1"), forced(card, 701, reference="arn-1")
    altered.request_id = request.request_id
    await repeats(mesh, mesh.authorization.ForcePost, request, altered)
    assert await balance(mesh, account) == (700, 0, 99_300)
    await audit(mesh, account)


@pytest.mark.parametrize("late", [False, True])
async def test_clearing_posts_once_whatever_its_request_ids(mesh: AuthzMesh, *, late: bool) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    first = await _force(mesh, forced(card, 700, reference="arn-1"))
    if late:
        await mesh.settle()
        await expire_records(mesh.money, "req", "clr")
    again, stored = await answered(
        mesh.authorization.ForcePost, forced(card, 700, reference="arn-1")
    )
    assert stored
    assert again == first
    error = await refused(mesh.authorization.ForcePost, forced(card, 701, reference="arn-1"))
    assert (error.code.name, error.reason) == ("ALREADY_EXISTS", "CLEARING_REUSED")
    capture = capture_of(first.authorization_id, 700)
    capture.clearing_reference = "arn-1"
    error = await refused(mesh.authorization.CaptureAuthorization, capture)
    assert error.reason == "CLEARING_REUSED"
    assert await balance(mesh, account) == (700, 0, 99_300)
    await audit(mesh, account)


@pytest.mark.parametrize("late", [False, True])
async def test_references_without_a_network_are_each_caller_s_own(
    mesh: AuthzMesh, *, late: bool
) -> None:
    """Two merchants that number their clearings from 1 must not refuse each other's."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await _force(mesh, forced(card, 700, reference="1"))
    if late:
        await mesh.settle()
        await expire_records(mesh.money, "req", "clr")
    await mesh.authorization.ForcePost(forced(card, 300, reference="1"), metadata=OTHER_NETWORK)
    assert await balance(mesh, account) == (1_000, 0, 99_000)
    await audit(mesh, account)


async def test_two_callers_with_one_transaction_id_have_two_authorizations(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    ours = await _force(mesh, forced(card, 700, "t1"))
    theirs = await mesh.authorization.ForcePost(forced(card, 300, "t1"), metadata=OTHER_NETWORK)
    assert ours.authorization_id != theirs.authorization_id
    await audit(mesh, account)


async def test_unknown_card_is_not_found(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.ForcePost, forced(UNKNOWN_CARD, 700))
    assert (error.code.name, error.reason) == ("NOT_FOUND", "CARD_NOT_FOUND")


async def test_balance_beyond_what_is_exact_is_refused(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await _force(mesh, forced(card, 2**53 - 1))
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.ForcePost, forced(card, 1))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "AMOUNT_OVERFLOW")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"request_id": ""}, ["request_id"]),
        ({"card_id": ""}, ["card_id"]),
        ({"card_id": "acct_1"}, ["card_id"]),
        ({"amount": None}, ["amount"]),
        ({"amount": usd(0)}, ["amount.amount_minor"]),
        ({"merchant": None}, ["merchant.descriptor"]),
        ({"clearing_reference": "x" * 65}, ["clearing_reference"]),
        ({"clearing_sequence": 100}, ["clearing_sequence"]),
        ({"conversion_rate": "-1"}, ["conversion_rate"]),
        ({"network_data": pb.NetworkData(network="VISA")}, ["network_data.network"]),
        ({"network_data": pb.NetworkData(transaction_id="t1")}, ["network_data.network"]),
    ],
)
async def test_wrong_fields_are_named(
    mesh: AuthzMesh, change: dict[str, Any], fields: list[str]
) -> None:
    request = forced(UNKNOWN_CARD, 10)
    for name, value in change.items():
        request.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            request.MergeFrom(movements.ForcePostRequest(**{name: value}))
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.ForcePost, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields)


async def test_other_currency_is_refused(mesh: AuthzMesh) -> None:
    request = forced(await mesh.card(), 10)
    request.amount.currency_code = "EUR"
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.ForcePost, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["amount.currency_code"])


@pytest.mark.parametrize("gone", [False, True])
async def test_a_merchant_posts_what_was_approved_and_nothing_else(
    mesh: AuthzMesh, *, gone: bool
) -> None:
    """Goal: whoever has a merchant's key cannot take money that nobody has approved: by a
    transaction that nobody has seen, a declined one, a check of the card, or by saying that it was
    approved elsewhere. Also once Valkey has forgotten the authorization.
    """
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    authorize, capture = mesh.authorization.Authorize, mesh.authorization.CaptureAuthorization
    kept = [
        await authorize(network_purchase(card, amount, name), metadata=MERCHANT)
        for amount, name in ((5_000, "declined"), (0, "check"), (400, "bought"))
    ]
    declined, check, bought = (one.authorization_id for one in kept)
    if gone:
        await mesh.settle()
        await expire_records(mesh.money, "hold", "req")
    before = await balance(mesh, account)
    async with nothing_written(mesh.money):
        for request, reason in (
            (by_network(capture_of("", 10), card, "unseen"), "AUTHORIZATION_NOT_FOUND"),
            (by_network(capture_of("", 10), UNKNOWN_CARD, "unseen"), "AUTHORIZATION_NOT_FOUND"),
            (by_network(capture_of("", 10), card, "declined"), "AUTHORIZATION_CLOSED"),
            (capture_of(declined, 10), "AUTHORIZATION_CLOSED"),
            (capture_of(check, 10), "AUTHORIZATION_CLOSED"),
        ):
            assert (await refused(capture, request, metadata=MERCHANT)).reason == reason
        error = await refused(authorize, advice(card, 10, "t9"), metadata=MERCHANT)
        assert (error.code.name, error.reason) == ("PERMISSION_DENIED", "ADVICE_NEEDS_NETWORK")
    assert await balance(mesh, account) == before
    await capture(by_network(capture_of("", 300), card, "bought"), metadata=MERCHANT)
    await capture(capture_of(bought, 150, final=True), metadata=MERCHANT)
    assert (await balance(mesh, account))[0] == 450
    # An administrator may, as networks may.
    await capture(by_network(capture_of("", 10), card, "unseen"), metadata=ADMIN)
    assert (
        await authorize(advice(card, 10, "t9"), metadata=ADMIN)
    ).decision == pb.DECISION_APPROVED
    await authorize(purchase(card, 1), metadata=MERCHANT)
    await audit(mesh, account)
