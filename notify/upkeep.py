"""What notify does by the way: forgets what is too old."""

from __future__ import annotations

import asyncio

from notify import event_store
from notify.event_store import EventStore
from notify.notices.store import NoticeStore
from notify.webhook_store import WebhookStore
from runtime.clock import Clock
from runtime.log import get_logger

INTERVAL_S = 600.0
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

logger = get_logger()


async def forget(
    events: EventStore,
    webhooks: WebhookStore,
    notices: NoticeStore,
    clock: Clock,
    *,
    days: int,
    requests_h: int,
) -> None:
    """Forgets old events, deliveries, notices and request ids, for ever; no failure ends it."""
    while True:
        more, now_ms = False, clock.now_ms()
        before_ms = now_ms - days * _DAY_MS
        try:
            more = await webhooks.forget(
                before_ms=before_ms, requests_before_ms=now_ms - requests_h * _HOUR_MS
            )
            forgotten = await events.forget(before_ms=before_ms)
            more = more or forgotten == event_store.FORGET_BATCH
            more = await notices.forget(before_ms=before_ms) or more
        except Exception:
            logger.exception("forget_failed")
        await asyncio.sleep(0 if more else INTERVAL_S)
