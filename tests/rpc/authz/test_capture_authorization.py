"""CaptureAuthorization: what clears posts, once, whatever happened to card and hold before."""

from __future__ import annotations

import asyncio

import pytest

from authz import ledger_store
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2 as projection
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
    NETWORK,
    OTHER_NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
)


def cleared(
    authorization_id: str, amount_minor: int, reference: str, *, sequence: int = 0
) -> rpc.CaptureAuthorizationRequest:
    """A clearing with the network's reference."""
    request = capture_of(authorization_id, amount_minor)
    request.clearing_reference = reference
    request.clearing_sequence = sequence
    return request


async def _capture(
    mesh: AuthzMesh, request: rpc.CaptureAuthorizationRequest
) -> rpc.CaptureAuthorizationResponse:
    answer: rpc.CaptureAuthorizationResponse = await mesh.authorization.CaptureAuthorization(
        request, metadata=NETWORK
    )
    return answer


async def test_full_capture(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    answer = await _capture(mesh, capture_of(held, 1_000))
    assert answer.authorization_id == held
    assert answer.state == pb.Authorization.STATE_CAPTURED
    assert (answer.posted_amount, answer.captured_amount) == (usd(1_000), usd(1_000))
    assert (answer.held_amount, answer.available_credit) == (usd(0), usd(99_000))
    assert answer.record_time.ToMilliseconds() == mesh.clock.now_ms()
    assert await balance(mesh, account) == (1_000, 0, 99_000)


async def test_captures_in_parts_add_up(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    first = await _capture(mesh, capture_of(held, 300))
    assert (first.state, first.held_amount) == (pb.Authorization.STATE_PENDING, usd(700))
    second = await _capture(mesh, capture_of(held, 600))
    assert (second.captured_amount, second.held_amount) == (usd(900), usd(100))
    assert await balance(mesh, account) == (900, 100, 99_000)


async def test_final_capture_releases_the_rest(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    answer = await _capture(mesh, capture_of(held, 300, final=True))
    assert (answer.state, answer.held_amount) == (pb.Authorization.STATE_CAPTURED, usd(0))
    assert await balance(mesh, account) == (300, 0, 99_700)


async def test_over_capture_posts_and_credit_may_go_negative(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(1_000)
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    answer = await _capture(mesh, capture_of(held, 2_500))
    assert (answer.captured_amount, answer.held_amount) == (usd(2_500), usd(0))
    assert answer.available_credit == usd(-1_500)
    assert await balance(mesh, account) == (2_500, 0, -1_500)


async def test_another_hold_of_the_account_is_not_touched(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    await approved(mesh, card, 5_000)
    await _capture(mesh, capture_of(held, 1_000))
    await _capture(mesh, capture_of(held, 1_000))
    assert await balance(mesh, account) == (2_000, 5_000, 93_000)


@pytest.mark.parametrize("state", [projection.CARD_STATE_FROZEN, projection.CARD_STATE_CLOSED])
async def test_capture_posts_after_the_card_was_stopped(
    mesh: AuthzMesh, state: projection.CardState.ValueType
) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    await mesh.apply_card(card, account, version=2, state=state)
    await mesh.apply_account(account, version=2, state=projection.ACCOUNT_STATE_CLOSING)
    await _capture(mesh, capture_of(held, 1_000))
    assert await balance(mesh, account) == (1_000, 0, 99_000)


async def test_capture_posts_after_a_full_reversal_and_after_a_decline(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    await mesh.authorization.ReverseAuthorization(reversal_of(held), metadata=NETWORK)
    answer = await _capture(mesh, capture_of(held, 400))
    assert (answer.state, answer.held_amount) == (pb.Authorization.STATE_CAPTURED, usd(0))
    declined = await mesh.authorization.Authorize(purchase(card, 9_000), metadata=NETWORK)
    await _capture(mesh, capture_of(declined.authorization_id, 100))
    assert await balance(mesh, account) == (500, 0, 500)


async def test_capture_may_come_before_its_authorization(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    early = await _capture(mesh, by_network(capture_of("", 300), card, "t1"))
    assert (early.state, early.held_amount) == (pb.Authorization.STATE_CAPTURED, usd(0))
    found = await fetched(mesh, early.authorization_id)
    assert found.decision == pb.DECISION_UNSPECIFIED
    assert (found.authorized_amount, found.captured_amount) == (usd(0), usd(300))
    answer = await mesh.authorization.Authorize(
        network_purchase(card, 1_000, "t1"), metadata=NETWORK
    )
    assert answer.decision == pb.DECISION_APPROVED
    assert answer.authorization_id == early.authorization_id
    assert await balance(mesh, account) == (300, 700, 99_000)
    found = await fetched(mesh, early.authorization_id)
    assert (found.state, found.decision) == (
        pb.Authorization.STATE_PENDING,
        pb.DECISION_APPROVED,
    )
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    assert await fetched(mesh, early.authorization_id) == found


async def test_final_capture_before_its_authorization_leaves_no_hold(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await _capture(mesh, by_network(capture_of("", 300, final=True), card, "t1"))
    await mesh.authorization.Authorize(network_purchase(card, 1_000, "t1"), metadata=NETWORK)
    assert await balance(mesh, account) == (300, 0, 99_700)


async def test_network_reference_meets_the_authorization(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await mesh.authorization.Authorize(network_purchase(card, 1_000, "t1"), metadata=NETWORK)
    answer = await _capture(mesh, by_network(capture_of("", 1_000), card, "t1"))
    assert answer.authorization_id == held.authorization_id
    assert await balance(mesh, account) == (1_000, 0, 99_000)


async def test_two_simultaneous_captures_both_post_once(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    requests = [capture_of(held, 1_000), capture_of(held, 1_000)]
    await asyncio.gather(
        *(answered(mesh.authorization.CaptureAuthorization, r) for r in requests * 10)
    )
    assert await balance(mesh, account) == (2_000, 0, 98_000)
    assert await mesh.settle() == 5


async def test_replay_is_the_same_answer_byte_for_byte(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    request = capture_of(held, 300)
    first, stored = await answered(mesh.authorization.CaptureAuthorization, request)
    assert not stored
    await _capture(mesh, capture_of(held, 100))
    mesh.clock.advance(5_000)
    async with nothing_written(mesh.money):
        again, stored = await answered(mesh.authorization.CaptureAuthorization, request)
    assert stored
    assert again.SerializeToString() == first.SerializeToString()
    assert await balance(mesh, account) == (400, 600, 99_000)


async def test_replay_is_answered_from_the_ledger_when_its_record_is_gone(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    request = cleared(held, 300, "arn-1")
    first, _ = await answered(mesh.authorization.CaptureAuthorization, request)
    await mesh.settle()
    assert await expire_records(mesh.money, "req", "clr") == 3
    async with nothing_written(mesh.money):
        again, stored = await answered(mesh.authorization.CaptureAuthorization, request)
        assert stored
        assert again.SerializeToString() == first.SerializeToString()
        request.amount.amount_minor = 301
        error = await refused(mesh.authorization.CaptureAuthorization, request)
        assert error.reason == "REQUEST_ID_REUSED"
    assert await balance(mesh, account) == (300, 700, 99_000)


async def test_record_about_to_expire_is_not_relied_on(mesh: AuthzMesh) -> None:
    """Between the look and the script it could vanish, and the clearing would post twice."""
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    request = capture_of(held, 300)
    first = await _capture(mesh, request)
    await mesh.settle()
    async for key in mesh.money.scan_iter(match="*:req:*"):
        await mesh.money.pexpire(key, 30_000)
    look = mesh.worker.store.known

    async def then_gone(*names: str) -> list[bool]:
        found = await look(*names)
        await expire_records(mesh.money, "req")
        return found

    mesh.worker.store.known = then_gone  # type: ignore[method-assign]
    again, stored = await answered(mesh.authorization.CaptureAuthorization, request)
    assert stored
    assert again == first
    assert await balance(mesh, account) == (300, 700, 99_000)


async def test_ledger_that_does_not_answer_is_not_waited_for(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is posted without the ledger's memory; purchases and reversals go on."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)

    class Silent:
        async def fetch(self, *_: object) -> None:
            await asyncio.sleep(60)

    # Undone here: the worker that ends has a pool to close.
    with monkeypatch.context() as patch:
        patch.setattr(ledger_store, "WAIT_S", 0.02)
        patch.setattr(mesh.worker.ledger, "_pool", Silent())
        async with nothing_written(mesh.money):
            error = await refused(mesh.authorization.CaptureAuthorization, capture_of(held, 1))
        assert (error.code.name, error.reason) == ("UNAVAILABLE", "LEDGER_UNREACHABLE")
        await mesh.authorization.ReverseAuthorization(reversal_of(held, 100), metadata=NETWORK)
        await approved(mesh, card, 5)
        assert await balance(mesh, account) == (0, 905, 99_095)


async def test_one_id_in_two_partitions_is_answered_from_its_own_entry(mesh: AuthzMesh) -> None:
    """Records are kept per partition: the ledger must tell the two entries apart."""
    ours = await approved(mesh, await mesh.card(), 100)
    card = await mesh.issue_card(await mesh.open_account(partition=11))
    other = await approved(mesh, card, 100)
    first = await _capture(mesh, capture_of(ours, 10, "same"))
    mesh.clock.advance(1)
    second = await _capture(mesh, capture_of(other, 20, "same"))
    await mesh.settle()
    await expire_records(mesh.money, "req")
    assert await _capture(mesh, capture_of(ours, 10, "same")) == first
    assert await _capture(mesh, capture_of(other, 20, "same")) == second


async def test_clearing_posts_once_whatever_its_request_ids(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    first = await _capture(mesh, cleared(held, 300, "arn-1"))
    again, stored = await answered(
        mesh.authorization.CaptureAuthorization, cleared(held, 300, "arn-1")
    )
    assert stored
    assert again == first
    await _capture(mesh, cleared(held, 300, "arn-1", sequence=1))
    assert await balance(mesh, account) == (600, 400, 99_000)


async def test_request_id_of_a_repeated_clearing_is_taken(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    await _capture(mesh, cleared(held, 300, "arn-1"))
    second = cleared(held, 300, "arn-1")
    await _capture(mesh, second)
    second.clearing_reference = ""
    error = await refused(mesh.authorization.CaptureAuthorization, second)
    assert error.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("change", ["amount", "final", "authorization"])
async def test_clearing_with_other_content_is_refused(
    mesh: AuthzMesh, change: str, *, late: bool
) -> None:
    """Also when only the ledger remembers it; and also without a network."""
    card = await mesh.card()
    held = await approved(mesh, card, 1_000)
    other = await approved(mesh, card, 1_000)
    await _capture(mesh, cleared(held, 300, "arn-1"))
    if late:
        await mesh.settle()
        await expire_records(mesh.money, "req", "clr")
    request = cleared(held, 300, "arn-1")
    request.final = change == "final"
    request.amount.amount_minor += change == "amount"
    request.authorization_id = other if change == "authorization" else held
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.CaptureAuthorization, request)
    assert error.code.name == "ALREADY_EXISTS"
    assert error.reason == "CLEARING_REUSED"
    assert error.metadata == {"field": "clearing_reference"}


@pytest.mark.parametrize("network", ["", "visa"])
async def test_clearing_is_remembered_by_the_ledger(mesh: AuthzMesh, network: str) -> None:
    account = await mesh.open_account()
    request = purchase(await mesh.issue_card(account), 1_000)
    request.network_data.network = network
    held = (await mesh.authorization.Authorize(request, metadata=NETWORK)).authorization_id
    first = await _capture(mesh, cleared(held, 300, "arn-1"))
    await mesh.settle()
    await expire_records(mesh.money, "req", "clr")
    again, stored = await answered(
        mesh.authorization.CaptureAuthorization, cleared(held, 300, "arn-1")
    )
    assert stored
    assert again == first
    assert await balance(mesh, account) == (300, 700, 99_000)


async def test_capture_starts_from_the_ledger_when_the_hold_is_gone(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    open_hold = await approved(mesh, card, 1_000)
    closed_hold = await approved(mesh, card, 500)
    await _capture(mesh, capture_of(closed_hold, 200, final=True))
    await mesh.settle()
    assert await expire_records(mesh.money, "hold") == 2
    late = await _capture(mesh, capture_of(closed_hold, 50))
    assert (late.captured_amount, late.held_amount) == (usd(250), usd(0))
    part = await _capture(mesh, capture_of(open_hold, 300))
    assert (part.captured_amount, part.held_amount) == (usd(300), usd(700))
    assert await balance(mesh, account) == (550, 700, 98_750)
    found = await fetched(mesh, closed_hold)
    assert found.decision == pb.DECISION_APPROVED
    assert found.captured_amount == usd(250)
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    assert await fetched(mesh, closed_hold) == found


@pytest.mark.parametrize("settled", [False, True])
async def test_another_caller_s_authorization_is_not_found(
    mesh: AuthzMesh, *, settled: bool
) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    if settled:
        await mesh.settle()
        await expire_records(mesh.money, "hold")
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.CaptureAuthorization, capture_of(held, 10), metadata=OTHER_NETWORK
        )
    assert error.code.name == "NOT_FOUND"
    assert error.reason == "AUTHORIZATION_NOT_FOUND"


async def test_administrator_captures_for_others(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    answer = await mesh.authorization.CaptureAuthorization(capture_of(held, 10), metadata=ADMIN)
    assert answer.captured_amount == usd(10)
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    assert (await fetched(mesh, held)).captured_amount == usd(10)


async def test_unknown_authorization_is_not_found(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.CaptureAuthorization, capture_of(UNKNOWN_AUTHORIZATION, 10)
        )
    assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")


async def test_unknown_card_of_a_network_reference_is_not_found(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.CaptureAuthorization,
            by_network(capture_of("", 10), UNKNOWN_CARD, "t1"),
        )
    assert (error.code.name, error.reason) == ("NOT_FOUND", "CARD_NOT_FOUND")


async def test_other_currency_is_refused(mesh: AuthzMesh) -> None:
    request = capture_of(await approved(mesh, await mesh.card(), 1_000), 10)
    request.amount.currency_code = "EUR"
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.CaptureAuthorization, request)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["amount.currency_code"])


async def test_balance_beyond_what_is_exact_is_refused(mesh: AuthzMesh) -> None:
    """Lua's numbers are doubles: the largest exact balance posts, one cent more does not."""
    account = await mesh.open_account(2**53 - 1)
    held = await approved(mesh, await mesh.issue_card(account), 2**53 - 1)
    await _capture(mesh, capture_of(held, 2**53 - 2))
    assert await balance(mesh, account) == (2**53 - 2, 1, 0)
    async with nothing_written(mesh.money):
        error = await refused(mesh.authorization.CaptureAuthorization, capture_of(held, 2))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "AMOUNT_OVERFLOW")
    await _capture(mesh, capture_of(held, 1))
    assert await balance(mesh, account) == (2**53 - 1, 0, 0)


async def test_wrong_fields_are_all_named_and_nothing_is_written(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.CaptureAuthorization, rpc.CaptureAuthorizationRequest()
        )
    assert error.code.name == "INVALID_ARGUMENT"
    assert error.fields == ["request_id", "amount", "authorization_id"]
