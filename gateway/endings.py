"""Ends sessions surely: which ones is written beside the change, and the relay ends them, too.

Whoever makes the change ends them before it answers. If it dies behind the commit, or the cache is
away just then, the row is left, and some process ends them as soon as there is one.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from runtime.errors import Unavailable
from runtime.outbox import DeliveryFailed, Message, Row

TOPIC = "end-sessions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The sessions of a user that began before a version of it, but for one."""

    user_id: str
    version: int
    but: str = ""

    @property
    def message(self) -> Message:
        """For the outbox. Nothing in it is secret."""
        content = json.dumps(asdict(self)).encode()
        return Message(topic=TOPIC, key=f"sessions:{self.user_id}", payload=content)


def deliverer(
    end: Callable[[Ending], Awaitable[None]], others: Callable[[Row], Awaitable[None]]
) -> Callable[[Row], Awaitable[None]]:
    """Hands endings to `end`, and what else waits in the outbox to `others`."""

    async def deliver(row: Row) -> None:
        if row.topic != TOPIC:
            await others(row)
            return
        try:
            await end(Ending(**json.loads(row.payload)))
        except Unavailable as error:
            raise DeliveryFailed(error.message) from None

    return deliver
