"""What notify does by the way: forgets what is too old."""

from __future__ import annotations

from notify import event_store
from notify.event_store import EventStore
from notify.notices.store import NoticeStore
from notify.webhook_store import WebhookStore
from runtime.clock import Clock
from runtime.tasks import work_for_ever

INTERVAL_S = 600.0
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


async def forget(
    events: EventStore,
    webhooks: WebhookStore,
    notices: NoticeStore,
    clock: Clock,
    *,
    days: int,
    sink: str,
    requests_h: int,
) -> None:
    """Forgets old events, deliveries, notices and request ids, for ever; no failure ends it. What
    the event sink (empty: there is none) does not have yet is kept, however old it is.
    """

    async def look() -> bool:
        now_ms = clock.now_ms()
        before_ms = now_ms - days * _DAY_MS
        more = await webhooks.forget(
            before_ms=before_ms, requests_before_ms=now_ms - requests_h * _HOUR_MS
        )
        forgotten = await events.forget(before_ms=before_ms, sink=sink)
        more = more or forgotten == event_store.FORGET_BATCH
        return await notices.forget(before_ms=before_ms) or more

    await work_for_ever(look, failed="forget_failed", interval_s=INTERVAL_S)
