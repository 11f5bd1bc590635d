"""Bugs that systems like this one really had, one test each, named after where they were seen."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from holdfast.authz.v1 import authorization_pb2 as pb
from tests.authz_audit import audit
from tests.authz_checks import (
    answered,
    approved,
    balance,
    expire_records,
    fetched,
    nothing_written,
    refused,
)
from tests.authz_mesh import (
    ACCOUNTS,
    ADMIN,
    NETWORK,
    AuthzMesh,
    capture_of,
    purchase,
    reversal_of,
    until_serving,
)
from tests.authz_messages import (
    credit,
    expiry_of,
    forced,
    increment_of,
    refund_of,
    release,
)


async def test_midaz_1519_one_of_two_simultaneous_commits_succeeds(mesh: AuthzMesh) -> None:
    """LerianStudio/midaz #1519: two commits of one pending transaction both succeeded."""
    account = await mesh.open_account()
    held = await approved(mesh, await mesh.issue_card(account), 1_000)
    captures = [capture_of(held, 1_000, final=True) for _ in range(10)]
    for request in captures:
        request.clearing_reference = "arn-1"
    answers = await asyncio.gather(
        *(answered(mesh.authorization.CaptureAuthorization, request) for request in captures)
    )
    assert sum(not stored for _, stored in answers) == 1
    payment = mesh.ids.new("pay", 10)
    await mesh.posting.CreditPayment(credit(account, payment, 400), metadata=ACCOUNTS)
    releases = await asyncio.gather(
        *(
            mesh.posting.ReleasePayment(release(account, payment), metadata=ACCOUNTS)
            for _ in range(10)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, grpc.aio.AioRpcError) for one in releases) == 1
    assert await balance(mesh, account) == (600, 0, 99_400)
    await audit(mesh, account)


async def test_midaz_1837_settling_drops_and_stales_nothing(mesh: AuthzMesh) -> None:
    """LerianStudio/midaz #1837: write-behind dropped balances or wrote older ones last. Here the
    ledger's balance never goes back while messages come, and ends where Valkey is.
    """
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    seen: list[int] = []

    async def spend() -> None:
        for _ in range(40):
            held = await approved(mesh, card, 10)
            await mesh.authorization.CaptureAuthorization(capture_of(held, 10), metadata=NETWORK)

    async def settle() -> None:
        while not spending.done():
            await mesh.settle()
            seq = "SELECT seq FROM account_balance WHERE account_id = $1"
            seen.append(await mesh.ledger.fetchval(seq, account) or 0)

    spending = asyncio.gather(spend(), spend(), spend())
    await asyncio.gather(spending, settle())
    assert seen == sorted(seen)
    assert await balance(mesh, account) == (1_200, 0, 98_800)
    await audit(mesh, account)


async def test_midaz_2317_and_2437_over_the_limit_and_two_phases(mesh: AuthzMesh) -> None:
    """LerianStudio/midaz #2317, #2437: overdrafts corrupted balances of pending transactions."""
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    first, second = await approved(mesh, card, 400), await approved(mesh, card, 600)
    stub = mesh.authorization
    await stub.ForcePost(forced(card, 900), metadata=NETWORK)
    assert await balance(mesh, account) == (900, 1_000, -900)
    await stub.CaptureAuthorization(capture_of(first, 700), metadata=NETWORK)
    assert await balance(mesh, account) == (1_600, 600, -1_200)
    await stub.ReverseAuthorization(reversal_of(second), metadata=NETWORK)
    assert await balance(mesh, account) == (1_600, 0, -600)
    await stub.Refund(refund_of(first, 1_700), metadata=NETWORK)
    assert await balance(mesh, account) == (-100, 0, 1_100)
    await audit(mesh, account)


async def test_blnk_181_holds_lower_available_credit_at_once(mesh: AuthzMesh) -> None:
    """blnkfinance/blnk #181: holds were missing from the available balance."""
    account = await mesh.open_account(1_000)
    card = await mesh.issue_card(account)
    for number in range(1, 11):
        answer = await mesh.authorization.Authorize(purchase(card, 100), metadata=NETWORK)
        assert answer.available_credit.amount_minor == 1_000 - number * 100
        assert await balance(mesh, account) == (0, number * 100, 1_000 - number * 100)
    answer = await mesh.authorization.Authorize(purchase(card, 1), metadata=NETWORK)
    assert answer.decision == pb.DECISION_DECLINED
    await audit(mesh, account)


async def test_blnk_182_rejected_hold_is_never_applied_later(mesh: AuthzMesh) -> None:
    """blnkfinance/blnk #182: a rejected hold was applied later. Neither more credit, nor any later
    message, nor the way through the ledger makes a hold of a decline.
    """
    account = await mesh.open_account(100)
    card = await mesh.issue_card(account)
    request = purchase(card, 500)
    declined = await mesh.authorization.Authorize(request, metadata=NETWORK)
    assert declined.decision == pb.DECISION_DECLINED
    name = declined.authorization_id
    await mesh.apply_account(account, version=2, limit_minor=10_000)
    for gone in (False, True):
        if gone:
            await mesh.settle()
            await expire_records(mesh.money, "hold")
        error = await refused(mesh.authorization.IncrementAuthorization, increment_of(name, 10))
        assert error.reason == "AUTHORIZATION_CLOSED"
        await mesh.authorization.ReverseAuthorization(reversal_of(name, 1), metadata=NETWORK)
        await mesh.authorization.ExpireAuthorization(expiry_of(name), metadata=ADMIN)
        assert await mesh.authorization.Authorize(request, metadata=NETWORK) == declined
        assert (await fetched(mesh, name)).state == pb.Authorization.STATE_DECLINED
        assert await balance(mesh, account) == (0, 0, 10_000)
    await audit(mesh, account)


async def test_capture_never_eats_another_hold_of_the_account(mesh: AuthzMesh) -> None:
    """A second capture was accepted because *other* holds existed on the account. Here clearings
    always post; but what exceeds its own hold leaves every other one as it is.
    """
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    ours, other = await approved(mesh, card, 1_000), await approved(mesh, card, 3_000)
    for number in (1, 2, 3):
        await mesh.authorization.CaptureAuthorization(capture_of(ours, 1_000), metadata=NETWORK)
        posted = number * 1_000
        assert await balance(mesh, account) == (posted, 3_000, 97_000 - posted)
    assert (await fetched(mesh, other)).held_amount.amount_minor == 3_000
    answer = await mesh.authorization.ReverseAuthorization(reversal_of(ours), metadata=NETWORK)
    assert answer.released_amount.amount_minor == 0
    await audit(mesh, account)


async def test_twilio_2013_empty_balances_charge_nobody(mesh: AuthzMesh) -> None:
    """Twilio, July 2013: balances came back empty, and cards were charged again and again."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await mesh.authorization.ForcePost(forced(card, 1_000), metadata=NETWORK)
    await mesh.settle()
    await mesh.money.flushall()
    calls: tuple[tuple[Any, Any], ...] = (
        (mesh.authorization.ForcePost, forced(card, 1_000)),
        (mesh.authorization.Authorize, purchase(card, 1_000)),
    )
    async with nothing_written(mesh.money):
        for method, message in calls * 2:
            assert (await refused(method, message)).code is grpc.StatusCode.UNAVAILABLE
    count = "SELECT count(*) FROM journal_entry WHERE type = 'P'"
    assert await mesh.ledger.fetchval(count) == 1


@pytest.mark.parametrize("message", ["purchase", "clearing"])
async def test_twilio_2013_read_only_balances_charge_nobody(mesh: AuthzMesh, message: str) -> None:
    """The same day they were read-only, too: the charge happened, its record did not. Here one that
    cannot be recorded does not happen; repeated once writing works again, it happens once.
    """
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    method: Any = mesh.authorization.ForcePost
    request: Any = forced(card, 1_000)
    if message == "purchase":
        method, request = mesh.authorization.Authorize, purchase(card, 1_000)
    await mesh.money.config_set("min-replicas-to-write", 1)
    try:
        async with nothing_written(mesh.money):
            for _ in range(3):
                error = await refused(method, request)
                assert error.code is grpc.StatusCode.UNAVAILABLE
    finally:
        await mesh.money.config_set("min-replicas-to-write", 0)
    await until_serving(mesh.server)
    for _ in range(3):
        await method(request, metadata=NETWORK)
    assert (await balance(mesh, account))[2] == 99_000
    await audit(mesh, account)
