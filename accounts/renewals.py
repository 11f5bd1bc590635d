"""Renews cards before they expire, so that nobody stands at a till with a card of last month."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from accounts import card_flow
from accounts.card_life import RENEWAL_DAYS_MAX
from accounts.numbers import CardNumbers
from accounts.requests import BY_ITSELF
from accounts.store import NO_EXPIRING, Store
from runtime.clock import Clock, datetime_of
from runtime.errors import HoldfastError, Unavailable
from runtime.log import get_logger
from runtime.outbox import Outbox
from runtime.tasks import work_for_ever

#: How often to look for cards that expire.
INTERVAL_S = 3_600.0
#: Cards that are read at once.
BATCH = 100

logger = get_logger()


class Renewals:
    """Renews cards in use, of open accounts, `days` before the month of their expiry."""

    def __init__(
        self, store: Store, outbox: Outbox, numbers: CardNumbers, clock: Clock, *, days: int
    ) -> None:
        assert days < RENEWAL_DAYS_MAX, "cards cannot be renewed earlier than that"
        self._store = store
        self._outbox = outbox
        self._numbers = numbers
        self._clock = clock
        self._days = days

    async def run(self) -> None:
        """Renews cards for ever; no failure ends it."""
        await work_for_ever(self.renew_due, failed="renewals_failed", interval_s=INTERVAL_S)

    async def renew_due(self) -> int:
        """All that are due, one page after the other: those that are refused hold up no others.
        Returns how many are renewed.
        """
        soon = datetime_of(self._clock.now_ms()) + timedelta(days=self._days)
        # The last month that has ended by then.
        last = soon.replace(day=1) - timedelta(days=1)
        renewed, after = 0, NO_EXPIRING
        while True:
            due = await self._store.expiring(
                year=last.year, month=last.month, after=after, limit=BATCH
            )
            renewed += sum([await self._renew(one.card_id) for one in due])
            self._outbox.wake()
            if len(due) < BATCH:
                return renewed
            after = due[-1]

    async def _renew(self, card_id: str) -> bool:
        now_ms = self._clock.now_ms()
        try:
            async with self._store.transaction(now_ms=now_ms) as transaction:
                transaction.caused_by(replace(BY_ITSELF, method="RenewCard"))
                found = await transaction.card_of_steady_account(card_id)
                assert found is not None, "cards are never deleted"
                await card_flow.made_anew(
                    transaction, self._numbers, found, renewal=True, now_ms=now_ms
                )
        except Unavailable:
            raise
        except HoldfastError as error:
            # Closed in between, or the account was; or it has no number to keep.
            logger.info("renewal_refused", card_id=card_id, reason=error.reason)
            return False
        return True
