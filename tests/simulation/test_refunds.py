"""Random histories in which credit is paid back amid purchases, payments and their returns: never
more than there is, as the model has it.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.authz_messages import refund_debit, refund_put_back
from tests.databases import Database
from tests.simulation.machine import move
from tests.simulation.purchases import AMOUNTS
from tests.simulation.running import TIMEOUT_S, run_histories
from tests.simulation.test_account import AccountMachine


class RefundMachine(AccountMachine):
    """An account that pays more than it owes, and wants it back."""

    @move(6, number=st.integers(0, 3), amount=AMOUNTS)
    def overpay(self, number: int, amount: int) -> None:
        name = self.payment_ids[number]
        if name not in self.model.payments:
            self.credit_payment(number=number, amount=amount)
            self.move_payment(number=number, state="RELEASED")

    @move(8, number=st.integers(0, 1), amount=AMOUNTS)
    def debit_refund(self, number: int, amount: int) -> None:
        name, payment = self.refund_ids[number], self.payment_ids[number]
        why = self.model.debit_refund(name, amount)
        self.seen[f"refund {why}"] += 1
        self.pay(refund_debit(self.account_id, name, payment, amount), why)

    @move(4, number=st.integers(0, 1))
    def put_back(self, number: int) -> None:
        name, payment = self.refund_ids[number], self.payment_ids[number]
        why = self.model.put_back(name)
        self.seen[f"put back {why}"] += 1
        self.pay(refund_put_back(self.account_id, name, payment), why)


#: What the histories must have met, or they have shown nothing.
MET = {
    "refund ",
    "refund REFUND_EXISTS",
    "refund CREDIT_BALANCE_EXCEEDED",
    "put back ",
    "put back REFUND_NOT_FOUND",
}


@pytest.mark.timeout(TIMEOUT_S)
def test_random_refunds_agree_with_the_model(database: Database, money: Redis) -> None:
    """See the module: one deterministic set of histories."""
    RefundMachine.seen = Counter()
    run_histories(RefundMachine, database, money, examples=25)
    assert MET - set(RefundMachine.seen) == set()
