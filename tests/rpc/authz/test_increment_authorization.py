"""IncrementAuthorization: all of it or nothing, and never on what is closed."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from tests.authz_audit import audit, repeats
from tests.authz_checks import (
    UNKNOWN_AUTHORIZATION,
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
    NETWORK,
    OTHER_NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
)
from tests.authz_messages import expiry_of, increment_of


async def _increment(
    mesh: AuthzMesh, request: movements.IncrementAuthorizationRequest
) -> movements.IncrementAuthorizationResponse:
    answer: movements.IncrementAuthorizationResponse = (
        await mesh.authorization.IncrementAuthorization(request, metadata=NETWORK)
    )
    return answer


async def test_hotel_increments_and_captures_more_than_once(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 10_000)
    answer = await _increment(mesh, increment_of(held, 4_000))
    assert (answer.decision, answer.response_code) == (pb.DECISION_APPROVED, "00")
    assert (answer.authorized_amount, answer.held_amount) == (usd(14_000), usd(14_000))
    assert answer.available_credit == usd(86_000)
    assert answer.decide_time.ToMilliseconds() == mesh.clock.now_ms()
    await mesh.authorization.CaptureAuthorization(capture_of(held, 9_000), metadata=NETWORK)
    await _increment(mesh, increment_of(held, 1_000))
    await mesh.authorization.CaptureAuthorization(
        capture_of(held, 5_500, final=True), metadata=NETWORK
    )
    assert await balance(mesh, account) == (14_500, 0, 85_500)
    await audit(mesh, account)


async def test_increment_after_over_capture_reserves_its_whole_amount(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 1_500), metadata=NETWORK)
    answer = await _increment(mesh, increment_of(held, 300))
    assert (answer.held_amount, answer.authorized_amount) == (usd(300), usd(1_800))
    assert await balance(mesh, account) == (1_500, 300, 98_200)
    await audit(mesh, account)


async def test_declined_increment_leaves_the_hold(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(1_000)
    held = await approved(mesh, await mesh.issue_card(account), 900)
    answer = await _increment(mesh, increment_of(held, 101))
    assert answer.decision == pb.DECISION_DECLINED
    assert DeclineReason.Name(answer.decline_reason) == "DECLINE_REASON_INSUFFICIENT_CREDIT"
    assert answer.response_code == "51"
    assert (answer.authorized_amount, answer.held_amount) == (usd(900), usd(900))
    assert (await fetched(mesh, held)).decision == pb.DECISION_APPROVED
    assert (await _increment(mesh, increment_of(held, 100))).held_amount == usd(1_000)
    assert await balance(mesh, account) == (0, 1_000, 0)
    await audit(mesh, account)


async def test_frozen_card_gets_no_increment(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 900)
    await mesh.apply_card(card, account, version=2, state=projection.CARD_STATE_FROZEN)
    answer = await _increment(mesh, increment_of(held, 100))
    assert DeclineReason.Name(answer.decline_reason) == "DECLINE_REASON_CARD_FROZEN"
    assert await balance(mesh, account) == (0, 900, 99_100)


async def test_single_use_card_may_be_incremented(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account, single_use=True), 900)
    assert (await _increment(mesh, increment_of(held, 100))).held_amount == usd(1_000)


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("end", ["declined", "final", "reversed", "expired", "due"])
async def test_closed_authorization_is_refused(mesh: AuthzMesh, end: str, *, gone: bool) -> None:
    """Also when only the ledger knows that it is closed."""
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    stub = mesh.authorization
    if end == "declined":
        held = (await stub.Authorize(purchase(card, 2_000), metadata=NETWORK)).authorization_id
    else:
        held = await approved(mesh, card, 500)
    if end == "final":
        await stub.CaptureAuthorization(capture_of(held, 400, final=True), metadata=NETWORK)
    elif end == "reversed":
        await stub.ReverseAuthorization(reversal_of(held), metadata=NETWORK)
    elif end == "expired":
        await stub.ExpireAuthorization(expiry_of(held), metadata=ADMIN)
    elif end == "due":
        mesh.clock.advance(40 * 86_400_000)
    if gone:
        await mesh.settle()
        await expire_records(mesh.money, "hold")
    async with nothing_written(mesh.money):
        error = await refused(stub.IncrementAuthorization, increment_of(held, 100))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "AUTHORIZATION_CLOSED")


async def test_repetition_is_the_same_answer(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(1_000)
    held = await approved(mesh, await mesh.issue_card(account), 500)
    for amount in (300, 900):  # one approved, one declined
        request, altered = increment_of(held, amount), increment_of(held, amount + 1)
        altered.request_id = request.request_id
        await repeats(mesh, mesh.authorization.IncrementAuthorization, request, altered)
    assert await balance(mesh, account) == (0, 800, 200)
    await audit(mesh, account)


async def test_increment_starts_from_the_ledger_when_the_hold_is_gone(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 500)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 200), metadata=NETWORK)
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    answer = await _increment(mesh, increment_of(held, 100))
    assert (answer.authorized_amount, answer.held_amount) == (usd(600), usd(400))
    await audit(mesh, account)


async def test_network_reference_finds_it_and_never_creates_it(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    error = await refused(
        mesh.authorization.IncrementAuthorization, by_network(increment_of("", 100), card, "t1")
    )
    assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
    await mesh.authorization.Authorize(network_purchase(card, 500, "t1"), metadata=NETWORK)
    answer = await _increment(mesh, by_network(increment_of("", 100), card, "t1"))
    assert answer.held_amount == usd(600)


async def test_whose_authorization_it_is(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    method = mesh.authorization.IncrementAuthorization
    async with nothing_written(mesh.money):
        for name, caller in ((held, OTHER_NETWORK), (UNKNOWN_AUTHORIZATION, NETWORK)):
            error = await refused(method, increment_of(name, 10), metadata=caller)
            assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
    assert (await method(increment_of(held, 10), metadata=ADMIN)).held_amount == usd(1_010)


async def test_sum_beyond_what_is_exact_is_refused(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(2**53 - 1)
    held = await approved(mesh, await mesh.issue_card(account), 10)
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.IncrementAuthorization, increment_of(held, 2**53 - 10)
        )
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "AMOUNT_OVERFLOW")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"request_id": ""}, ["request_id"]),
        ({"authorization_id": ""}, ["authorization_id"]),
        ({"authorization_id": "auth_1"}, ["authorization_id"]),
        ({"amount": None}, ["amount"]),
        ({"amount": usd(0)}, ["amount.amount_minor"]),
        ({"amount": usd(-1)}, ["amount.amount_minor"]),
        ({"amount": usd(2**53)}, ["amount.amount_minor"]),
    ],
)
async def test_wrong_fields_are_named(
    mesh: AuthzMesh, change: dict[str, Any], fields: list[str]
) -> None:
    request = increment_of(UNKNOWN_AUTHORIZATION, 10)
    for name, value in change.items():
        request.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            request.MergeFrom(movements.IncrementAuthorizationRequest(**{name: value}))
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.IncrementAuthorization, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", fields)


async def test_other_currency_is_refused(mesh: AuthzMesh) -> None:
    request = increment_of(await approved(mesh, await mesh.card(), 1_000), 10)
    request.amount.currency_code = "EUR"
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.IncrementAuthorization, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["amount.currency_code"])
