"""Ends background tasks for certain."""

from __future__ import annotations

import asyncio

#: A cancellation may be swallowed by whatever the task was waiting for: it is repeated.
_REPEAT_S = 1.0


async def end(task: asyncio.Task[None]) -> None:
    """Cancels a task until it has ended."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_REPEAT_S)
    if not task.cancelled():
        task.exception()
