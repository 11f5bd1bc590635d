"""What every mutation has in common: once per request id, recorded with its change.

A repetition is answered before anybody else is asked anything: what was true then need not be now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from payments.store import Store
from payments.transaction import Transaction
from runtime.audit.log import REPLAYED_REASON
from runtime.clock import Clock
from runtime.request_id import REPLAYED
from runtime.request_records import RequestKey, Stored

Answer = TypeVar("Answer", bound=Message)
Facts = TypeVar("Facts")


class Mutations:
    """Runs mutations."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(
        self,
        key: RequestKey,
        context: Any,
        answer: type[Answer],
        *,
        ask: Callable[[], Awaitable[Facts]],
        change: Callable[[Transaction, Facts], Awaitable[Answer]],
    ) -> Answer:
        """Answers a request: `ask` finds out what others know, with nothing locked; `change` writes
        and records.
        """
        stored = await self._store.stored(key)
        if stored is not None:
            return await self._repeat(key, stored, context, answer)
        facts = await ask()
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            stored = await transaction.claim(key)
            if stored is None:
                made = await change(transaction, facts)
                await transaction.answer(key, made.SerializeToString())
                return made
        return await self._repeat(key, stored, context, answer)

    async def _repeat(
        self, key: RequestKey, stored: Stored, context: Any, answer: type[Answer]
    ) -> Answer:
        stored.require(key)
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            await transaction.record(reason=REPLAYED_REASON)
        await context.send_initial_metadata(REPLAYED)
        return answer.FromString(stored.response)


async def nothing() -> None:
    """There is nothing to ask."""
