"""Does what is due: steps of payments, and statements that are paid by themselves.

The rows are the queue. A worker takes rows that nobody else has by moving their time on; what it
finds out is written only if the row is still at the version that it took. So several processes
share the work, and one that dies, or comes too late, has done nothing that another does not do
again, and nothing that counts twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from payments import making
from payments import payment as life
from payments.autopay import Autopay, Due, look
from payments.holders import Holders
from payments.leases import LEASE_MS, STEP_TIMEOUT_S, leased
from payments.payment import Payment, State, Step
from payments.retrying import postponed
from payments.steps import BalanceMoved, Found, NotNow, Steps
from payments.store import Store
from runtime.clock import Clock
from runtime.log import get_logger
from runtime.metrics import PAYMENTS

#: How many rows of a kind are worked on at the same time: one that hangs holds up no others.
AT_ONCE = 16

logger = get_logger()


class Worker:
    """Works for ever (`run`), or once (`work_due`, `look_due`)."""

    def __init__(self, store: Store, steps: Steps, holders: Holders, clock: Clock) -> None:
        self._store = store
        self._steps = steps
        self._holders = holders
        self._clock = clock
        self._due = leased(
            store.claim_payments, self._work, clock, count=AT_ONCE, failed="payments_failed"
        )
        self._statements = leased(
            store.claim_autopays, self._look, clock, count=AT_ONCE, failed="autopays_failed"
        )

    def wake(self) -> None:
        """Something is due: look now."""
        self._due.wake()
        self._statements.wake()

    async def run(self) -> None:
        """No failure ends it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._due.run())
            group.create_task(self._statements.run())

    async def work_due(self) -> int:
        """Does one step of each payment that is due; returns how many there were."""
        return await self._due.work_due()

    async def look_due(self) -> int:
        """Looks at statements that may have to be paid; returns how many there were."""
        return await self._statements.work_due()

    async def _work(self, taken: tuple[Payment, int]) -> None:
        payment, attempts = taken
        began_ms = self._clock.now_ms()
        known = payment.state is State.PROCESSING
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                if payment.state is State.PENDING:
                    # Written first: whoever finds it PROCESSING knows that it may have been asked.
                    now_ms = self._clock.now_ms()
                    payment = life.asking(payment, until_ms=now_ms + LEASE_MS, now_ms=now_ms)
                    if not await self._store.save(payment):
                        return
                await self._step(payment, known=known)
                return
        except Exception as error:  # noqa: BLE001 - `postponed` logs it
            await postponed(
                error,
                lambda until_ms: self._store.postpone(payment, until_ms=until_ms),
                attempts=attempts,
                began_ms=began_ms,
                failed="payment_step_failed",
                kept="payment_not_postponed",
                payment_id=payment.id,
                step=payment.step,
            )

    async def _step(self, payment: Payment, *, known: bool) -> None:
        match payment.step:
            case Step.BEGIN:
                await self._begin(payment)
            case Step.CHARGE:
                await self._save(await self._steps.charge(payment, known=known))
            case Step.CREDIT:
                await self._save(await self._steps.credit(payment))
            case Step.RELEASE:
                await self._save(await self._steps.release(payment))
            case Step.TAKE_BACK:
                await self._save(await self._steps.take_back(payment))
            case Step.NONE:
                raise AssertionError("nothing is due where there is nothing to do")

    async def _begin(self, payment: Payment) -> None:
        """The next one of a series is made in the transaction that ends this one's waiting; none
        follows on an account that is closed, for that is for good.
        """
        now_ms = self._clock.now_ms()
        found = await self._steps.begin(payment)
        closed = isinstance(found, Payment) and found.reason == life.ACCOUNT_CLOSED
        after = None if closed else making.following(payment, now_ms=now_ms)
        async with self._store.transaction(now_ms=now_ms) as transaction:
            if isinstance(found, Found):
                await transaction.lock_account(payment.account_id)
                try:
                    owed = await found.owed_now(transaction, payment.account_id)
                except BalanceMoved:
                    raise NotNow(now_ms) from None
                begun = self._steps.begun(payment, owed)
            else:
                begun = found
            if not await transaction.update_payment(begun):
                return
            if after is not None:
                await transaction.insert_payment(after)
        self._count(begun)

    async def _save(self, payment: Payment) -> None:
        if await self._store.save(payment):
            self._count(payment)

    async def _look(self, autopay: Autopay) -> None:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await self._pay_statement(autopay)
        except Exception:
            # It is taken again when its lease is over.
            logger.exception("autopay_failed", account_id=autopay.account_id)

    async def _pay_statement(self, autopay: Autopay) -> None:
        now_ms = self._clock.now_ms()
        holder = await self._holders.holder(autopay.account_id)
        asked = await self._holders.asked(autopay.account_id)
        source = await self._store.source(autopay.funding_source_id)
        assert holder is not None, "accounts are never deleted"
        assert source is not None, "funding sources are never deleted"
        due = (
            Due(number=asked.number, due_date=asked.due_date) if asked and asked.due_date else None
        )
        pays, again_ms = look(autopay, due, time_zone=holder.time_zone, now_ms=now_ms)
        after = replace(autopay, due_ms=again_ms, version=autopay.version + 1)
        async with self._store.transaction(now_ms=now_ms) as transaction:
            if pays:
                assert due is not None, "a statement is paid"
                after = replace(after, last_number=due.number)
                await transaction.insert_payment(
                    making.of_statement(
                        autopay,
                        due.number,
                        source=source.source,
                        time_zone=holder.time_zone,
                        now_ms=now_ms,
                    )
                )
            if not await transaction.set_autopay(after):
                raise AutopayChanged(autopay.account_id)
        if pays:
            self._due.wake()

    def _count(self, payment: Payment) -> None:
        PAYMENTS.labels(payment.source, payment.state).inc()
        self._due.wake()


class AutopayChanged(Exception):
    """Somebody has set it meanwhile: what it was is not paid."""
