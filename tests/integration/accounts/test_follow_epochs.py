"""An authorizer whose store was rebuilt is told everything again, by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from accounts import projection_store, upkeep
from accounts.projector import Projector
from authz import keys, rehydrate
from authz.rehydrate import Options, Rehydration
from authz.rehydrate_store import gate_is_open, open_store
from holdfast.accounts.v1.account_service_pb2 import SetAccountUserControlsRequest
from holdfast.accounts.v1.card_service_pb2 import FreezeCardRequest, SetCardControlsRequest
from holdfast.accounts.v1.programme_service_pb2 import SetProgrammeRulesRequest
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.decline_reason_pb2 import DECLINE_REASON_CARD_FROZEN
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from tests.accounts_mesh import AccountsMesh, accounts_mesh, call, short_folder
from tests.authz_mesh import ACCOUNTS, NETWORK, AuthzMesh, authz_mesh, purchase
from tests.databases import Database
from tests.rpc.accounts.test_set_rules import rules


async def follow(mesh: AccountsMesh) -> None:
    """One look at the epoch, and what follows from it."""
    await upkeep.follow_epoch(mesh.projections, mesh.outbox, mesh.projector)
    await delivered(mesh)


async def delivered(mesh: AccountsMesh) -> None:
    """Waits until nothing is delivered any more. What a call has delivered by itself is removed
    behind its answer; until then the relay may deliver it once more.
    """
    async with asyncio.timeout(60):
        while await mesh.count("outbox"):  # noqa: ASYNC110 - rows of a table
            await asyncio.sleep(0.01)


async def test_a_new_epoch_is_told_everything(
    mesh: AccountsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pages, accounts before their cards, each at its version; once per epoch."""
    monkeypatch.setattr(projection_store, "PROJECTION_PAGE", 2)
    monkeypatch.setattr(upkeep, "PROJECTION_PAGE", 2)
    accounts = [await mesh.open_account() for _ in range(3)]
    cards = [await mesh.issue_card(account.id) for account in accounts for _ in range(2)]
    freeze = FreezeCardRequest(request_id="f", card_id=cards[0].id)
    await call(mesh.cards.FreezeCard, freeze)
    limits = SetCardControlsRequest(
        request_id="c", card_id=cards[1].id, controls=SpendControls(blocked_countries=["FR"])
    )
    await call(mesh.cards.SetCardControls, limits)
    programme = SetProgrammeRulesRequest(request_id="p", programme_id="prog_gold", rules=rules())
    await call(mesh.programmes.SetProgrammeRules, programme)
    user = SetAccountUserControlsRequest(
        request_id="u",
        account_id=accounts[0].id,
        user_id=f"usr_{accounts[0].id[5:7]}{'7' * 32}",
        controls=SpendControls(blocked_countries=["ES"]),
    )
    await call(mesh.accounts.SetAccountUserControls, user)
    known = dict(mesh.authorizer.versions)
    await follow(mesh)
    for epoch in (2, 3):
        mesh.authorizer.versions.clear()
        mesh.authorizer.requests.clear()
        mesh.authorizer.epoch = epoch
        await follow(mesh)
        assert mesh.authorizer.versions == known
        assert known[cards[0].id] == known[cards[1].id] == 2
        told = {type(request): request for request in mesh.authorizer.requests}
        assert set(told) == {
            projection.ApplyRulesRequest,
            projection.ApplyAccountRequest,
            projection.ApplyAccountUserRequest,
            projection.ApplyCardRequest,
        }
        # Of one account in this order; different ones are told side by side.
        for account in accounts:
            first, *others = (
                one
                for one in mesh.authorizer.requests
                if getattr(one, "account_id", "") == account.id
            )
            assert isinstance(first, projection.ApplyAccountRequest)
            assert len(others) >= 2
        assert told[projection.ApplyRulesRequest].rules.card_controls.limits
        assert told[projection.ApplyAccountUserRequest].controls.blocked_countries == ["ES"]
        again = [one for one in mesh.authorizer.requests if hasattr(one, "card_id")]
        (limited,) = [one for one in again if one.card_id == cards[1].id]
        assert limited.controls.blocked_countries == ["FR"]
        await follow(mesh)
        assert len(mesh.authorizer.requests) == len(known)


async def test_an_older_epoch_and_none_mean_nothing(mesh: AccountsMesh) -> None:
    """A worker that has not noticed yet, and one that does not serve."""
    await mesh.open_account()
    mesh.authorizer.epoch = 5
    await follow(mesh)
    mesh.authorizer.requests.clear()
    mesh.authorizer.epoch = 4
    await follow(mesh)
    mesh.authorizer.refusing = True
    with pytest.raises(grpc.aio.AioRpcError):
        await follow(mesh)
    assert mesh.authorizer.requests == []


async def test_who_dies_half_way_is_followed_by_one_who_ends_it(mesh: AccountsMesh) -> None:
    await mesh.open_account()
    await delivered(mesh)
    await mesh.projections.begin(7)
    mesh.authorizer.epoch = 7
    mesh.authorizer.requests.clear()
    await follow(mesh)
    assert len(mesh.authorizer.requests) == 1


async def test_others_do_not_wait_for_everything(
    mesh: AccountsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox holds a page at a time: a change is told while the first of six waits."""
    monkeypatch.setattr(projection_store, "PROJECTION_PAGE", 5)
    monkeypatch.setattr(upkeep, "PROJECTION_PAGE", 5)
    account = await mesh.open_account()
    cards = [await mesh.issue_card(account.id) for _ in range(30)]
    await delivered(mesh)
    known = dict(mesh.authorizer.versions)
    begun, released = asyncio.Event(), asyncio.Event()

    async def held(request: Any) -> None:
        if request.version == 1:
            begun.set()
            await released.wait()

    mesh.authorizer.epoch = 2
    mesh.authorizer.held = held
    following = asyncio.create_task(follow(mesh))
    await begun.wait()
    await call(mesh.cards.FreezeCard, FreezeCardRequest(request_id="f", card_id=cards[0].id))
    assert mesh.authorizer.versions[cards[0].id] == 2
    assert not following.done()
    assert await mesh.count("outbox") <= 2 * 5, "what was frozen is one of them"
    released.set()
    await following
    assert mesh.authorizer.versions == known | {cards[0].id: 2}


class _AsAccounts(grpc.aio.UnaryUnaryClientInterceptor):
    """Says who calls, as Envoy does."""

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details._replace(metadata=ACCOUNTS), request)


async def _rehydrate(mesh: AuthzMesh) -> None:
    await mesh.ledger.execute("SELECT pg_advisory_unlock_all()")
    mesh.settler._owned.clear()
    async with open_store(mesh.settings) as rebuilt:
        report = await Rehydration(
            rebuilt,
            mesh.settings,
            clock=mesh.clock,
            options=Options(),
            healthy=lambda: gate_is_open(mesh.settings),
        ).run()
    async with asyncio.timeout(60):
        while mesh.worker.gate.epoch != report.epoch or not mesh.server.serving:
            mesh.worker.pipe.reopen()
            await asyncio.sleep(0.02)


async def test_a_card_whose_freeze_was_never_settled_is_frozen_again(
    accounts_database: Database, money: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real authorizer loses its Valkey with the freeze still unsettled; nobody sets it again."""
    monkeypatch.setattr(rehydrate, "NOTICE_S", 0.0)
    with short_folder() as folder:
        async with (
            accounts_mesh(accounts_database, folder) as mesh,
            authz_mesh(accounts_database, money) as authz,
        ):
            target = f"unix:{authz.settings.socket}"
            async with grpc.aio.insecure_channel(target, interceptors=[_AsAccounts()]) as channel:
                projector = Projector(channel)
                mesh.projector, mesh.outbox._deliver = projector, projector.deliver
                account = await mesh.open_account()
                card = (await mesh.issue_card(account.id)).id
                await follow(mesh)
                await authz.settle()
                await call(mesh.cards.FreezeCard, FreezeCardRequest(request_id="f", card_id=card))
                lost = await mesh.issue_card(account.id)
                await money.flushall()
                await _rehydrate(authz)
                assert await money.hget(keys.card(card), "v") == b"1"
                assert not await money.exists(keys.card(lost.id))
                await follow(mesh)
                answer = await authz.authorization.Authorize(purchase(card, 1), metadata=NETWORK)
                assert answer.decline_reason == DECLINE_REASON_CARD_FROZEN
                request = purchase(lost.id, 1)
                answer = await authz.authorization.Authorize(request, metadata=NETWORK)
                assert answer.decision == pb.DECISION_APPROVED
