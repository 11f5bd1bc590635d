"""Who may send at the same time. Whoever is not answered soon gives the place to the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: A place is kept for so long.
LATE_S = 1.0
#: So many times as many may be late at the same time; then places are kept.
LATE_FACTOR = 4


class Slots:
    """Places for requests: `at_once` that were just begun, and some that wait for late answers."""

    def __init__(self, at_once: int, *, late_s: float = LATE_S) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._late_s = late_s
        self._late_max = LATE_FACTOR * at_once
        self._late = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Waits for a place, and has it as long as the block lasts, or until it is late."""
        await self._room.acquire()
        is_late = False

        def give_way() -> None:
            nonlocal is_late
            if self._late < self._late_max:
                is_late = True
                self._late += 1
                self._room.release()

        timer = asyncio.get_running_loop().call_later(self._late_s, give_way)
        try:
            yield
        finally:
            timer.cancel()
            if is_late:
                self._late -= 1
            else:
                self._room.release()
