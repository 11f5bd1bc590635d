"""Has processors forget from where accounts were paid whose owners were erased.

As payments.worker: the rows are the queue, and whoever dies has done nothing that hurts twice. The
processor comes first, then the row: what it knows a funding source by is needed until it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from payments.erasure_store import ErasureStore
from payments.leases import STEP_TIMEOUT_S, leased
from payments.payment import Source
from payments.processor import Connector
from payments.retrying import postponed
from payments.steps import POLL_MS_MAX, NotNow
from runtime.clock import Clock
from runtime.log import get_logger

#: How many accounts are forgotten at the same time: nobody waits for it.
AT_ONCE = 4
#: How often to look whether a charge has ended that goes first.
CHARGE_MS = 60_000

logger = get_logger()


class Eraser:
    """Works for ever (`run`), or once (`work_due`)."""

    def __init__(
        self, store: ErasureStore, connectors: Mapping[Source, Connector], clock: Clock
    ) -> None:
        self._store = store
        self._connectors = connectors
        self._clock = clock
        self._due = leased(store.claim, self._work, clock, count=AT_ONCE, failed="erasures_failed")

    def wake(self) -> None:
        """Something is due: look now."""
        self._due.wake()

    async def run(self) -> None:
        """No failure ends it."""
        await self._due.run()

    async def work_due(self) -> int:
        """Has accounts forgotten that are due; returns how many there were."""
        return await self._due.work_due()

    async def _work(self, taken: tuple[str, int]) -> None:
        account_id, attempts = taken
        began_ms = self._clock.now_ms()
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await self._forget(account_id)
                return
        except Exception as error:  # noqa: BLE001 - `postponed` logs it
            await postponed(
                error,
                lambda until_ms: self._store.postpone(account_id, until_ms=until_ms),
                attempts=attempts,
                began_ms=began_ms,
                failed="erasure_failed",
                kept="erasure_not_postponed",
                account_id=account_id,
            )

    async def _forget(self, account_id: str) -> None:
        if await self._store.is_charging(account_id):
            # What was begun is ended with what it was begun with.
            raise NotNow(self._clock.now_ms() + CHARGE_MS)
        for source in await self._store.known_sources(account_id):
            connector = self._connectors.get(source.source)
            if connector is None and source.customer:
                # It was there when the source was added: whoever configures it again ends this.
                logger.warning("processor_not_told", account_id=account_id, source=source.source)
                raise NotNow(self._clock.now_ms() + POLL_MS_MAX)
            if connector is not None:
                await connector.forget(source)
            await self._store.wipe(source, now_ms=self._clock.now_ms())
        await self._store.finish(account_id, now_ms=self._clock.now_ms())
        logger.info("account_forgotten", account_id=account_id)
