"""Random histories of one account, driven through the wire and through a model.

Goal: whatever the order, the repetitions and the alterations of messages, the authorizer agrees
with the model after every step, and the ledger agrees with both at the end. Method: a Hypothesis
state machine over a real worker, a real Valkey and a real settler. Deterministic: the same
histories in every run, and a failing one is printed as it is; HOLDFAST_SIMULATION=explore makes new
ones, more of them, and shrinks what fails.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from redis.asyncio import Redis

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from tests.authz_mesh import authz_mesh, capture_of, purchase, reversal_of
from tests.authz_messages import (
    advice,
    credit,
    expiry_of,
    forced,
    increment_of,
    posting,
    refund_of,
    release,
    returned,
    withdrawal,
)
from tests.databases import Database
from tests.simulation.machine import Machine
from tests.simulation.model import CLOSED

AMOUNTS = st.one_of(st.integers(1, 60), st.sampled_from([1, 100, 250, 1_000]))
EARLY = st.integers(0, 6)

EXPLORE = os.environ.get("HOLDFAST_SIMULATION") == "explore"


def _reason(answer: Any) -> str:
    name = DeclineReason.Name(answer.decline_reason).removeprefix("DECLINE_REASON_")
    return "" if name == "UNSPECIFIED" else name


class AccountMachine(Machine):
    """Every movement that there is."""

    def name_of(self, request: Any, network: int) -> str:
        """The model's name of a new purchase, which the network names, too, or does not."""
        if not network:
            return f"own-{next(self.numbers)}"
        name = f"net-{network}"
        request.network_data.CopyFrom(pb.NetworkData(network="visa", transaction_id=name))
        return name

    @rule(amount=AMOUNTS, partial=st.booleans(), network=EARLY, cash=st.booleans())
    def authorize(self, amount: int, partial: bool, network: int, cash: bool) -> None:
        request = withdrawal(self.card_id, amount) if cash else purchase(self.card_id, amount)
        request.point_of_sale.partial_approval_capable = partial
        name = self.name_of(request, network)
        now = self.mesh.clock.now_ms()
        reason, approved = self.model.authorize(
            name, amount, partial=partial, now=now, financial=cash
        )
        answer = self.first(request)
        assert (_reason(answer), answer.approved_amount.amount_minor) == (reason, approved)
        assert answer.available_credit.amount_minor == self.model.available
        assert self.names.setdefault(name, answer.authorization_id) == answer.authorization_id

    @rule(amount=AMOUNTS, network=EARLY, age=st.integers(0, 3))
    def advise(self, amount: int, network: int, age: int) -> None:
        now = self.mesh.clock.now_ms()
        request = advice(self.card_id, amount, sent_ms=now - age * 60_000)
        name = self.name_of(request, network)
        self.model.advise(name, amount, sent=now - age * 60_000, now=now)
        answer = self.first(request)
        assert self.names.setdefault(name, answer.authorization_id) == answer.authorization_id
        assert answer.available_credit.amount_minor == self.model.available

    @rule(data=st.data(), amount=AMOUNTS, early=EARLY)
    def increment(self, data: st.DataObject, amount: int, early: int) -> None:
        name = self.pick(data, early)
        if name is None:
            return
        request = increment_of("", amount)
        self.target(request, name)
        if name not in self.names:
            self.refused(request, "AUTHORIZATION_NOT_FOUND")
            return
        reason = self.model.increment(name, amount, now=self.mesh.clock.now_ms())
        if reason == CLOSED:
            self.refused(request, CLOSED)
            return
        answer = self.first(request)
        assert _reason(answer) == reason
        assert answer.held_amount.amount_minor == self.model.of(name).held
        assert answer.available_credit.amount_minor == self.model.available

    @rule(data=st.data(), amount=AMOUNTS, final=st.booleans(), early=EARLY, arn=st.booleans())
    def capture(self, data: st.DataObject, amount: int, final: bool, early: int, arn: bool) -> None:
        name = self.pick(data, early)
        if name is None:
            return
        request = capture_of("", amount, final=final)
        request.clearing_reference = f"arn-{self.request_id()}" if arn else ""
        self.target(request, name)
        self.model.capture(name, amount, final=final)
        answer = self.first(request)
        self.names.setdefault(name, answer.authorization_id)
        assert answer.posted_amount.amount_minor == amount
        assert answer.captured_amount.amount_minor == self.model.of(name).captured
        assert answer.held_amount.amount_minor == self.model.of(name).held
        assert answer.available_credit.amount_minor == self.model.available

    @rule(amount=AMOUNTS, network=EARLY, arn=st.booleans())
    def force_post(self, amount: int, network: int, arn: bool) -> None:
        request = forced(self.card_id, amount)
        request.clearing_reference = f"arn-{self.request_id()}" if arn else ""
        name = self.name_of(request, network)
        self.model.capture(name, amount, final=False)
        answer = self.first(request)
        assert self.names.setdefault(name, answer.authorization_id) == answer.authorization_id
        assert answer.available_credit.amount_minor == self.model.available

    @rule(data=st.data(), amount=st.none() | AMOUNTS, early=EARLY)
    def reverse(self, data: st.DataObject, amount: int | None, early: int) -> None:
        name = self.pick(data, early)
        if name is None:
            return
        request = reversal_of("", amount)
        self.target(request, name)
        released = self.model.reverse(name, amount)
        answer = self.first(request)
        self.names.setdefault(name, answer.authorization_id)
        assert answer.released_amount.amount_minor == released
        assert answer.available_credit.amount_minor == self.model.available

    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        name = self.pick(data, 0)
        if name is None:
            return
        released = self.model.expire(name)
        answer = self.first(expiry_of(self.names[name]))
        assert answer.released_amount.amount_minor == released

    @rule(
        data=st.data(),
        amount=AMOUNTS,
        early=EARLY,
        linked=st.booleans(),
        kind=st.tuples(st.booleans(), st.booleans()),
    )
    def refund(
        self,
        data: st.DataObject,
        amount: int,
        early: int,
        linked: bool,
        kind: tuple[bool, bool],
    ) -> None:
        reversal, arn = kind
        signed = -amount if reversal else amount
        name = self.pick(data, early) if linked else None
        request = refund_of("", amount, reversal=reversal)
        request.clearing_reference = f"arn-{self.request_id()}" if arn else ""
        if name is None:
            request.card_id = self.card_id
            self.model.postings.append(-signed)
        else:
            self.target(request, name)
            self.model.of(name).refunds.append(signed)
        answer = self.first(request)
        if name is not None:
            self.names.setdefault(name, answer.authorization_id)
            assert answer.refunded_amount.amount_minor == sum(self.model.of(name).refunds)
        assert answer.available_credit.amount_minor == self.model.available

    @rule(number=st.integers(0, 3), amount=AMOUNTS)
    def credit_payment(self, number: int, amount: int) -> None:
        name = self.payment_ids[number]
        request = credit(self.account_id, name, amount)
        why = self.model.credit(name, amount)
        self.pay(request, why)

    @rule(number=st.integers(0, 3), state=st.sampled_from(["RELEASED", "RETURNED"]))
    def move_payment(self, number: int, state: str) -> None:
        name = self.payment_ids[number]
        make: Any = release if state == "RELEASED" else returned
        self.pay(make(self.account_id, name), self.model.move(name, state))

    def pay(self, request: Any, why: str) -> None:
        if why:
            self.refused(request, why)
            return
        result = self.first(request).result
        assert result.posted.amount_minor == self.model.posted
        assert result.unreleased.amount_minor == self.model.unreleased
        assert result.available_credit.amount_minor == self.model.available

    @rule(kind=st.integers(1, 4), amount=AMOUNTS, category=st.integers(0, 4))
    def post(self, kind: int, amount: int, category: int) -> None:
        number: Any = kind
        request = posting(self.account_id, number, amount, category=category)
        debit = kind != postings.POSTING_KIND_ADJUSTMENT_CREDIT
        self.model.postings.append(amount if debit else -amount)
        assert self.first(request).result.posted.amount_minor == self.model.posted


@pytest.mark.timeout(0 if EXPLORE else 120)
def test_random_histories_agree_with_the_model(database: Database, money: Redis) -> None:
    """See the module: one deterministic set of histories."""
    with asyncio.Runner() as runner:
        AccountMachine.runner = runner
        valkey = runner.run(own_client(money))
        context = authz_mesh(database, valkey)
        AccountMachine.mesh = runner.run(context.__aenter__())
        try:
            run_state_machine_as_test(
                AccountMachine,
                settings=settings(
                    max_examples=2_000 if EXPLORE else 60,
                    stateful_step_count=40,
                    deadline=None,
                    derandomize=not EXPLORE,
                    phases=list(Phase) if EXPLORE else [Phase.explicit, Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))
            runner.run(valkey.aclose())


async def own_client(money: Redis) -> Redis:
    """The same login on this test's own event loop."""
    return Redis(connection_pool=type(money.connection_pool)(**_pool_arguments(money)))


def _pool_arguments(money: Redis) -> dict[str, Any]:
    pool = money.connection_pool
    return {"connection_class": pool.connection_class, **pool.connection_kwargs}
