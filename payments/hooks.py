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
from payments.store import Store
from payments.stripe_words import Event
from runtime.clock import Clock
from runtime.errors import Unavailable
from runtime.log import get_logger

if TYPE_CHECKING:
    from payments.stripe_processor import StripeProcessor

#: The customer's bank has taken the money back.
DISPUTED = "charge.dispute.created"
BY_DISPUTE = "DISPUTED"
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
        """Takes the disputes that nobody told; returns how many there were."""
        taken = 0
        for event in await stripe.events(DISPUTED, limit=PAGE):
            taken += await self.take(event)
        return taken

    async def run(self, stripe: StripeProcessor) -> None:
        """Asks for ever; no failure ends it."""
        while True:
            try:
                await self.poll(stripe)
            except Exception:
                logger.exception("events_not_polled")
            await asyncio.sleep(INTERVAL_S)
