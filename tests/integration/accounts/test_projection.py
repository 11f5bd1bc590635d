from __future__ import annotations

import asyncio

import grpc
import pytest

from holdfast.accounts.v1.account_service_pb2 import GetAccountRequest, OpenAccountRequest
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.accounts_mesh import (
    OWNER,
    AccountsMesh,
    accounts_mesh,
    call,
    call_replayed,
    refused,
    short_folder,
    usd,
)
from tests.databases import Database

OPEN = OpenAccountRequest(request_id="r-1", owner_id=OWNER, credit_limit=usd(5))


async def test_crash_between_commit_and_projection_heals(accounts_database: Database) -> None:
    """A process without a relay stands for one that dies after its commits: an account and a card
    are stored and unanswered. The next process projects them in order; replays then answer.
    """
    with short_folder() as folder:
        async with accounts_mesh(
            accounts_database, folder, projection_wait_s=0.2, relay=False
        ) as dead:
            error = await refused(dead.accounts.OpenAccount, OPEN)
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
            account_id = await dead.pool.fetchval("SELECT id FROM account")
            with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                await dead.issue_card(account_id)
            assert dead.authorizer.requests == []
        async with accounts_mesh(accounts_database, folder) as healed:
            answer, replayed = await call_replayed(healed.accounts.OpenAccount, OPEN)
            assert replayed
            assert answer.account.id == account_id
            assert await healed.count("account") == 1
            kinds = [type(request) for request in healed.authorizer.requests]
            assert kinds == [projection.ApplyAccountRequest, projection.ApplyCardRequest]
            # Answered when delivered; the rows are deleted a moment later.
            for _ in range(100):
                if await healed.count("outbox") == 0:
                    break
                await asyncio.sleep(0.02)
            assert await healed.count("outbox") == 0


async def test_authorizer_that_comes_back_in_time_is_only_slow(mesh: AccountsMesh) -> None:
    await mesh.authorizer.stop()
    opening = asyncio.create_task(call(mesh.accounts.OpenAccount, OPEN))
    await asyncio.sleep(0.3)
    assert not opening.done()
    await mesh.authorizer.start()
    account = (await opening).account
    assert mesh.authorizer.versions == {account.id: 1}


async def test_short_deadline_is_answered_before_it_passes(mesh: AccountsMesh) -> None:
    mesh.authorizer.refusing = True
    error = await refused(mesh.accounts.OpenAccount, OPEN, timeout_s=0.5)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")


async def test_reads_go_on_while_the_authorizer_hangs(mesh: AccountsMesh) -> None:
    """More mutations than database connections wait for an authorizer that does not answer."""
    account = await mesh.open_account()
    mesh.authorizer.delay_s = 1.0
    waiting = [asyncio.create_task(mesh.open_account()) for _ in range(20)]
    await asyncio.sleep(0.2)
    request = GetAccountRequest(account_id=account.id)
    answer = await call(mesh.accounts.GetAccount, request, timeout_s=0.5)
    assert answer.account == account
    mesh.authorizer.delay_s = 0
    await asyncio.gather(*waiting)


async def test_authorizer_that_claims_a_lower_version_has_not_applied_it(
    impatient_mesh: AccountsMesh,
) -> None:
    impatient_mesh.authorizer.lag = 1
    error = await refused(impatient_mesh.accounts.OpenAccount, OPEN)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    assert await impatient_mesh.count("outbox") == 1
