"""Authorize by class of message: advice, single message, balance inquiry."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from runtime.ids import pan_token_of
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
from tests.authz_mesh import ADMIN, NETWORK, AuthzMesh, capture_of, purchase
from tests.authz_messages import advice, at_ms, expiry_of, increment_of, withdrawal

HOUR_MS = 3_600_000


async def _send(mesh: AuthzMesh, request: rpc.AuthorizeRequest) -> rpc.AuthorizeResponse:
    answer: rpc.AuthorizeResponse = await mesh.authorization.Authorize(request, metadata=NETWORK)
    return answer


def _reason(answer: Any) -> str:
    return DeclineReason.Name(answer.decline_reason).removeprefix("DECLINE_REASON_")


async def test_fuel_advice_sets_the_real_amount(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    pre = await _send(mesh, network_purchase(card, 12_500, "t1"))
    told = await _send(mesh, advice(card, 4_217, "t1"))
    assert told.authorization_id == pre.authorization_id
    assert (told.decision, told.approved_amount) == (pb.DECISION_APPROVED, usd(4_217))
    assert await balance(mesh, account) == (0, 4_217, 95_783)
    await mesh.authorization.CaptureAuthorization(
        by_network(capture_of("", 4_217), card, "t1"), metadata=NETWORK
    )
    assert await balance(mesh, account) == (4_217, 0, 95_783)
    await audit(mesh, account)


@pytest.mark.parametrize("trouble", ["unheard", "declined", "frozen", "limit", "closing"])
async def test_advice_is_booked_whatever_the_state(mesh: AuthzMesh, trouble: str) -> None:
    """The network approved it: its clearing will post, so its amount is reserved."""
    limit = 500 if trouble in ("declined", "limit") else 100_000
    account = await mesh.open_account(limit)
    card = await mesh.issue_card(account)
    if trouble == "declined":
        assert _reason(await _send(mesh, network_purchase(card, 900, "t1"))) == (
            "INSUFFICIENT_CREDIT"
        )
    elif trouble == "frozen":
        await mesh.apply_card(card, account, version=2, state=projection.CARD_STATE_FROZEN)
    elif trouble == "closing":
        state = projection.ACCOUNT_STATE_CLOSING
        await mesh.apply_account(account, version=2, limit_minor=limit, state=state)
    told = await _send(mesh, advice(card, 900, "t1"))
    assert (told.decision, told.response_code) == (pb.DECISION_APPROVED, "00")
    assert told.available_credit == usd(limit - 900)
    assert told.expire_time.ToMilliseconds() > mesh.clock.now_ms()
    assert await balance(mesh, account) == (0, 900, limit - 900)
    found = await fetched(mesh, told.authorization_id)
    assert (found.state, found.decision) == (
        pb.Authorization.STATE_PENDING,
        pb.DECISION_APPROVED,
    )
    await audit(mesh, account)
    await expire_records(mesh.money, "hold")
    assert await fetched(mesh, told.authorization_id) == found


async def test_older_advice_that_comes_late_is_ignored(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    now = mesh.clock.now_ms()
    await _send(mesh, advice(card, 4_000, "t1", sent_ms=now - 1_000))
    await _send(mesh, advice(card, 9_000, "t1", sent_ms=now - 2_000))
    assert await balance(mesh, account) == (0, 4_000, 96_000)
    await _send(mesh, advice(card, 6_000, "t1", sent_ms=now))
    assert await balance(mesh, account) == (0, 6_000, 94_000)
    await audit(mesh, account)


async def test_authorization_after_its_advice_is_a_duplicate(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await _send(mesh, advice(card, 4_000, "t1"))
    assert _reason(await _send(mesh, network_purchase(card, 4_000, "t1"))) == (
        "DUPLICATE_TRANSACTION"
    )
    assert await balance(mesh, account) == (0, 4_000, 96_000)
    await audit(mesh, account)


async def test_advice_above_what_was_cleared_reopens_the_hold(mesh: AuthzMesh) -> None:
    """Measured on a live issuer: 50.00, cleared 73.40, advice to 90.00 holds 16.60 again."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await _send(mesh, network_purchase(card, 5_000, "t1"))
    capture = by_network(capture_of("", 7_340), card, "t1")
    await mesh.authorization.CaptureAuthorization(capture, metadata=NETWORK)
    await _send(mesh, advice(card, 9_000, "t1"))
    assert await balance(mesh, account) == (7_340, 1_660, 91_000)
    await audit(mesh, account)


async def test_advice_on_an_expired_authorization_holds_nothing(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await _send(mesh, network_purchase(card, 5_000, "t1"))
    await mesh.authorization.ExpireAuthorization(expiry_of(held.authorization_id), metadata=ADMIN)
    await _send(mesh, advice(card, 9_000, "t1"))
    assert await balance(mesh, account) == (0, 0, 100_000)
    await audit(mesh, account)


async def test_advice_starts_from_the_ledger_when_the_hold_is_gone(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await _send(mesh, network_purchase(card, 5_000, "t1"))
    capture = by_network(capture_of("", 7_340), card, "t1")
    await mesh.authorization.CaptureAuthorization(capture, metadata=NETWORK)
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    await _send(mesh, advice(card, 9_000, "t1"))
    assert await balance(mesh, account) == (7_340, 1_660, 91_000)
    await audit(mesh, account)


async def test_advice_uses_up_a_single_use_card(mesh: AuthzMesh) -> None:
    card = await mesh.issue_card(await mesh.open_account(), single_use=True)
    await _send(mesh, advice(card, 900))
    assert _reason(await _send(mesh, purchase(card, 100))) == "SINGLE_USE_ALREADY_USED"


async def test_advice_of_an_unknown_card_is_not_found(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.Authorize, advice(UNKNOWN_CARD, 10))
    assert (error.code.name, error.reason) == ("NOT_FOUND", "CARD_NOT_FOUND")


async def test_advice_beyond_what_is_exact_is_refused(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    await _send(mesh, advice(card, 2**53 - 1))
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.Authorize, advice(card, 1))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "AMOUNT_OVERFLOW")


@pytest.mark.parametrize("message", ["advice", "withdrawal"])
async def test_repetition_is_the_same_answer_even_after_its_record_has_gone(
    mesh: AuthzMesh, message: str
) -> None:
    """It posts or books without being asked again: the ledger must remember it."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    make = advice if message == "advice" else withdrawal
    request, altered = make(card, 700), make(card, 701)
    altered.request_id = request.request_id
    await repeats(mesh, mesh.authorization.Authorize, request, altered)
    assert sum((await balance(mesh, account))[:2]) == 700
    await audit(mesh, account)


async def test_recent_withdrawal_says_when_it_was_sent_and_needs_no_ledger(
    mesh: AuthzMesh,
) -> None:
    request = withdrawal(await mesh.card(), 700)
    request.transmission_time.CopyFrom(at_ms(mesh.clock.now_ms() - HOUR_MS))
    first = await _send(mesh, request)
    again, stored = await answered(mesh.authorization.Authorize, request)
    assert stored
    assert again == first


async def test_withdrawal_posts_at_once_as_cash(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    answer = await _send(mesh, withdrawal(await mesh.issue_card(account), 20_000))
    assert (answer.decision, answer.response_code) == (pb.DECISION_APPROVED, "00")
    assert (answer.approved_amount, answer.available_credit) == (usd(20_000), usd(80_000))
    assert await balance(mesh, account) == (20_000, 0, 80_000)
    found = await fetched(mesh, answer.authorization_id)
    assert (found.state, found.captured_amount) == (
        pb.Authorization.STATE_CAPTURED,
        usd(20_000),
    )
    error = await refused(
        mesh.authorization.IncrementAuthorization, increment_of(answer.authorization_id, 1)
    )
    assert error.reason == "AUTHORIZATION_CLOSED"
    await audit(mesh, account)
    assert await lines_of(mesh, account, "F") == [
        ("receivable.cash", 20_000),
        ("network_clearing", -20_000),
    ]
    category = "SELECT balance_category FROM journal_entry WHERE type = 'F'"
    assert await mesh.ledger.fetchval(category) == "cash"


async def test_withdrawal_in_part_if_the_machine_can(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(500)
    card = await mesh.issue_card(account)
    assert _reason(await _send(mesh, withdrawal(card, 700))) == "INSUFFICIENT_CREDIT"
    answer = await _send(mesh, withdrawal(card, 700, partial=True))
    assert (answer.approved_amount, answer.response_code) == (usd(500), "10")
    assert await balance(mesh, account) == (500, 0, 0)
    assert _reason(await _send(mesh, withdrawal(card, 1, partial=True))) == "INSUFFICIENT_CREDIT"
    await audit(mesh, account)


async def test_inquiry_and_verification_reserve_nothing_and_use_nothing_up(
    mesh: AuthzMesh,
) -> None:
    """Shops verify a card with 0 before they charge it: a single-use card must survive that."""
    account = await mesh.open_account(500)
    card = await mesh.issue_card(account, single_use=True)
    inquiry = purchase(card, 0)
    inquiry.message_type = pb.MESSAGE_TYPE_BALANCE_INQUIRY
    answer = await _send(mesh, inquiry)
    assert (answer.response_code, answer.available_credit) == ("00", usd(500))
    assert (await _send(mesh, purchase(card, 0))).response_code == "85"
    found = await fetched(mesh, answer.authorization_id)
    assert (found.state, found.response_code) == (pb.Authorization.STATE_VERIFIED, "00")
    assert await balance(mesh, account) == (0, 0, 500)
    assert (await _send(mesh, purchase(card, 100))).decision == pb.DECISION_APPROVED
    assert _reason(await _send(mesh, purchase(card, 0))) == "SINGLE_USE_ALREADY_USED"
    await audit(mesh, account)


async def test_inquiry_with_an_amount_is_refused(mesh: AuthzMesh) -> None:
    request = purchase(await mesh.card(), 1)
    request.message_type = pb.MESSAGE_TYPE_BALANCE_INQUIRY
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.Authorize, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["amount.amount_minor"])


async def test_the_token_of_a_number_is_its_card(mesh: AuthzMesh) -> None:
    """A purchase and its repeat are the same by either name; a clearing may use the token, too."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    token = pan_token_of(card)
    asked = network_purchase(token, 1_000, "t1")
    first = await _send(mesh, asked)
    assert first.decision == pb.DECISION_APPROVED
    asked.card_id = card
    assert (await _send(mesh, asked)).authorization_id == first.authorization_id
    assert await balance(mesh, account) == (0, 1_000, 99_000)
    await mesh.authorization.CaptureAuthorization(
        by_network(capture_of("", 1_000), token, "t1"), metadata=NETWORK
    )
    assert await balance(mesh, account) == (1_000, 0, 99_000)
    assert (await fetched(mesh, first.authorization_id)).card_id == card
    error = await refused(mesh.authorization.Authorize, purchase("ptok_zz", 1), metadata=NETWORK)
    assert error.fields == ["card_id"]
    await audit(mesh, account)
