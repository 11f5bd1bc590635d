"""Random histories of one account, driven through the wire and through a model.

Goal: whatever the order, the repetitions and the alterations of messages, the authorizer agrees
with the model after every step, and the ledger agrees with both at the end. Method: a Hypothesis
state machine over a real worker, a real Valkey and a real settler. Deterministic: the same
histories in every run, and a failing one is printed as it is; HOLDFAST_SIMULATION=explore makes new
ones, more of them, and shrinks what fails.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Coroutine
from typing import Any, ClassVar

import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from holdfast.type.v1.money_pb2 import Money
from tests.authz_mesh import NETWORK, AuthzMesh, authz_mesh, capture_of, purchase, reversal_of
from tests.databases import Database
from tests.simulation.model import ModelAccount

AMOUNTS = st.one_of(st.integers(1, 60), st.sampled_from([1, 100, 250, 1_000]))
_RUNS = itertools.count(1)

EXPLORE = os.environ.get("HOLDFAST_SIMULATION") == "explore"

Request = rpc.AuthorizeRequest | rpc.CaptureAuthorizationRequest | rpc.ReverseAuthorizationRequest


class AccountMachine(RuleBasedStateMachine):
    """One account and its card; every rule is one message."""

    mesh: ClassVar[AuthzMesh]
    runner: ClassVar[asyncio.Runner]

    def wait(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    @initialize(limit=st.sampled_from([0, 100, 500, 10_000]))
    def open(self, limit: int) -> None:
        self.run = next(_RUNS)
        self.numbers = itertools.count(1)
        self.account_id = self.wait(self.mesh.open_account(limit))
        self.card_id = self.wait(self.mesh.issue_card(self.account_id))
        self.versions = {"account": 1, "card": 1}
        self.model = ModelAccount(limit=limit)
        #: Model name → authorization id, and whether the network's reference names it.
        self.names: dict[str, str] = {}
        self.sent: list[tuple[Request, Any]] = []

    def request_id(self) -> str:
        return f"run-{self.run}-{next(self.numbers)}"

    async def send(self, request: Request) -> tuple[Any, bool]:
        """The answer, and whether it was a replay."""
        stub = self.mesh.authorization
        method: Any = {
            rpc.AuthorizeRequest: stub.Authorize,
            rpc.CaptureAuthorizationRequest: stub.CaptureAuthorization,
            rpc.ReverseAuthorizationRequest: stub.ReverseAuthorization,
        }[type(request)]
        call = method(request, metadata=NETWORK)
        answer = await call
        metadata = dict(await call.initial_metadata())
        return answer, metadata.get("idempotent-replayed") == "true"

    def first(self, request: Request) -> Any:
        answer, replayed = self.wait(self.send(request))
        assert not replayed
        self.sent.append((request, answer))
        return answer

    @rule(amount=AMOUNTS, partial=st.booleans(), network=st.integers(0, 6))
    def authorize(self, amount: int, partial: bool, network: int) -> None:
        request = purchase(self.card_id, amount, self.request_id())
        request.point_of_sale.partial_approval_capable = partial
        name = f"net-{network}" if network else request.request_id
        if network:
            request.network_data.CopyFrom(pb.NetworkData(network="visa", transaction_id=name))
        reason, approved = self.model.authorize(name, amount, partial=partial)
        answer = self.first(request)
        expected = f"DECLINE_REASON_{reason or 'UNSPECIFIED'}"
        assert DeclineReason.Name(answer.decline_reason) == expected
        assert answer.approved_amount.amount_minor == approved
        assert answer.available_credit.amount_minor == self.model.available
        assert self.names.setdefault(name, answer.authorization_id) == answer.authorization_id

    def target(self, request: Any, name: str) -> None:
        """Names an authorization by id, or as the network knows it."""
        if name.startswith("net-"):
            request.ClearField("authorization_id")
            request.network_reference.CopyFrom(
                pb.NetworkReference(card_id=self.card_id, network="visa", transaction_id=name)
            )

    @rule(data=st.data(), amount=AMOUNTS, final=st.booleans(), early=st.integers(0, 6))
    def capture(self, data: st.DataObject, amount: int, final: bool, early: int) -> None:
        name = self.pick(data, early)
        if name is None:
            return
        request = capture_of(self.names.get(name, ""), amount, self.request_id(), final=final)
        self.target(request, name)
        self.model.capture(name, amount, final=final)
        answer = self.first(request)
        self.names.setdefault(name, answer.authorization_id)
        assert answer.posted_amount.amount_minor == amount
        assert answer.captured_amount.amount_minor == self.model.of(name).captured
        assert answer.held_amount.amount_minor == self.model.of(name).held
        assert answer.available_credit.amount_minor == self.model.available

    @rule(data=st.data(), amount=st.none() | AMOUNTS, early=st.integers(0, 6))
    def reverse(self, data: st.DataObject, amount: int | None, early: int) -> None:
        name = self.pick(data, early)
        if name is None:
            return
        request = reversal_of(self.names.get(name, ""), amount, self.request_id())
        self.target(request, name)
        released = self.model.reverse(name, amount)
        answer = self.first(request)
        self.names.setdefault(name, answer.authorization_id)
        assert answer.released_amount.amount_minor == released
        assert answer.available_credit.amount_minor == self.model.available

    def pick(self, data: st.DataObject, early: int) -> str | None:
        """An authorization that exists, or one that the network may yet send."""
        if early:
            return f"net-{early}"
        names = sorted(self.names)
        return data.draw(st.sampled_from(names)) if names else None

    @precondition(lambda self: bool(getattr(self, "sent", None)))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        request, answer = data.draw(st.sampled_from(self.sent), label="request")
        again, replayed = self.wait(self.send(request))
        assert replayed
        assert again == answer

    @precondition(lambda self: bool(getattr(self, "sent", None)))
    @rule(data=st.data())
    def repeat_altered(self, data: st.DataObject) -> None:
        request, _ = data.draw(st.sampled_from(self.sent), label="request")
        altered = type(request)()
        altered.CopyFrom(request)
        altered.amount.CopyFrom(
            Money(currency_code="USD", amount_minor=request.amount.amount_minor + 1)
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            self.wait(self.send(altered))
        assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS

    @rule(frozen=st.booleans())
    def freeze(self, frozen: bool) -> None:
        self.model.frozen = frozen
        self.versions["card"] += 1
        state = projection.CARD_STATE_FROZEN if frozen else projection.CARD_STATE_ACTIVE
        self.wait(
            self.mesh.apply_card(
                self.card_id, self.account_id, version=self.versions["card"], state=state
            )
        )

    @rule(limit=st.sampled_from([0, 50, 500, 20_000]))
    def change_limit(self, limit: int) -> None:
        self.model.limit = limit
        self.versions["account"] += 1
        self.wait(
            self.mesh.apply_account(
                self.account_id, version=self.versions["account"], limit_minor=limit
            )
        )

    @rule()
    def settle(self) -> None:
        self.wait(self.mesh.settle())

    @precondition(lambda self: bool(getattr(self, "names", None)))
    @rule(data=st.data())
    def settle_and_forget_records(self, data: st.DataObject) -> None:
        """Records expire once settled; the ledger then answers repeated postings."""
        self.wait(self.mesh.settle())
        requests = [
            (request, answer)
            for request, answer in self.sent
            if isinstance(request, rpc.CaptureAuthorizationRequest)
        ]
        if not requests:
            return
        self.wait(self.forget_records())
        request, answer = data.draw(st.sampled_from(requests), label="late repetition")
        again, replayed = self.wait(self.send(request))
        assert replayed
        assert again == answer
        # Decisions whose record is gone may not be repeated: their lifetime is the promise.
        self.sent = [*requests]

    async def forget_records(self) -> None:
        found = [key async for key in self.mesh.money.scan_iter("*:req:*")]
        if found:
            await self.mesh.money.delete(*found)

    @rule(ms=st.integers(1, 3_600_000))
    def wait_a_while(self, ms: int) -> None:
        self.mesh.clock.advance(ms)

    @invariant()
    def balance_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        request = rpc.GetBalanceRequest(account_id=self.account_id)
        found = self.wait(_balance(self.mesh, request))
        assert found.credit_limit.amount_minor == self.model.limit
        assert found.posted.amount_minor == self.model.posted
        assert found.held.amount_minor == self.model.held
        assert found.available_credit.amount_minor == self.model.available

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        self.wait(self.mesh.settle())
        self.wait(self.ledger_agrees())

    async def ledger_agrees(self) -> None:
        ledger = self.mesh.ledger
        row = await ledger.fetchrow(
            "SELECT * FROM account_balance WHERE account_id = $1", self.account_id
        )
        assert (row["limit_minor"], row["posted_minor"], row["held_minor"]) == (
            self.model.limit,
            self.model.posted,
            self.model.held,
        )
        receivable = await ledger.fetchval(
            "SELECT coalesce(sum(amount_minor), 0) FROM journal_line"
            " WHERE account_id = $1 AND ledger_account = 'receivable.purchase'",
            self.account_id,
        )
        assert receivable == self.model.posted
        for name, authorization_id in self.names.items():
            found = await ledger.fetchrow(
                "SELECT * FROM card_authorization WHERE id = $1", authorization_id
            )
            expected = self.model.of(name)
            assert found["held_minor"] == expected.held
            assert found["captured_minor"] == expected.captured
        entries = await ledger.fetchrow(
            "SELECT count(*) AS n, max(seq) AS last FROM journal_entry WHERE account_id = $1",
            self.account_id,
        )
        assert entries["n"] == entries["last"] == row["seq"]


async def _balance(mesh: AuthzMesh, request: rpc.GetBalanceRequest) -> rpc.GetBalanceResponse:
    return await mesh.authorization.GetBalance(request, metadata=NETWORK)


def test_random_histories_agree_with_the_model(database: Database, money: Redis) -> None:
    """See the module: one deterministic set of histories."""
    with asyncio.Runner() as runner:
        AccountMachine.runner = runner
        valkey = runner.run(_own_client(money))
        context = authz_mesh(database, valkey)
        AccountMachine.mesh = runner.run(context.__aenter__())
        try:
            run_state_machine_as_test(
                AccountMachine,
                settings=settings(
                    max_examples=2_000 if EXPLORE else 60,
                    stateful_step_count=30,
                    deadline=None,
                    derandomize=not EXPLORE,
                    phases=list(Phase) if EXPLORE else [Phase.explicit, Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))
            runner.run(valkey.aclose())


async def _own_client(money: Redis) -> Redis:
    """The same login on this test's own event loop."""
    return Redis(connection_pool=type(money.connection_pool)(**_pool_arguments(money)))


def _pool_arguments(money: Redis) -> dict[str, Any]:
    pool = money.connection_pool
    return {"connection_class": pool.connection_class, **pool.connection_kwargs}
