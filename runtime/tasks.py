"""Background tasks: waiting for work, and an end for certain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from runtime.log import get_logger

#: A cancellation may be swallowed by whatever the task was waiting for: it is repeated.
_REPEAT_S = 1.0

logger = get_logger()


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs these beside the block; at its end they are cancelled, and have ended. What one of them
    fails with is its own affair.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def work_for_ever(
    look: Callable[[], Awaitable[int]],
    *,
    failed: str,
    interval_s: float,
    wake: asyncio.Event | None = None,
) -> None:
    """Looks for work for ever: again at once while there is some, else after a while, or when
    somebody wakes it. `look` says whether there may be more. No failure ends it; `failed` is what
    the log calls it.
    """
    wake = wake or asyncio.Event()
    while True:
        wake.clear()
        more: int = False
        try:
            more = await look()
        except Exception:
            logger.exception(failed)
        if more:
            await asyncio.sleep(0)
        else:
            await woken(wake, longest_s=interval_s)


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
