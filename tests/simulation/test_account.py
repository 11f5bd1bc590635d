"""Random histories of one account, driven through the wire and through a model.

Goal: whatever the order, the repetitions and the alterations of messages, the authorizer agrees
with the model after every step, and the ledger agrees with both at the end. Method: a Hypothesis
state machine over a real worker, a real Valkey and a real settler. Deterministic: the same
histories in every run, and a failing one is printed as it is; HOLDFAST_SIMULATION=explore makes new
ones, more of them, and shrinks what fails.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st
from redis.asyncio import Redis

from holdfast.authz.v1 import posting_service_pb2 as postings
from tests.authz_messages import credit, posting, release, returned
from tests.databases import Database
from tests.simulation.machine import move
from tests.simulation.purchases import AMOUNTS, PurchaseMachine
from tests.simulation.running import TIMEOUT_S, run_histories


class AccountMachine(PurchaseMachine):
    """Purchases, payments, fees."""

    @move(number=st.integers(0, 3), amount=AMOUNTS)
    def credit_payment(self, number: int, amount: int) -> None:
        name = self.payment_ids[number]
        request = credit(self.account_id, name, amount)
        why = self.model.credit(name, amount)
        self.pay(request, why)

    @move(number=st.integers(0, 3), state=st.sampled_from(["RELEASED", "RETURNED"]))
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

    @move(kind=st.integers(1, 8), amount=AMOUNTS, category=st.integers(0, 4))
    def post(self, kind: int, amount: int, category: int) -> None:
        number: Any = kind
        request = posting(self.account_id, number, amount, category=category)
        signs = {
            postings.POSTING_KIND_ADJUSTMENT_CREDIT: -1,
            postings.POSTING_KIND_PROVISIONAL_CREDIT: -1,
            postings.POSTING_KIND_DISPUTE_CLAIM: 0,
            postings.POSTING_KIND_DISPUTE_LOSS: 0,
        }
        self.model.postings.append(signs.get(number, 1) * amount)
        assert self.first(request).result.posted.amount_minor == self.model.posted


#: What the histories must have met, or they have shown nothing.
MET = {
    "approved",
    "part",
    "INSUFFICIENT_CREDIT",
    "CARD_FROZEN",
    "DUPLICATE_TRANSACTION",
    "AUTHORIZATION_REVERSED",
    "increment approved",
    "increment INSUFFICIENT_CREDIT",
}


@pytest.mark.timeout(TIMEOUT_S)
def test_random_histories_agree_with_the_model(database: Database, money: Redis) -> None:
    """See the module: one deterministic set of histories."""
    AccountMachine.seen = Counter()
    run_histories(AccountMachine, database, money, examples=45)
    assert MET - set(AccountMachine.seen) == set()
