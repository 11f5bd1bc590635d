"""Two messages at once. Whichever wins, no credit is made and none is lost, and Valkey and ledger
agree afterwards. Each race is run several times, for luck to take every side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.authz_audit import audit
from tests.authz_checks import answered, approved, balance, by_network, network_purchase
from tests.authz_mesh import (
    ACCOUNTS,
    ADMIN,
    NETWORK,
    OTHER_NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
)
from tests.authz_messages import (
    advice,
    credit,
    expiry_of,
    forced,
    increment_of,
    refund_of,
    release,
    returned,
)

ROUNDS = 8
LIMIT = 100_000


async def _together(*calls: Awaitable[Any]) -> list[Any]:
    """All at once; refusals of the authorizer are results, anything else is not."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            assert isinstance(result, grpc.aio.AioRpcError), result
            assert result.code() is grpc.StatusCode.FAILED_PRECONDITION, result
    return results


def _refusals(results: list[Any]) -> int:
    return sum(isinstance(result, BaseException) for result in results)


async def test_capture_and_capture(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    stub = mesh.authorization
    for number in range(1, ROUNDS + 1):
        held = await approved(mesh, card, 1_000)
        await _together(
            stub.CaptureAuthorization(capture_of(held, 600), metadata=NETWORK),
            stub.CaptureAuthorization(capture_of(held, 500), metadata=NETWORK),
        )
        assert await balance(mesh, account) == (number * 1_100, 0, LIMIT - number * 1_100)
    await audit(mesh, account)


async def test_capture_and_expire(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    stub = mesh.authorization
    for number in range(1, ROUNDS + 1):
        held = await approved(mesh, card, 1_000)
        _, expired = await _together(
            stub.CaptureAuthorization(capture_of(held, 600), metadata=NETWORK),
            stub.ExpireAuthorization(expiry_of(held), metadata=ADMIN),
        )
        assert expired.released_amount.amount_minor in (400, 1_000)
        assert await balance(mesh, account) == (number * 600, 0, LIMIT - number * 600)
    await audit(mesh, account)


async def test_capture_and_sweep(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = [await approved(mesh, card, 1_000) for _ in range(ROUNDS)]
    await mesh.settle()
    mesh.clock.advance(40 * 86_400_000)
    await _together(
        mesh.worker.sweeper.sweep(),
        *(
            mesh.authorization.CaptureAuthorization(capture_of(one, 600), metadata=NETWORK)
            for one in held
        ),
    )
    assert await balance(mesh, account) == (ROUNDS * 600, 0, LIMIT - ROUNDS * 600)
    await audit(mesh, account)


async def test_capture_and_reverse(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    stub = mesh.authorization
    for number in range(1, ROUNDS + 1):
        held = await approved(mesh, card, 1_000)
        _, given_back = await _together(
            stub.CaptureAuthorization(capture_of(held, 600), metadata=NETWORK),
            stub.ReverseAuthorization(reversal_of(held), metadata=NETWORK),
        )
        assert given_back.released_amount.amount_minor in (400, 1_000)
        assert await balance(mesh, account) == (number * 600, 0, LIMIT - number * 600)
    await audit(mesh, account)


@pytest.mark.parametrize("end", ["reverse", "expire"])
async def test_increment_and_the_end(mesh: AuthzMesh, end: str) -> None:
    """The increment is either released with the rest, or refused: never left over."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    stub = mesh.authorization
    for _ in range(ROUNDS):
        held = await approved(mesh, card, 1_000)
        closing: Any = (
            stub.ReverseAuthorization(reversal_of(held), metadata=NETWORK)
            if end == "reverse"
            else stub.ExpireAuthorization(expiry_of(held), metadata=ADMIN)
        )
        increment = stub.IncrementAuthorization(increment_of(held, 500), metadata=NETWORK)
        grown, closed = await _together(increment, closing)
        refused = isinstance(grown, BaseException)
        assert closed.released_amount.amount_minor == (1_000 if refused else 1_500)
        assert await balance(mesh, account) == (0, 0, LIMIT)
    await audit(mesh, account)


async def test_freeze_and_authorize(mesh: AuthzMesh) -> None:
    """Once the freeze is answered, nothing is approved any more."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    approvals = 0
    for version in range(2, 2 * ROUNDS, 2):
        answers = await _together(
            mesh.apply_card(card, account, version=version, state=projection.CARD_STATE_FROZEN),
            *(
                mesh.authorization.Authorize(purchase(card, 100), metadata=NETWORK)
                for _ in range(5)
            ),
        )
        approvals += sum(one.decision == pb.DECISION_APPROVED for one in answers[1:])
        after = await mesh.authorization.Authorize(purchase(card, 100), metadata=NETWORK)
        assert after.decision == pb.DECISION_DECLINED
        await mesh.apply_card(card, account, version=version + 1)
    assert await balance(mesh, account) == (0, approvals * 100, LIMIT - approvals * 100)
    await audit(mesh, account)


async def test_limit_change_and_authorize(mesh: AuthzMesh) -> None:
    """An approval fits into the limit before or after the change."""
    account = await mesh.open_account(0)
    card = await mesh.issue_card(account)
    for version in range(2, 2 * ROUNDS, 2):
        _, *answers = await _together(
            mesh.apply_account(account, version=version, limit_minor=1_000),
            *(
                mesh.authorization.Authorize(purchase(card, 400), metadata=NETWORK)
                for _ in range(6)
            ),
        )
        held = [one for one in answers if one.decision == pb.DECISION_APPROVED]
        assert len(held) <= 2
        posted, on_hold, available = await balance(mesh, account)
        assert (posted, on_hold, available) == (0, len(held) * 400, 1_000 - len(held) * 400)
        for one in held:
            await mesh.authorization.ReverseAuthorization(
                reversal_of(one.authorization_id), metadata=NETWORK
            )
        await mesh.apply_account(account, version=version + 1, limit_minor=0)
    await audit(mesh, account)


async def test_one_request_fifty_times(mesh: AuthzMesh) -> None:
    """Every mutation: it happens once, and everybody hears the same answer."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    payment = mesh.ids.new("pay", 10)
    stub, posts = mesh.authorization, mesh.posting
    for method, request, caller in (
        (stub.Authorize, purchase(card, 100), NETWORK),
        (stub.Authorize, advice(card, 100), NETWORK),
        (stub.IncrementAuthorization, increment_of(held, 100), NETWORK),
        (stub.CaptureAuthorization, capture_of(held, 200), NETWORK),
        (stub.ReverseAuthorization, reversal_of(held, 50), NETWORK),
        (stub.ForcePost, forced(card, 300), NETWORK),
        (stub.Refund, refund_of(held, 40), NETWORK),
        (stub.ExpireAuthorization, expiry_of(held), ADMIN),
        (posts.CreditPayment, credit(account, payment, 70), ACCOUNTS),
        (posts.ReleasePayment, release(account, payment), ACCOUNTS),
        (posts.ReturnPayment, returned(account, payment), ACCOUNTS),
    ):
        answers = await asyncio.gather(
            *(answered(method, request, metadata=caller) for _ in range(50))
        )
        assert len({answer.SerializeToString() for answer, _ in answers}) == 1
        assert sum(not stored for _, stored in answers) == 1
    assert await balance(mesh, account) == (460, 200, LIMIT - 660)
    await audit(mesh, account)


async def test_one_clearing_under_fifty_request_ids(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    requests = [capture_of(held, 600) for _ in range(50)]
    for request in requests:
        request.clearing_reference = "arn-1"
    await asyncio.gather(
        *(mesh.authorization.CaptureAuthorization(one, metadata=NETWORK) for one in requests)
    )
    assert await balance(mesh, account) == (600, 400, LIMIT - 1_000)
    await audit(mesh, account)


async def test_single_use_card_fifty_times(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account, single_use=True)
    answers = await _together(
        *(mesh.authorization.Authorize(purchase(card, 100), metadata=NETWORK) for _ in range(50))
    )
    assert sum(one.decision == pb.DECISION_APPROVED for one in answers) == 1
    assert await balance(mesh, account) == (0, 100, LIMIT - 100)
    await audit(mesh, account)


async def test_release_and_return(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    for _ in range(ROUNDS):
        payment = mesh.ids.new("pay", 10)
        await mesh.posting.CreditPayment(credit(account, payment, 400), metadata=ACCOUNTS)
        results = await _together(
            *(
                mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
                for _ in range(3)
            ),
            *(
                mesh.posting.ReturnPayment(returned(account, payment), metadata=ACCOUNTS)
                for _ in range(3)
            ),
        )
        assert _refusals(results[3:]) == 2
        assert _refusals(results[:3]) >= 2
        assert await balance(mesh, account) == (0, 0, LIMIT)
    await audit(mesh, account)


async def test_equal_request_ids_of_two_callers(mesh: AuthzMesh) -> None:
    """Each is answered its own."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    pairs = [(purchase(card, 100, f"same-{n}"), purchase(card, 200, f"same-{n}")) for n in range(9)]
    ours, theirs = [], []
    for one, other in pairs:
        mine, yours = await _together(
            mesh.authorization.Authorize(one, metadata=NETWORK),
            mesh.authorization.Authorize(other, metadata=OTHER_NETWORK),
        )
        ours.append(mine.approved_amount.amount_minor)
        theirs.append(yours.approved_amount.amount_minor)
    assert (set(ours), set(theirs)) == ({100}, {200})
    assert await balance(mesh, account) == (0, 2_700, LIMIT - 2_700)
    await audit(mesh, account)


async def test_authorization_capture_and_reversal_in_any_order(mesh: AuthzMesh) -> None:
    """By the network's reference, all three at once: one authorization, one set of events."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    stub = mesh.authorization
    for number in range(1, ROUNDS + 1):
        name = f"t{number}"
        answers = await _together(
            stub.Authorize(network_purchase(card, 1_000, name), metadata=NETWORK),
            stub.CaptureAuthorization(
                by_network(capture_of("", 300), card, name), metadata=NETWORK
            ),
            stub.ReverseAuthorization(
                by_network(reversal_of("", 200), card, name), metadata=NETWORK
            ),
        )
        assert len({answer.authorization_id for answer in answers}) == 1
        assert (await balance(mesh, account))[:2] == (number * 300, number * 500)
    await audit(mesh, account)
