"""What every mutation has in common: once per request id, with its entry of the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from notify.webhook_store import WebhookStore, WebhookTransaction
from runtime.audit.log import REPLAYED_REASON
from runtime.request_id import REPLAYED
from runtime.request_records import RequestKey

_Answer = TypeVar("_Answer", bound=Message)
Effect = Callable[[WebhookTransaction], Awaitable[_Answer]]


class Mutations:
    """Runs mutations."""

    def __init__(self, store: WebhookStore) -> None:
        self._store = store

    async def once(
        self,
        key: RequestKey,
        effect: Effect[_Answer],
        kind: type[_Answer],
        context: Any,
        *,
        now_ms: int,
    ) -> tuple[_Answer, bool]:
        """Has the effect once per request id; returns the answer, and whether it is repeated."""
        async with self._store.transaction(now_ms=now_ms) as transaction:
            stored = await transaction.claim(key)
            if stored is None:
                answer = await effect(transaction)
                await transaction.answer(key, answer.SerializeToString())
            else:
                stored.require(key)
                answer = kind.FromString(stored.response)
                await transaction.record(reason=REPLAYED_REASON)
        if stored is not None:
            await context.send_initial_metadata(REPLAYED)
        return answer, stored is not None
