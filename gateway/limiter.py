"""The sliding windows on the second Valkey. What queued in one turn travels together."""

from __future__ import annotations

from typing import NamedTuple

from gateway.limits import WINDOW_MS, Limit
from gateway.scripts import TAKE_REQUEST, Status
from runtime.clock import Clock
from runtime.pipe import Pipe


class Taken(NamedTuple):
    """What became of one request."""

    #: False: the limit is used up.
    allowed: bool
    remaining: int
    #: Until one more request may be made.
    wait_ms: int


class Limiter:
    """Counts requests, exactly: in no window are more let through than its limit."""

    def __init__(self, pipe: Pipe, clock: Clock) -> None:
        self._pipe = pipe
        self._clock = clock

    async def take(self, limit: Limit) -> Taken:
        """Counts a request unless the limit is used up. Unavailable without Valkey."""
        status, remaining, wait_ms = await self._pipe.run(
            TAKE_REQUEST,
            (limit.key,),
            (str(self._clock.now_ms()), str(limit.per_minute), str(WINDOW_MS)),
        )
        return Taken(status == Status.TAKEN, int(remaining), int(wait_ms))
