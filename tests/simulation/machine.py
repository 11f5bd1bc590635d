"""What every history does besides moving money: it sends, repeats, alters, settles, forgets, and
compares. `purchases.py` adds the movements of purchases.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from authz import keys
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from tests.authz_audit import audit
from tests.authz_checks import answered, expire_records, refusal_of
from tests.authz_mesh import ACCOUNTS, ADMIN, NETWORK, AuthzMesh
from tests.payments_mesh import PAYMENTS
from tests.simulation.model import ModelAccount, ModelCard

DAY_MS = 86_400_000
_RUNS = itertools.count(1)


Move = TypeVar("Move", bound=Callable[..., None])


def move(weight: int = 1, **arguments: st.SearchStrategy[Any]) -> Callable[[Move], Move]:
    """Marks what may happen next, and how much more often than others it does.

    Not one Hypothesis rule each: it leaves half of all rules out of each history, and where nobody
    purchases, nothing happens.
    """

    def marked(function: Move) -> Move:
        function.move = (weight, arguments)  # type: ignore[attr-defined]
        return function

    return marked


class Machine(RuleBasedStateMachine):
    """One account and its card; every rule is one message. With limits there are more cards, and
    `card_id` is the one in hand.
    """

    mesh: ClassVar[AuthzMesh]
    runner: ClassVar[asyncio.Runner]

    def wait(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    @initialize(data=st.data(), limit=st.sampled_from([0, 100, 500, 10_000]))
    def open(self, data: st.DataObject, limit: int) -> None:
        self.data = data
        found = inspect.getmembers(type(self), lambda one: hasattr(one, "move"))
        self.moves = [name for name, function in found for _ in range(function.move[0])]
        self.run = next(_RUNS)
        self.numbers = itertools.count(1)
        self.account_id = self.mesh.ids.new("acct", 10)
        self.card_id = self.mesh.ids.new("card", 10)
        self.versions = {self.account_id: 0, self.card_id: 0}
        self.payment_ids = [self.mesh.ids.new("pay", 10) for _ in range(4)]
        self.refund_ids = [self.mesh.ids.new("rfd", 10) for _ in range(3)]
        self.model = ModelAccount(limit=limit, cards={self.card_id: ModelCard(line=self.card_id)})
        self.configure_account()
        self.configure_card(self.card_id)
        #: Model name → authorization id. Names that begin with `net-` are the network's, too.
        self.names: dict[str, str] = {}
        self.sent: list[tuple[Any, Any]] = []
        self.equip()

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """One thing that may happen; what is impossible now just does not happen."""
        self.data = data
        chosen = data.draw(st.sampled_from(self.moves), label="move")
        _, arguments = getattr(type(self), chosen).move
        getattr(self, chosen)(**{key: data.draw(one, label=key) for key, one in arguments.items()})

    def equip(self) -> None:
        """What there is besides one plain card."""

    def controls_of(self, subject: str) -> SpendControls | None:
        """The controls of `account`, or of a card."""
        assert subject in {"account", self.card_id}
        return None

    def configure_account(self) -> None:
        """Projects the account as the model has it."""
        self.versions[self.account_id] += 1
        self.wait(
            self.mesh.apply_account(
                self.account_id,
                version=self.versions[self.account_id],
                limit_minor=self.model.limit,
                controls=self.controls_of("account"),
            )
        )

    def configure_card(self, card_id: str) -> None:
        """Projects a card as the model has it."""
        card = self.model.cards[card_id]
        self.versions[card_id] += 1
        self.wait(
            self.mesh.apply_card(
                card_id,
                self.account_id,
                version=self.versions[card_id],
                single_use=card.single_use,
                state=projection.CARD_STATE_FROZEN if card.frozen else projection.CARD_STATE_ACTIVE,
                root_card_id=card.line,
                controls=self.controls_of(card_id),
            )
        )

    def card_of(self, name: str) -> str:
        """The card of an authorization, also of one that the network may yet send."""
        assert name in self.names or name.startswith("net-")
        return self.card_id

    def request_id(self) -> str:
        return f"run-{self.run}-{next(self.numbers)}"

    async def send(self, request: Message) -> tuple[Any, bool]:
        """The answer, and whether it was a replay."""
        name = type(request).__name__.removesuffix("Request")
        if not hasattr(self.mesh.authorization, name):
            method, payments = getattr(self.mesh.posting, name), "Refund" in name
            return await answered(method, request, metadata=PAYMENTS if payments else ACCOUNTS)
        caller = ADMIN if name == "ExpireAuthorization" else NETWORK
        return await answered(getattr(self.mesh.authorization, name), request, metadata=caller)

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
                pb.NetworkReference(card_id=self.card_of(name), network="visa", transaction_id=name)
            )

    def pick(self, early: int) -> str | None:
        """An authorization, rather an open one; or one that the network may yet send."""
        if early:
            return f"net-{early}"
        names = sorted(self.names)
        names += 3 * [name for name in names if self.model.of(name).held]
        return self.data.draw(st.sampled_from(names)) if names else None

    @move()
    def repeat(self) -> None:
        if not self.sent:
            return
        request, answer = self.data.draw(st.sampled_from(self.sent), label="request")
        again, replayed = self.wait(self.send(request))
        assert replayed
        assert again == answer

    @move()
    def repeat_altered(self) -> None:
        found = [request for request, _ in self.sent if hasattr(request, "amount")]
        if not found:
            return
        request = self.data.draw(st.sampled_from(found), label="request")
        altered = type(request)()
        altered.CopyFrom(request)
        altered.amount.currency_code = "USD"
        altered.amount.amount_minor += 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            self.wait(self.send(altered))
        assert refusal_of(caught.value).reason == "REQUEST_ID_REUSED"

    @move()
    def clear_again_under_another_id(self) -> None:
        found = [pair for pair in self.sent if getattr(pair[0], "clearing_reference", "")]
        if not found:
            return
        request, answer = self.data.draw(st.sampled_from(found), label="clearing")
        other = type(request)()
        other.CopyFrom(request)
        other.request_id = self.request_id()
        again, replayed = self.wait(self.send(other))
        assert replayed
        assert again == answer

    @move(frozen=st.sampled_from([False, False, False, True]))
    def freeze(self, frozen: bool) -> None:
        self.model.cards[self.card_id].frozen = frozen
        self.configure_card(self.card_id)

    @move(limit=st.sampled_from([0, 50, 500, 20_000, 20_000]))
    def change_limit(self, limit: int) -> None:
        self.model.limit = limit
        self.configure_account()

    @move()
    def settle(self) -> None:
        self.wait(self.mesh.settle())

    @move()
    def settle_and_forget(self) -> None:
        """What time deletes once it is settled: records, closed holds, payments that are over."""
        self.wait(self.mesh.settle())
        self.mesh.clock.advance(DAY_MS)
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
        over += map(keys.payment, self.model.refunds)
        if over:
            await self.mesh.money.delete(*over)

    @move(ms=st.integers(1, 3_600_000))
    def wait_a_while(self, ms: int) -> None:
        self.mesh.clock.advance(ms)

    @move(days=st.integers(1, 8))
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
        found, _ = self.wait(answered(self.mesh.authorization.GetBalance, request, metadata=ADMIN))
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
            name: (one.amount, one.state)
            for name, one in (*model.payments.items(), *model.refunds.items())
        }
