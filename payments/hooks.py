"""What follows from what a processor tells: an event counts once, whoever tells it.

Events come in any order, late, twice or never. So one about a charge only has the charge looked up,
and one about money that went back is acted on once; a poller asks for those that never came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from payments import payment as life
from payments.payment import State, Step, WrongState
from payments.refund import RefundState, turned_down
from payments.refund_store import Refunds
from payments.store import Store
from payments.stripe_words import Event
from payments.transaction import Transaction
from runtime.clock import Clock
from runtime.errors import Unavailable
from runtime.log import get_logger

if TYPE_CHECKING:
    from payments.stripe_processor import StripeProcessor

#: The customer's bank has taken the money back.
DISPUTED = "charge.dispute.created"
BY_DISPUTE = "DISPUTED"
#: The money of a refund did not reach whoever has paid.
REFUND_FAILED = "refund.failed"
#: How often the poller asks, and for how many events.
INTERVAL_S = 300.0
PAGE = 100

logger = get_logger()


class Hooks:
    """Acts on events."""

    def __init__(self, store: Store, clock: Clock, *, wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    async def take(self, event: Event) -> bool:
        """Acts on an event, unless it is known; False if it was."""
        now_ms = self._clock.now_ms()
        async with self._store.transaction(now_ms=now_ms) as transaction:
            if not await transaction.insert_event(event.id, event.type):
                return False
            if event.refund_id:
                await self._refund(transaction, event, now_ms=now_ms)
            payment = await transaction.charged_as(event.reference) if event.reference else None
            if payment is not None and event.type == DISPUTED:
                if payment.state is State.PROCESSING and payment.step is Step.CHARGE:
                    # Rolled back, and told again: first it has to be known that the money came.
                    raise Unavailable("the charge is not known yet", reason="EVENT_TOO_EARLY")
                try:
                    after = life.went_back(payment, reason=BY_DISPUTE, now_ms=now_ms)
                except WrongState:
                    # Staff was faster.
                    logger.warning("dispute_not_taken", payment_id=payment.id, state=payment.state)
                else:
                    await transaction.update_payment(after)
            elif payment is not None:
                await transaction.look_up(payment.id)
        self._wake()
        return True

    async def poll(self, stripe: StripeProcessor) -> int:
        """Takes what nobody told of disputes and failed refunds; returns how much that was."""
        taken = 0
        for kind in (DISPUTED, REFUND_FAILED):
            for event in await stripe.events(kind, limit=PAGE):
                taken += await self.take(event)
        return taken

    async def _refund(self, transaction: Transaction, event: Event, *, now_ms: int) -> None:
        """A refund that was sent, and has failed since, is put back; any other is looked up."""
        refunds = Refunds(transaction)
        refund = await refunds.refund(event.refund_id)
        if refund is None:
            logger.warning("refund_not_known", reference=event.refund_id)
        elif refund.state is RefundState.SUCCEEDED and event.refund_failure:
            reason = event.refund_failure
            await refunds.update(turned_down(refund, reason=reason, now_ms=now_ms))
        else:
            await refunds.look_up(refund.id)

    async def run(self, stripe: StripeProcessor) -> None:
        """Asks for ever; no failure ends it."""
        while True:
            try:
                await self.poll(stripe)
            except Exception:
                logger.exception("events_not_polled")
            await asyncio.sleep(INTERVAL_S)
