"""ExpireAuthorization and the sweeper: releases what is held, and never stops a clearing."""

from __future__ import annotations

import asyncio

from authz import keys
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import movement_pb2 as movements
from tests.authz_audit import audit, repeats
from tests.authz_checks import (
    UNKNOWN_AUTHORIZATION,
    approved,
    balance,
    expire_records,
    fetched,
    nothing_written,
    refused,
    usd,
)
from tests.authz_mesh import ADMIN, NETWORK, AuthzMesh, capture_of
from tests.authz_messages import expiry_of

DAY_MS = 86_400_000


async def _expire(
    mesh: AuthzMesh, request: movements.ExpireAuthorizationRequest
) -> movements.ExpireAuthorizationResponse:
    answer: movements.ExpireAuthorizationResponse = await mesh.authorization.ExpireAuthorization(
        request, metadata=ADMIN
    )
    return answer


async def test_expiry_releases_the_rest_and_a_clearing_still_posts(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    answer = await _expire(mesh, expiry_of(held))
    assert (answer.authorization_id, answer.state) == (held, pb.Authorization.STATE_EXPIRED)
    assert (answer.released_amount, answer.available_credit) == (usd(1_000), usd(100_000))
    assert answer.record_time.ToMilliseconds() == mesh.clock.now_ms()
    await mesh.authorization.CaptureAuthorization(capture_of(held, 1_200), metadata=NETWORK)
    assert await balance(mesh, account) == (1_200, 0, 98_800)
    assert (await fetched(mesh, held)).state == pb.Authorization.STATE_CAPTURED
    await audit(mesh, account)


async def test_expired_twice_releases_once(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    await asyncio.gather(*(_expire(mesh, expiry_of(held)) for _ in range(10)))
    assert (await _expire(mesh, expiry_of(held))).released_amount == usd(0)
    assert await balance(mesh, account) == (0, 0, 100_000)


async def test_repetition_is_the_same_answer(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    request = expiry_of(await approved(mesh, card, 1_000))
    altered = expiry_of(await approved(mesh, card, 1_000))
    altered.request_id = request.request_id
    await repeats(mesh, mesh.authorization.ExpireAuthorization, request, altered, metadata=ADMIN)
    assert await balance(mesh, account) == (0, 1_000, 99_000)
    await audit(mesh, account)


async def test_expiry_starts_from_the_ledger_when_the_hold_is_gone(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    await mesh.settle()
    await expire_records(mesh.money, "hold")
    assert (await _expire(mesh, expiry_of(held))).released_amount == usd(1_000)
    await audit(mesh, account)


async def test_whose_authorization_it_is(mesh: AuthzMesh) -> None:
    held = await approved(mesh, await mesh.card(), 1_000)
    method = mesh.authorization.ExpireAuthorization
    async with nothing_written(mesh.money):
        error = await refused(method, expiry_of(UNKNOWN_AUTHORIZATION), metadata=ADMIN)
        assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
        error = await refused(method, expiry_of(held), metadata=NETWORK)
        assert error.code.name == "PERMISSION_DENIED"
    assert (await method(expiry_of(held), metadata=ADMIN)).released_amount == usd(1_000)


async def test_wrong_fields_are_named(mesh: AuthzMesh) -> None:
    async with nothing_written(mesh.money):
        error = await refused(
            mesh.authorization.ExpireAuthorization,
            movements.ExpireAuthorizationRequest(),
            metadata=ADMIN,
        )
    assert error.code.name == "INVALID_ARGUMENT"
    assert error.fields == ["request_id", "authorization_id"]


async def test_sweeper_expires_what_is_due_and_nothing_else(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    due = (await fetched(mesh, held)).expire_time.ToMilliseconds()
    mesh.clock.advance(DAY_MS)
    later = await approved(mesh, card, 500)
    assert await mesh.worker.sweeper.sweep() == 0
    mesh.clock.advance(due - mesh.clock.now_ms() - 1)
    assert await mesh.worker.sweeper.sweep() == 0
    mesh.clock.advance(1)
    assert await mesh.worker.sweeper.sweep() == 1
    assert await mesh.worker.sweeper.sweep() == 0
    assert (await fetched(mesh, held)).state == pb.Authorization.STATE_EXPIRED
    assert (await fetched(mesh, later)).state == pb.Authorization.STATE_PENDING
    assert await balance(mesh, account) == (0, 500, 99_500)
    await audit(mesh, account)


async def test_expiry_that_moved_is_not_due_and_the_index_is_put_right(mesh: AuthzMesh) -> None:
    """What the index says is only a hint: the script reads the hold again."""
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    index, key = keys.expiry(held[5:7]), keys.hold(held)
    right = await mesh.money.zscore(index, key)
    await mesh.money.zadd(index, {key: 1})
    assert await mesh.worker.sweeper.sweep() == 0
    assert await mesh.money.zscore(index, key) == right
    stray = keys.hold(await approved(mesh, await mesh.issue_card(account), 0))
    await mesh.money.zadd(index, {stray: 1})
    assert await mesh.worker.sweeper.sweep() == 0
    assert await mesh.money.zscore(index, stray) is None
    assert await balance(mesh, account) == (0, 1_000, 99_000)
    await audit(mesh, account)


async def test_two_sweepers_expire_once(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    for _ in range(20):
        await approved(mesh, card, 100)
    mesh.clock.advance(40 * DAY_MS)
    sweeper = mesh.worker.sweeper
    await asyncio.gather(*(sweeper.sweep() for _ in range(3)))
    assert await balance(mesh, account) == (0, 0, 100_000)
    await audit(mesh, account)
