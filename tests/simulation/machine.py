"""What every history does besides moving money: it sends, repeats, alters, settles, forgets, and
compares. `test_account.py` adds the movements.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any, ClassVar

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from authz import keys
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2 as projection
from tests.authz_audit import audit
from tests.authz_checks import answered, expire_records, refusal_of
from tests.authz_mesh import ACCOUNTS, NETWORK, AuthzMesh
from tests.simulation.model import ModelAccount

DAY_MS = 86_400_000
_RUNS = itertools.count(1)


class Machine(RuleBasedStateMachine):
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
        self.payment_ids = [self.mesh.ids.new("pay", 10) for _ in range(4)]
        self.model = ModelAccount(limit=limit)
        #: Model name → authorization id. Names that begin with `net-` are the network's, too.
        self.names: dict[str, str] = {}
        self.sent: list[tuple[Any, Any]] = []

    def request_id(self) -> str:
        return f"run-{self.run}-{next(self.numbers)}"

    async def send(self, request: Message) -> tuple[Any, bool]:
        """The answer, and whether it was a replay."""
        name = type(request).__name__.removesuffix("Request")
        network = hasattr(self.mesh.authorization, name)
        stub = self.mesh.authorization if network else self.mesh.posting
        return await answered(
            getattr(stub, name), request, metadata=NETWORK if network else ACCOUNTS
        )

    def first(self, request: Any) -> Any:
        """Sends a new request, which is carried out."""
        request.request_id = self.request_id()
        answer, replayed = self.wait(self.send(request))
        assert not replayed
        self.sent.append((request, answer))
        return answer

    def refused(self, request: Any, reason: str) -> None:
        """Sends a new request, which changes nothing."""
        request.request_id = self.request_id()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            self.wait(self.send(request))
        assert refusal_of(caught.value).reason == reason

    def target(self, request: Any, name: str) -> None:
        """Names an authorization by id, or as the network knows it."""
        request.authorization_id = self.names.get(name, "")
        if name.startswith("net-"):
            request.ClearField("authorization_id")
            request.network_reference.CopyFrom(
                pb.NetworkReference(card_id=self.card_id, network="visa", transaction_id=name)
            )

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
        found = [request for request, _ in self.sent if hasattr(request, "amount")]
        if not found:
            return
        request = data.draw(st.sampled_from(found), label="request")
        altered = type(request)()
        altered.CopyFrom(request)
        altered.amount.currency_code = "USD"
        altered.amount.amount_minor += 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            self.wait(self.send(altered))
        assert refusal_of(caught.value).reason == "REQUEST_ID_REUSED"

    @precondition(lambda self: bool(getattr(self, "sent", None)))
    @rule(data=st.data())
    def clear_again_under_another_id(self, data: st.DataObject) -> None:
        found = [pair for pair in self.sent if getattr(pair[0], "clearing_reference", "")]
        if not found:
            return
        request, answer = data.draw(st.sampled_from(found), label="clearing")
        other = type(request)()
        other.CopyFrom(request)
        other.request_id = self.request_id()
        again, replayed = self.wait(self.send(other))
        assert replayed
        assert again == answer

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

    @rule()
    def settle_and_forget(self) -> None:
        """What time deletes once it is settled: records, closed holds, payments that are over."""
        self.wait(self.mesh.settle())
        self.wait(self.forget())
        # Plain decisions whose record is gone may not be repeated: its lifetime is the promise.
        self.sent = [
            (request, answer)
            for request, answer in self.sent
            if not isinstance(request, rpc.AuthorizeRequest)
            or request.message_type
            in (pb.MESSAGE_TYPE_AUTHORIZATION_ADVICE, pb.MESSAGE_TYPE_FINANCIAL_AUTHORIZATION)
        ]

    async def forget(self) -> None:
        await expire_records(self.mesh.money, "req", "clr")
        over = [
            keys.hold(self.names[name])
            for name, known in self.model.authorizations.items()
            if name.startswith("own-") and known.held == 0 and not known.advised_at
        ]
        over += [
            keys.payment(name)
            for name, payment in self.model.payments.items()
            if payment.state == "RETURNED"
        ]
        if over:
            await self.mesh.money.delete(*over)

    @rule(ms=st.integers(1, 3_600_000))
    def wait_a_while(self, ms: int) -> None:
        self.mesh.clock.advance(ms)

    @rule(days=st.integers(1, 8))
    def wait_for_days_and_sweep(self, days: int) -> None:
        self.wait(self.mesh.settle())  # an old journal would stop everything
        self.mesh.clock.advance(days * DAY_MS)
        self.wait(self.mesh.worker.sweeper.sweep())
        self.model.sweep(self.mesh.clock.now_ms())

    @invariant()
    def balance_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        request = rpc.GetBalanceRequest(account_id=self.account_id)
        found, _ = self.wait(answered(self.mesh.authorization.GetBalance, request))
        assert found.credit_limit.amount_minor == self.model.limit
        assert found.posted.amount_minor == self.model.posted
        assert found.held.amount_minor == self.model.held
        assert found.unreleased.amount_minor == self.model.unreleased
        assert found.available_credit.amount_minor == self.model.available

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        self.wait(self.ledger_agrees())

    async def ledger_agrees(self) -> None:
        """The auditor finds the books in order, and they tell the model's story."""
        await audit(self.mesh, self.account_id)
        ledger = self.mesh.ledger
        row = await ledger.fetchrow(
            "SELECT limit_minor, posted_minor, held_minor, unreleased_minor FROM account_balance"
            " WHERE account_id = $1",
            self.account_id,
        )
        model = self.model
        assert tuple(row) == (model.limit, model.posted, model.held, model.unreleased)
        for name, authorization_id in self.names.items():
            found = await ledger.fetchrow(
                "SELECT approved_minor, captured_minor, refunded_minor, held_minor"
                " FROM card_authorization WHERE id = $1",
                authorization_id,
            )
            known = model.of(name)
            assert tuple(found) == (
                known.approved,
                known.captured,
                sum(known.refunds),
                known.held,
            )
        payments = await ledger.fetch(
            "SELECT id, amount_minor, state FROM payment WHERE account_id = $1", self.account_id
        )
        assert {row[0]: (row[1], row[2]) for row in payments} == {
            name: (payment.amount, payment.state) for name, payment in model.payments.items()
        }
