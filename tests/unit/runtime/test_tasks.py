from __future__ import annotations

import asyncio

import pytest

from runtime import tasks


async def test_task_that_swallows_a_cancellation_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "_REPEAT_S", 0.005)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await tasks.end(task)
    assert task.cancelled()


async def test_task_that_failed_is_over() -> None:
    async def broken() -> None:
        raise ValueError("gone")

    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    await tasks.end(task)
    assert task.done()
