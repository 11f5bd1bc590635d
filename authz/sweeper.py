"""The sweeper: releases what has expired. Every worker may sweep; a lease lets one at a time.

Sweeping twice is harmless: the script looks at the expiry again and answers NOT_DUE.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from authz import keys
from authz.commands import Release, Target
from authz.convert import Fingerprints
from authz.hold_flow import HoldFlow
from authz.money_store import MoneyStore
from authz.outcome import EntryType
from runtime.clock import Clock
from runtime.errors import HoldfastError
from runtime.log import get_logger

#: How often is swept. An expiry may be this much late.
SWEEP_S = 5.0
#: Holds that one round takes of one partition.
BATCH = 200
PRINCIPAL = "holdfast:sweeper"

logger = get_logger()


class Sweeper:
    """Expires holds that are due."""

    def __init__(
        self, store: MoneyStore, holds: HoldFlow, fingerprints: Fingerprints, *, clock: Clock
    ) -> None:
        self._store = store
        self._holds = holds
        self._fingerprints = fingerprints
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts sweeping."""
        self._task = asyncio.create_task(self._run(), name="sweeper")

    async def stop(self) -> None:
        """Stops sweeping."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                if await self._store.take_lease(keys.SWEEPER, ms=int(SWEEP_S * 2_000)):
                    await self.sweep()
            except HoldfastError as error:
                logger.debug("sweeper_waits", because=str(error))
            except Exception:  # the next round may go well; nothing is lost by waiting for it
                logger.exception("sweep_failed")

    async def sweep(self) -> int:
        """Expires everything that is due now; returns how many holds that were."""
        swept = 0
        for tag in keys.TAGS:
            while due := await self._store.due(tag, now_ms=self._clock.now_ms(), limit=BATCH):
                released = sum([await self._expire(authorization_id) for authorization_id in due])
                swept += released
                if not released:
                    break
        return swept

    async def _expire(self, authorization_id: str) -> bool:
        request_id = f"expire.{authorization_id}.{self._clock.now_ms()}"
        command = Release(
            principal=PRINCIPAL,
            acts_for_all=True,
            request_id=request_id,
            fingerprint=self._fingerprints.of(b"Sweep", request_id.encode()),
            raw=b"",
            target=Target(authorization_id=authorization_id),
            kind=EntryType.EXPIRY,
            amount_minor=None,
            currency_code="",
            only_when_due=True,
        )
        try:
            await self._holds.release(command)
        except HoldfastError as error:
            logger.info("expiry_skipped", authorization_id=authorization_id, because=error.reason)
            return False
        return True
