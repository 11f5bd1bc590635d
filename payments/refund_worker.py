"""Does what is due of refunds: debits the balance, has the money sent, puts back what was not.

As payments.worker: the rows are the queue, whoever dies or comes too late has done nothing that
counts twice. The ledger and the processor know a refund by its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from payments import refund as life
from payments.books import Books
from payments.leases import LEASE_MS, STEP_TIMEOUT_S, leased
from payments.payment import Source
from payments.processor import Outcome, Processor, Result
from payments.refund import Refund, RefundStep
from payments.refund_store import RefundStore
from payments.retrying import postponed
from payments.steps import POLL_MS_MAX, POLL_MS_MIN, NotNow
from payments.worker import AT_ONCE
from runtime.clock import Clock
from runtime.log import get_logger
from runtime.metrics import REFUNDS

logger = get_logger()


class RefundWorker:
    """Works for ever (`run`), or once (`work_due`)."""

    def __init__(
        self,
        store: RefundStore,
        books: Books,
        processors: Mapping[Source, Processor],
        clock: Clock,
    ) -> None:
        self._store = store
        self._books = books
        self._processors = processors
        self._clock = clock
        self._due = leased(store.claim, self._work, clock, count=AT_ONCE, failed="refunds_failed")

    def wake(self) -> None:
        """Something is due: look now."""
        self._due.wake()

    async def run(self) -> None:
        """No failure ends it."""
        await self._due.run()

    async def work_due(self) -> int:
        """Does one step of each refund that is due; returns how many there were."""
        return await self._due.work_due()

    async def _work(self, taken: tuple[Refund, int]) -> None:
        refund, attempts = taken
        began_ms = self._clock.now_ms()
        known = refund.ask_ms is not None
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                if refund.step is RefundStep.SEND and not known:
                    asked = await self._about_to_ask(refund)
                    if asked is None:
                        return
                    refund = asked
                await self._step(refund, known=known)
                return
        except Exception as error:  # noqa: BLE001 - `postponed` logs it
            await postponed(
                error,
                lambda until_ms: self._store.postpone(refund, until_ms=until_ms),
                attempts=attempts,
                began_ms=began_ms,
                failed="refund_step_failed",
                kept="refund_not_postponed",
                refund_id=refund.id,
                step=refund.step,
            )

    async def _about_to_ask(self, refund: Refund) -> Refund | None:
        """Written first: whoever finds it so later knows that the processor may have been asked.
        None: it is not to be asked, or somebody else was faster.
        """
        now_ms = self._clock.now_ms()
        payment = await self._store.payment(refund.payment_id)
        if payment.returning:
            # Its money went back by itself: there is nothing left to give back.
            await self._save(life.turned_down(refund, reason=life.WENT_BACK, now_ms=now_ms))
            return None
        asked = life.asking(refund, until_ms=now_ms + LEASE_MS, now_ms=now_ms)
        return asked if await self._store.save(asked) else None

    async def _step(self, refund: Refund, *, known: bool) -> None:
        match refund.step:
            case RefundStep.DEBIT:
                debited = await self._books.debit_refund(refund)
                move = life.debited if debited else life.refused
                await self._save(move(refund, now_ms=self._clock.now_ms()))
            case RefundStep.SEND:
                await self._save(await self._sent(refund, known=known))
            case RefundStep.PUT_BACK:
                await self._books.reverse_refund(refund)
                await self._save(life.put_back(refund, now_ms=self._clock.now_ms()))
            case RefundStep.CONFIRM | RefundStep.NONE:
                raise AssertionError("nothing is due where there is nothing to do")

    async def _sent(self, refund: Refund, *, known: bool) -> Refund:
        """Has the money sent. If the processor may have heard of it (`known`), asks what has become
        of it first.
        """
        processor = self._processors.get(refund.source)
        if processor is None:
            # It was there when the refund was made: whoever configures it again gets an answer.
            raise NotNow(self._clock.now_ms() + POLL_MS_MAX)
        payment = await self._store.payment(refund.payment_id)
        found = await processor.find_refund(refund, payment) if known else None
        if found is None:
            now_ms = self._clock.now_ms()
            if not life.may_ask_again(refund, now_ms=now_ms):
                return life.turned_down(refund, reason=life.NO_ANSWER, now_ms=now_ms)
            found = await processor.refund(refund, payment)
        return self._after(refund, found)

    def _after(self, refund: Refund, outcome: Outcome) -> Refund:
        """What a processor's answer makes of a refund."""
        now_ms = self._clock.now_ms()
        if outcome.result is Result.REFUSED:
            return life.turned_down(refund, reason=outcome.reason, now_ms=now_ms)
        if outcome.result is Result.CAME:
            return life.sent(refund, reference=outcome.reference, now_ms=now_ms)
        assert refund.ask_ms is not None, "it was asked"
        again_ms = now_ms + min(max((now_ms - refund.ask_ms) // 4, POLL_MS_MIN), POLL_MS_MAX)
        if refund.reference == outcome.reference:
            raise NotNow(again_ms)
        return life.waiting(refund, reference=outcome.reference, again_ms=again_ms, now_ms=now_ms)

    async def _save(self, refund: Refund) -> None:
        if await self._store.save(refund):
            REFUNDS.labels(refund.source, refund.state).inc()
            self._due.wake()
