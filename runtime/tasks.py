"""Background tasks: waiting for work, and an end for certain."""

from __future__ import annotations

import asyncio

#: A cancellation may be swallowed by whatever the task was waiting for: it is repeated.
_REPEAT_S = 1.0


async def woken(event: asyncio.Event, *, longest_s: float) -> None:
    """Returns when somebody wakes whoever waits, or when it has waited long enough."""
    try:
        async with asyncio.timeout(longest_s):
            await event.wait()
    except TimeoutError:
        return


async def end(task: asyncio.Task[None]) -> None:
    """Cancels a task until it has ended."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_REPEAT_S)
    if not task.cancelled():
        task.exception()
