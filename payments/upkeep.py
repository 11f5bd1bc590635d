"""Regular work beside the RPCs: request ids are forgotten when their lifetime is over."""

from __future__ import annotations

import asyncio

from payments.store import FORGET_BATCH, Store
from runtime.clock import Clock
from runtime.log import get_logger

#: How often to look.
INTERVAL_S = 600.0

logger = get_logger()


async def forget_requests(store: Store, clock: Clock, *, lifetime_h: int) -> None:
    """Forgets old request ids for ever; no failure ends it."""
    while True:
        forgotten = 0
        try:
            before_ms = clock.now_ms() - lifetime_h * 3_600_000
            forgotten = await store.forget_requests(before_ms=before_ms)
        except Exception:
            logger.exception("forget_requests_failed")
        await asyncio.sleep(0 if forgotten == FORGET_BATCH else INTERVAL_S)
