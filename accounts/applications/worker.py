"""What happens to applications without anybody asking: checks, what approvals open, expiry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from accounts.applications.application import FINAL, Transition, move
from accounts.applications.checks import Checks
from accounts.applications.fulfilment import Fulfilling
from accounts.applications.providers import ProviderUnavailable
from accounts.applications.store import Applications
from accounts.machine import IllegalTransition
from accounts.store import Store
from runtime.clock import Clock
from runtime.log import get_logger
from runtime.tasks import work_for_ever

#: How often to look for applications that nobody has woken us for.
INTERVAL_S = 1.0
#: Applications that one look takes on, side by side.
BATCH = 8
#: What was taken on and not finished is due again after this time.
AGAIN_MS = 10_000

logger = get_logger()


class Worker:
    """Works for ever (`run`), or once (`work_due`)."""

    def __init__(
        self,
        store: Store,
        applications: Applications,
        checks: Checks,
        fulfilling: Fulfilling,
        clock: Clock,
    ) -> None:
        self._store = store
        self._applications = applications
        self._checks = checks
        self._fulfilling = fulfilling
        self._clock = clock
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """An application was committed: look now."""
        self._wake.set()

    async def run(self) -> None:
        """No failure ends it."""
        await work_for_ever(
            self.work_due, failed="applications_failed", interval_s=INTERVAL_S, wake=self._wake
        )

    async def work_due(self) -> bool:
        """One look; True if there may be more."""
        now_ms = self._clock.now_ms()
        times = {"now_ms": now_ms, "again_ms": now_ms + AGAIN_MS, "limit": BATCH}
        unchecked = await self._applications.claim_unchecked(**times)
        await self._all(unchecked, self._checks.run)
        unfulfilled = await self._applications.claim_unfulfilled(**times)
        await self._all(unfulfilled, self._fulfilling.run)
        expired = await self._applications.expired(now_ms=now_ms, limit=BATCH)
        await self._all(expired, self._expire)
        return BATCH in (len(unchecked), len(unfulfilled), len(expired))

    async def _all(self, names: list[str], work: Callable[[str], Awaitable[object]]) -> None:
        await asyncio.gather(*(self._one(name, work) for name in names))

    async def _one(self, application_id: str, work: Callable[[str], Awaitable[object]]) -> None:
        """One that fails is tried again later, and holds up no other."""
        try:
            await work(application_id)
        except ProviderUnavailable as error:
            logger.warning("provider_unavailable", application=application_id, error=str(error))
        except Exception:
            logger.exception("application_failed", application=application_id)

    async def _expire(self, application_id: str) -> None:
        now_ms = self._clock.now_ms()
        async with self._store.transaction(now_ms=now_ms) as transaction:
            applications = Applications(transaction.connection)
            application = await applications.get(application_id, locked=True)
            if application is None or application.state in FINAL:
                return
            moved = move(application, Transition.EXPIRE, now_ms=now_ms)
            assert not isinstance(moved, IllegalTransition), "what is open can expire"
            await applications.update(replace(moved))
