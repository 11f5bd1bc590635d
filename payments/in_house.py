"""The processor of in-house transfers: deposits that the issuer keeps itself, in this database."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from payments.funding import FundingSource
from payments.payment import Payment
from payments.processor import Outcome, OutcomeUnknown, Result
from payments.refund import Refund
from runtime.clock import Clock, datetime_of, ms_of
from runtime.postgres import UNREACHABLE
from runtime.queries import load_queries

INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
DEPOSIT_FULL = "DEPOSIT_FULL"

_SQL = load_queries(Path(__file__).with_name("sql") / "funding.sql")
_REFUNDS = load_queries(Path(__file__).with_name("sql") / "refunds.sql")


class InHouse:
    """Takes from deposits: the charge and what it takes are one transaction."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def charge(self, payment: Payment, source: FundingSource) -> Outcome:
        """Takes the money, or says that there is too little."""
        now_ms = self._clock.now_ms()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                inserted = await connection.execute(
                    _SQL["insert_charge"],
                    payment.id,
                    payment.account_id,
                    payment.amount_minor,
                    datetime_of(now_ms),
                )
                if inserted == "INSERT 0 1":
                    taken = await connection.execute(
                        _SQL["take_deposit"], payment.account_id, payment.amount_minor
                    )
                    if taken != "UPDATE 1":
                        await connection.execute(_SQL["refuse_charge"], payment.id)
        except UNREACHABLE as error:
            raise OutcomeUnknown(str(error)) from error
        found = await self.find(payment, source)
        assert found is not None, "it was just written"
        return found

    async def refund(self, refund: Refund, payment: Payment) -> Outcome:
        """Gives it to the deposit that the payment came from, once."""
        try:
            await self._pool.execute(
                _REFUNDS["insert_deposit_refund"],
                refund.id,
                refund.account_id,
                refund.amount_minor,
                datetime_of(self._clock.now_ms()),
            )
        except UNREACHABLE as error:
            raise OutcomeUnknown(str(error)) from error
        except asyncpg.CheckViolationError:
            return Outcome(result=Result.REFUSED, reason=DEPOSIT_FULL)
        found = await self.find_refund(refund, payment)
        assert found is not None, "it was just written"
        return found

    async def find_refund(self, refund: Refund, payment: Payment) -> Outcome | None:
        """Whether it was given."""
        del payment
        try:
            given = await self._pool.fetchval(_REFUNDS["select_deposit_refund"], refund.id)
        except UNREACHABLE as error:
            raise OutcomeUnknown(str(error)) from error
        return Outcome(result=Result.CAME, reference=refund.id) if given else None

    async def find(self, payment: Payment, source: FundingSource) -> Outcome | None:
        """What became of a charge."""
        del source
        try:
            row = await self._pool.fetchrow(_SQL["select_charge"], payment.id)
        except UNREACHABLE as error:
            raise OutcomeUnknown(str(error)) from error
        if row is None:
            return None
        if not row["taken"]:
            return Outcome(result=Result.REFUSED, reference=payment.id, reason=INSUFFICIENT_FUNDS)
        return Outcome(
            result=Result.CAME, reference=payment.id, receive_ms=ms_of(row["charge_time"])
        )
