"""ReverseAuthorization: gives back what is held, never more, in whatever order messages come."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
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
from tests.authz_mesh import NETWORK, OTHER_NETWORK, AuthzMesh, capture_of, reversal_of


async def _reverse(
    mesh: AuthzMesh, request: rpc.ReverseAuthorizationRequest
) -> rpc.ReverseAuthorizationResponse:
    answer: rpc.ReverseAuthorizationResponse = await mesh.authorization.ReverseAuthorization(
        request, metadata=NETWORK
    )
    return answer


async def test_full_reversal(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    answer = await _reverse(mesh, reversal_of(held))
    assert answer.authorization_id == held
    assert answer.state == pb.Authorization.STATE_REVERSED
    assert (answer.released_amount, answer.held_amount) == (usd(1_000), usd(0))
    assert answer.available_credit == usd(100_000)
    assert answer.record_time.ToMilliseconds() == mesh.clock.now_ms()
    assert await balance(mesh, account) == (0, 0, 100_000)


async def test_partial_reversals_add_up_and_more_than_is_left_gives_what_is_left(
    mesh: AuthzMesh,
) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    first = await _reverse(mesh, reversal_of(held, 400))
    assert (first.state, first.released_amount) == (pb.Authorization.STATE_PENDING, usd(400))
    assert first.held_amount == usd(600)
    second = await _reverse(mesh, reversal_of(held, 5_000))
    assert (second.state, second.released_amount) == (pb.Authorization.STATE_REVERSED, usd(600))
    assert await balance(mesh, account) == (0, 0, 100_000)


async def test_reversed_twice_releases_once(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    await asyncio.gather(*(_reverse(mesh, reversal_of(held)) for _ in range(10)))
    again = await _reverse(mesh, reversal_of(held))
    assert (again.state, again.released_amount) == (pb.Authorization.STATE_REVERSED, usd(0))
    assert await balance(mesh, account) == (0, 0, 100_000)


async def test_reversal_after_a_partial_capture_gives_back_the_rest(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 300), metadata=NETWORK)
    answer = await _reverse(mesh, reversal_of(held))
    assert (answer.state, answer.released_amount) == (pb.Authorization.STATE_CAPTURED, usd(700))
    assert await balance(mesh, account) == (300, 0, 99_700)


async def test_reversal_after_the_final_capture_releases_nothing(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    await mesh.authorization.CaptureAuthorization(
        capture_of(held, 300, final=True), metadata=NETWORK
    )
    assert (await _reverse(mesh, reversal_of(held, 100))).released_amount == usd(0)
    assert await balance(mesh, account) == (300, 0, 99_700)


async def test_reversal_may_come_before_its_authorization(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    early = await _reverse(mesh, by_network(reversal_of(""), card, "t1"))
    assert early.released_amount == usd(0)
    answer = await mesh.authorization.Authorize(
        network_purchase(card, 1_000, "t1"), metadata=NETWORK
    )
    assert answer.decision == pb.DECISION_DECLINED
    assert answer.authorization_id == early.authorization_id
    found = await fetched(mesh, early.authorization_id)
    assert (found.state, found.decision) == (
        pb.Authorization.STATE_DECLINED,
        pb.DECISION_DECLINED,
    )
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    assert await fetched(mesh, early.authorization_id) == found
    assert await balance(mesh, account) == (0, 0, 100_000)


async def test_reversal_of_a_declined_authorization_changes_no_balance(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(100)
    card = await mesh.issue_card(account)
    declined = await mesh.authorization.Authorize(
        network_purchase(card, 1_000, "t1"), metadata=NETWORK
    )
    assert (await _reverse(mesh, reversal_of(declined.authorization_id))).released_amount == usd(0)
    assert await balance(mesh, account) == (0, 0, 100)
    found = await fetched(mesh, declined.authorization_id)
    assert found.state == pb.Authorization.STATE_DECLINED


@pytest.mark.parametrize("amount", [None, 300])
async def test_replay_is_the_same_answer_byte_for_byte(mesh: AuthzMesh, amount: int | None) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    request = reversal_of(held, amount)
    first, stored = await answered(mesh.authorization.ReverseAuthorization, request)
    assert not stored
    before = await balance(mesh, account)
    async with nothing_written(mesh.money):
        again, stored = await answered(mesh.authorization.ReverseAuthorization, request)
    assert stored
    assert again.SerializeToString() == first.SerializeToString()
    await mesh.settle()
    await expire_records(mesh.money, "req")
    async with nothing_written(mesh.money):
        again, stored = await answered(mesh.authorization.ReverseAuthorization, request)
    assert stored
    assert again.SerializeToString() == first.SerializeToString()
    assert await balance(mesh, account) == before


async def test_request_id_with_other_content_is_refused(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    await _reverse(mesh, reversal_of(held, 100, "same"))
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.ReverseAuthorization, reversal_of(held, 200, "same")
        )
    assert (error.code.name, error.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    await mesh.settle()
    await expire_records(mesh.money, "req")
    error = await refused(mesh.authorization.ReverseAuthorization, reversal_of(held, 200, "same"))
    assert error.reason == "REQUEST_ID_REUSED"


async def test_reversal_starts_from_the_ledger_when_the_hold_is_gone(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    open_hold = await approved(mesh, card, 1_000)
    closed_hold = await approved(mesh, card, 500)
    await mesh.authorization.CaptureAuthorization(
        capture_of(closed_hold, 200, final=True), metadata=NETWORK
    )
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    assert (await _reverse(mesh, reversal_of(closed_hold))).released_amount == usd(0)
    part = await _reverse(mesh, reversal_of(open_hold, 400))
    assert (part.released_amount, part.held_amount) == (usd(400), usd(600))
    assert await balance(mesh, account) == (200, 600, 99_200)


async def test_another_caller_s_authorization_is_not_found(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.ReverseAuthorization, reversal_of(held), metadata=OTHER_NETWORK
        )
    assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")


async def test_unknown_authorization_and_unknown_card_are_not_found(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.ReverseAuthorization, reversal_of(UNKNOWN_AUTHORIZATION)
        )
        assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
        error = await refused(
            mesh.authorization.ReverseAuthorization,
            by_network(reversal_of(""), UNKNOWN_CARD, "t1"),
        )
        assert (error.code.name, error.reason) == ("NOT_FOUND", "CARD_NOT_FOUND")


async def test_other_currency_is_refused(mesh: AuthzMesh) -> None:
    request = reversal_of(await approved(mesh, await mesh.card(), 1_000), 10)
    request.amount.currency_code = "EUR"
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.ReverseAuthorization, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["amount.currency_code"])


async def test_sum_beyond_what_is_exact_is_refused(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    await _reverse(mesh, reversal_of(held, 2**53 - 1))
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.ReverseAuthorization, reversal_of(held, 1))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "AMOUNT_OVERFLOW")


async def test_wrong_fields_are_all_named_and_nothing_is_written(mesh: AuthzMesh) -> None:
    request = rpc.ReverseAuthorizationRequest(amount=usd(0))
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.ReverseAuthorization, request)
    assert error.code.name == "INVALID_ARGUMENT"
    assert error.fields == ["request_id", "amount.amount_minor", "authorization_id"]
