"""Slots: what is due is worked on so much at a time, and nothing waits for the slowest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from runtime.log import get_logger
from runtime.tasks import woken

One = TypeVar("One")

logger = get_logger()


class Slots(Generic[One]):
    """`take` takes at most so much of what is due, in a way that nobody else takes it meanwhile;
    `work` does one of it. What hangs keeps its own slot, and no other.
    """

    def __init__(
        self,
        take: Callable[[int], Awaitable[Sequence[One]]],
        work: Callable[[One], Coroutine[Any, Any, None]],
        *,
        count: int,
        failed: str,
        interval_s: float,
    ) -> None:
        """`count`: how many slots; `failed`: what the log calls a failure of either."""
        assert count > 0, "somebody has to work"
        self._take = take
        self._work = work
        self._count = count
        self._failed = failed
        self._interval_s = interval_s
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something is due: look now."""
        self._wake.set()

    async def run(self) -> None:
        """Works for ever, and no failure ends it. While every slot is taken, the first that is
        free takes what is due next; else it looks again after a while, or when somebody wakes it.
        Its end is that of the work under way.
        """
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                # First: what somebody wakes it for while it looks, it may have missed.
                self._wake.clear()
                free = self._count - len(under_way)
                taken = await self._taken(free)
                under_way |= {group.create_task(self._worked(one)) for one in taken}
                if len(taken) < free:
                    await woken(self._wake, longest_s=self._interval_s)
                    under_way = {task for task in under_way if not task.done()}
                else:
                    _, under_way = await asyncio.wait(
                        under_way, return_when=asyncio.FIRST_COMPLETED
                    )

    async def work_due(self) -> int:
        """Does once what is due, as much as there are slots; returns how much there was."""
        taken = await self._take(self._count)
        async with asyncio.TaskGroup() as group:
            for one in taken:
                group.create_task(self._work(one))
        return len(taken)

    async def _taken(self, free: int) -> Sequence[One]:
        try:
            return await self._take(free)
        except Exception:
            logger.exception(self._failed)
            return ()

    async def _worked(self, one: One) -> None:
        try:
            await self._work(one)
        except Exception:
            logger.exception(self._failed)
