"""Authorize over a real gRPC server, a real Valkey and a real ledger."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import decline_reason_pb2 as reasons
from holdfast.authz.v1 import projection_service_pb2 as projection
from runtime import ids
from tests.authz_checks import (
    UNKNOWN_CARD,
    answered,
    approved,
    balance,
    by_network,
    fetched,
    network_purchase,
    nothing_written,
    refused,
    usd,
)
from tests.authz_mesh import (
    NETWORK,
    OTHER_NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
)

DAY_MS = 86_400_000


async def test_approval_holds_credit(mesh: AuthzMesh) -> None:
    card = await mesh.card(limit_minor=100_000)
    answer = await mesh.authorization.Authorize(purchase(card, 1_000), metadata=NETWORK)
    assert answer.decision == pb.DECISION_APPROVED
    assert answer.decline_reason == reasons.DECLINE_REASON_UNSPECIFIED
    assert answer.response_code == "00"
    assert answer.approved_amount == usd(1_000)
    assert answer.available_credit == usd(99_000)
    assert len(answer.authorization_code) == 6
    assert ids.is_id(answer.authorization_id, ids.AUTHORIZATION)
    assert ids.partition_of(answer.authorization_id) == ids.partition_of(card)
    now_ms = mesh.clock.now_ms()
    assert answer.decide_time.ToMilliseconds() == now_ms
    assert answer.expire_time.ToMilliseconds() == now_ms + 7 * DAY_MS


async def test_two_hundred_concurrent_purchases_spend_exactly_the_limit(mesh: AuthzMesh) -> None:
    card = await mesh.card(limit_minor=100_000)
    answers = await asyncio.gather(
        *(mesh.authorization.Authorize(purchase(card, 1_000), metadata=NETWORK) for _ in range(200))
    )
    approvals = [a for a in answers if a.decision == pb.DECISION_APPROVED]
    declined = [a for a in answers if a.decision == pb.DECISION_DECLINED]
    assert len(approvals) == 100
    assert {a.decline_reason for a in declined} == {reasons.DECLINE_REASON_INSUFFICIENT_CREDIT}
    assert {a.response_code for a in declined} == {"51"}
    assert await mesh.settle() == 202


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        (projection.CARD_STATE_INACTIVE, "CARD_NOT_ACTIVATED", "78"),
        (projection.CARD_STATE_FROZEN, "CARD_FROZEN", "62"),
        (projection.CARD_STATE_CLOSED, "CARD_CLOSED", "14"),
        (projection.CARD_STATE_LOST, "CARD_LOST", "41"),
        (projection.CARD_STATE_STOLEN, "CARD_STOLEN", "43"),
        (projection.CARD_STATE_SUSPENDED, "CARDHOLDER_SUSPENDED", "62"),
    ],
)
async def test_card_state_declines(
    mesh: AuthzMesh, state: projection.CardState.ValueType, reason: str, code: str
) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await approved(mesh, card, 100)
    await mesh.apply_card(card, account, version=2, state=state)
    await _declined(mesh, purchase(card, 100), reason, code)
    assert await balance(mesh, account) == (0, 100, 99_900)


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        (projection.ACCOUNT_STATE_CLOSING, "ACCOUNT_CLOSED", "46"),
        (projection.ACCOUNT_STATE_CLOSED, "ACCOUNT_CLOSED", "46"),
        (projection.ACCOUNT_STATE_SUSPENDED, "ACCOUNT_SUSPENDED", "62"),
        (projection.ACCOUNT_STATE_DELINQUENT, "ACCOUNT_DELINQUENT", "62"),
    ],
)
async def test_account_that_is_not_open_declines(
    mesh: AuthzMesh, state: projection.AccountState.ValueType, reason: str, code: str
) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await mesh.apply_account(account, version=2, state=state)
    await _declined(mesh, purchase(card, 100), reason, code)


@pytest.mark.parametrize(
    ("check", "reason", "code"),
    [
        ("expiry", "EXPIRY_MISMATCH", "54"),
        ("cvv", "CVV_MISMATCH", "05"),
        ("pin", "PIN_INCORRECT", "55"),
    ],
)
async def test_a_failed_check_declines(mesh: AuthzMesh, check: str, reason: str, code: str) -> None:
    request = purchase(await mesh.card(), 100)
    setattr(request.verification, check, pb.CHECK_RESULT_MISMATCH)
    await _declined(mesh, request, reason, code)


async def test_expired_card_declines_from_the_first_moment_after_its_month(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account()
    card = mesh.ids.new("card", 10)
    await mesh.apply_card(card, account, expiry_year=2027)
    mesh.clock.advance(1_830_297_599_999 - mesh.clock.now_ms())  # 2027-12-31T23:59:59.999Z
    await approved(mesh, card, 100)
    mesh.clock.advance(1)
    await _declined(mesh, purchase(card, 100), "CARD_EXPIRED", "54")


async def test_unknown_card_is_a_decline(mesh: AuthzMesh) -> None:
    answer = await mesh.authorization.Authorize(purchase(UNKNOWN_CARD, 100), metadata=NETWORK)
    assert answer.decline_reason == reasons.DECLINE_REASON_CARD_NOT_FOUND
    assert answer.response_code == "14"
    assert not answer.HasField("available_credit")
    assert await mesh.settle() == 1


async def test_foreign_currency_declines(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    request = purchase(card, 100)
    request.amount.currency_code = "EUR"
    await _declined(mesh, request, "INVALID_AMOUNT_OR_CURRENCY", "13")


async def test_foreign_purchase_with_billing_amount_is_approved(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    request = purchase(card, 100)
    request.merchant_amount.currency_code = "JPY"
    request.merchant_amount.amount_minor = 15_000
    request.conversion_rate = "0.006667"
    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert answer.approved_amount == usd(100)
    found = await fetched(mesh, answer.authorization_id)
    assert found.merchant_amount == request.merchant_amount
    assert found.conversion_rate == "0.006667"


async def test_insufficient_credit_declines_and_one_cent_less_does_not(mesh: AuthzMesh) -> None:
    card = await mesh.card(limit_minor=1_000)
    answer = await _declined(mesh, purchase(card, 1_001), "INSUFFICIENT_CREDIT", "51")
    assert answer.available_credit == usd(1_000)
    await approved(mesh, card, 1_000)


async def test_partial_approval_gives_what_is_left_and_nothing_when_nothing_is(
    mesh: AuthzMesh,
) -> None:
    card = await mesh.card(limit_minor=1_000)
    request = purchase(card, 1_500)
    request.point_of_sale.partial_approval_capable = True
    answer = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert answer.decision == pb.DECISION_APPROVED
    assert answer.response_code == "10"
    assert answer.approved_amount == usd(1_000)
    assert answer.available_credit == usd(0)
    found = await fetched(mesh, answer.authorization_id)
    assert (found.requested_amount, found.authorized_amount) == (usd(1_500), usd(1_000))
    assert found.response_code == "10"
    request.request_id = "another"
    await _declined(mesh, request, "INSUFFICIENT_CREDIT", "51")


async def test_amount_zero_verifies_even_without_credit(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(100)
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 100)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 300), metadata=NETWORK)
    answer = await mesh.authorization.Authorize(purchase(card, 0), metadata=NETWORK)
    assert (answer.response_code, answer.approved_amount) == ("85", usd(0))
    assert answer.available_credit == usd(-200)
    assert await balance(mesh, account) == (300, 0, -200)
    assert (await fetched(mesh, answer.authorization_id)).response_code == "85"


async def test_single_use_card_is_used_once(mesh: AuthzMesh) -> None:
    card = await mesh.issue_card(await mesh.open_account(), single_use=True)
    await approved(mesh, card, 100)
    await _declined(mesh, purchase(card, 100), "SINGLE_USE_ALREADY_USED", "62")


async def test_single_use_card_is_not_used_up_by_a_decline(mesh: AuthzMesh) -> None:
    card = await mesh.issue_card(await mesh.open_account(50), single_use=True)
    await _declined(mesh, purchase(card, 100), "INSUFFICIENT_CREDIT", "51")
    await approved(mesh, card, 50)


async def test_twenty_concurrent_uses_of_a_single_use_card(mesh: AuthzMesh) -> None:
    card = await mesh.issue_card(await mesh.open_account(), single_use=True)
    answers = await asyncio.gather(
        *(mesh.authorization.Authorize(purchase(card, 10), metadata=NETWORK) for _ in range(20))
    )
    assert sum(a.decision == pb.DECISION_APPROVED for a in answers) == 1


async def test_network_transaction_is_decided_once(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    first = await mesh.authorization.Authorize(network_purchase(card, 100, "t1"), metadata=NETWORK)
    second = await _declined(mesh, network_purchase(card, 100, "t1"), "DUPLICATE_TRANSACTION", "94")
    assert second.authorization_id == first.authorization_id
    found = await fetched(mesh, first.authorization_id)
    assert (found.state, found.held_amount) == (pb.Authorization.STATE_PENDING, usd(100))
    await mesh.settle()
    assert await fetched(mesh, first.authorization_id) == found


async def test_network_transaction_is_the_caller_s_own(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    request = network_purchase(card, 100, "t1")
    ours = await mesh.authorization.Authorize(request, metadata=NETWORK)
    theirs = await mesh.authorization.Authorize(request, metadata=OTHER_NETWORK)
    assert theirs.decision == pb.DECISION_APPROVED
    assert theirs.authorization_id != ours.authorization_id


async def test_reversal_before_its_authorization_declines_it(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await mesh.authorization.ReverseAuthorization(
        by_network(reversal_of(""), card, "t1"), metadata=NETWORK
    )
    await _declined(mesh, network_purchase(card, 100, "t1"), "AUTHORIZATION_REVERSED", "94")
    assert await balance(mesh, account) == (0, 0, 100_000)


async def test_partial_reversal_before_its_authorization_lowers_the_hold(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await mesh.authorization.ReverseAuthorization(
        by_network(reversal_of("", 30), card, "t1"), metadata=NETWORK
    )
    answer = await mesh.authorization.Authorize(network_purchase(card, 100, "t1"), metadata=NETWORK)
    assert answer.decision == pb.DECISION_APPROVED
    assert await balance(mesh, account) == (0, 70, 99_930)


async def test_replay_is_the_same_answer_byte_for_byte(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = purchase(card, 100)
    first, stored = await answered(mesh.authorization.Authorize, request)
    assert not stored
    mesh.clock.advance(60_000)
    await approved(mesh, card, 500)
    await mesh.apply_card(card, account, version=2, state=projection.CARD_STATE_FROZEN)
    async with nothing_written(mesh.money):
        again, stored = await answered(mesh.authorization.Authorize, request)
    assert stored
    assert again.SerializeToString() == first.SerializeToString()
    assert await balance(mesh, account) == (0, 600, 99_400)


async def test_replayed_decline_stays_a_decline(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(100)
    card = await mesh.issue_card(account)
    request = purchase(card, 500)
    first, _ = await answered(mesh.authorization.Authorize, request)
    await mesh.apply_account(account, version=2, limit_minor=1_000)
    again, stored = await answered(mesh.authorization.Authorize, request)
    assert stored
    assert again.SerializeToString() == first.SerializeToString()
    assert again.decline_reason == reasons.DECLINE_REASON_INSUFFICIENT_CREDIT


async def test_replay_of_an_unknown_card_is_the_same_after_the_card_was_issued(
    mesh: AuthzMesh,
) -> None:
    """The account's currency was not known then: it must not slip into the answer now."""
    card = mesh.ids.new("card", 10)
    request = purchase(card, 500)
    request.amount.currency_code = "EUR"
    first, _ = await answered(mesh.authorization.Authorize, request)
    await mesh.apply_card(card, await mesh.open_account())
    again, stored = await answered(mesh.authorization.Authorize, request)
    assert stored
    assert again.SerializeToString() == first.SerializeToString()


async def test_request_id_with_other_content_is_refused(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    await mesh.authorization.Authorize(purchase(card, 100, "same"), metadata=NETWORK)
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.Authorize, purchase(card, 101, "same"))
    assert error.code.name == "ALREADY_EXISTS"
    assert error.reason == "REQUEST_ID_REUSED"
    assert error.metadata["field"] == "request_id"


async def test_request_id_of_another_method_is_refused(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    answer = await mesh.authorization.Authorize(purchase(card, 100, "same"), metadata=NETWORK)
    error = await refused(
        mesh.authorization.CaptureAuthorization, capture_of(answer.authorization_id, 100, "same")
    )
    assert error.reason == "REQUEST_ID_REUSED"


async def test_one_request_id_of_two_principals_is_two_requests(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = purchase(card, 100)
    ours, _ = await answered(mesh.authorization.Authorize, request)
    theirs, stored = await answered(mesh.authorization.Authorize, request, metadata=OTHER_NETWORK)
    assert not stored
    assert theirs.authorization_id != ours.authorization_id
    assert await balance(mesh, account) == (0, 200, 99_800)


async def test_fifty_concurrent_equal_requests_place_one_hold(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = purchase(card, 100)
    answers = await asyncio.gather(
        *(answered(mesh.authorization.Authorize, request) for _ in range(50))
    )
    assert len({answer.SerializeToString() for answer, _ in answers}) == 1
    assert sum(not stored for _, stored in answers) == 1
    assert await balance(mesh, account) == (0, 100, 99_900)
    assert await mesh.settle() == 3


async def test_idempotency_key_header_stands_for_the_request_id(mesh: AuthzMesh) -> None:
    card = await mesh.card()
    request = purchase(card, 100)
    request.request_id = ""
    metadata = (*NETWORK, ("idempotency-key", "from-header"))
    first, _ = await answered(mesh.authorization.Authorize, request, metadata=metadata)
    request.request_id = "from-header"
    again, stored = await answered(mesh.authorization.Authorize, request)
    assert stored
    assert again == first


async def test_wrong_fields_are_all_named_and_nothing_is_written(mesh: AuthzMesh) -> None:
    request = rpc.AuthorizeRequest(request_id="ü", card_id="card_1", amount=usd(-1))
    request.merchant.category_code = "12"
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.Authorize, request)
    assert error.code.name == "INVALID_ARGUMENT"
    assert error.reason == "INVALID_ARGUMENT"
    assert error.fields == [
        "request_id",
        "card_id",
        "amount.amount_minor",
        "merchant.descriptor",
        "merchant.category_code",
    ]


async def test_what_the_contract_does_not_know_is_not_journaled(mesh: AuthzMesh) -> None:
    """Unknown fields could be of any size, or carry a card number."""
    card = await mesh.card()
    raw = purchase(card, 100).SerializeToString() + b"\xfa\x3f\x104111111111111111"
    extended = rpc.AuthorizeRequest.FromString(raw)
    assert b"411111" in extended.SerializeToString()
    await mesh.authorization.Authorize(extended, metadata=NETWORK)
    entries: list[Any] = list(await mesh.money.xrange("{0a}:journal") or ())
    assert len(entries) == 3
    assert not any(b"411111" in fields[b"e"] for _, fields in entries)


async def test_request_older_than_its_record_is_answered_from_the_ledger(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = purchase(card, 100)
    request.transmission_time.FromMilliseconds(mesh.clock.now_ms())
    first, _ = await answered(mesh.authorization.Authorize, request)
    await mesh.settle()
    await _forget_requests(mesh)
    mesh.clock.advance(DAY_MS)
    async with nothing_written(mesh.money):
        again, stored = await answered(mesh.authorization.Authorize, request)
        assert stored
        assert again.SerializeToString() == first.SerializeToString()
        request.amount.amount_minor = 101
        error = await refused(mesh.authorization.Authorize, request)
        assert error.reason == "REQUEST_ID_REUSED"
    assert await balance(mesh, account) == (0, 100, 99_900)


async def test_old_request_that_never_came_is_decided(mesh: AuthzMesh) -> None:
    request = purchase(await mesh.card(), 100)
    request.transmission_time.FromMilliseconds(mesh.clock.now_ms() - 2 * DAY_MS)
    answer, stored = await answered(mesh.authorization.Authorize, request)
    assert answer.decision == pb.DECISION_APPROVED
    assert not stored


async def _forget_requests(mesh: AuthzMesh) -> None:
    async for key in mesh.money.scan_iter(match="*:req:*"):
        await mesh.money.delete(key)


async def _declined(
    mesh: AuthzMesh, request: rpc.AuthorizeRequest, reason: str, code: str
) -> rpc.AuthorizeResponse:
    answer: rpc.AuthorizeResponse = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert answer.decision == pb.DECISION_DECLINED
    assert reasons.DeclineReason.Name(answer.decline_reason) == f"DECLINE_REASON_{reason}"
    assert answer.response_code == code
    assert answer.authorization_code == ""
    assert answer.approved_amount == usd(0)
    assert not answer.HasField("expire_time")
    return answer
