from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from runtime import tasks
from runtime.slots import Slots

SLOTS = 4
#: Nothing here is done because time has passed.
NEVER_S = 3_600.0


class Work:
    """Numbers that are due; some hang until they are let go, some fail."""

    def __init__(self, due: int = 0, *, interval_s: float = NEVER_S) -> None:
        self.due = list(range(due))
        self.looks: list[int] = []
        self.begun: list[int] = []
        self.done: list[int] = []
        self.ended: list[int] = []
        self.most = 0
        self.hanging: set[int] = set()
        self.failing: set[int] = set()
        self.failing_looks = 0
        #: What becomes due after a look has seen all that was, and before it is told.
        self.late: list[int] = []
        self.let_go = asyncio.Event()
        self.slots = Slots(
            self.take, self.work, count=SLOTS, failed="test_failed", interval_s=interval_s
        )

    async def take(self, limit: int) -> list[int]:
        self.looks.append(limit)
        await asyncio.sleep(0)
        if self.failing_looks:
            self.failing_looks -= 1
            raise ValueError("no look")
        taken, self.due = self.due[:limit], self.due[limit:]
        if self.late:
            self.due, self.late = self.late, []
            self.slots.wake()
            await asyncio.sleep(0)
        return taken

    async def work(self, one: int) -> None:
        self.begun.append(one)
        self.most = max(self.most, len(self.begun) - len(self.ended))
        try:
            await asyncio.sleep(0)
            if one in self.failing:
                raise ValueError("no work")
            if one in self.hanging:
                await self.let_go.wait()
            self.done.append(one)
        finally:
            self.ended.append(one)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.slots.run())
        try:
            yield task
        finally:
            await tasks.end(task)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - whatever is awaited, the loop has to turn
            await asyncio.sleep(0)


async def rest() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_what_hangs_holds_up_no_others() -> None:
    """Goal: each once, never more than there are slots, and none waits for the slowest."""
    work = Work(201)
    work.hanging = {0, 1, 2}
    async with work.running():
        await until(lambda: len(work.done) == 198)
        assert sorted(work.done) == list(range(3, 201))
        work.let_go.set()
        await until(lambda: len(work.done) == 201)
    assert sorted(work.begun) == list(range(201))
    assert work.most == SLOTS
    assert max(work.looks) <= SLOTS
    assert min(work.looks) >= 1


async def test_nobody_looks_while_nothing_can_be_due() -> None:
    """Goal: one look, and then none before somebody wakes it; none at all without a free slot."""
    work = Work(0)
    async with work.running():
        await rest()
        assert work.looks == [SLOTS]
        work.due = [1]
        work.slots.wake()
        await until(lambda: work.done == [1])
        await rest()
        assert work.looks == [SLOTS, SLOTS]
        work.hanging = set(range(10, 14))
        work.due = list(range(10, 16))
        work.slots.wake()
        await rest()
        work.slots.wake()
        await rest()
        assert len(work.looks) == 3
        work.let_go.set()
        await until(lambda: len(work.done) == 7)


async def test_what_becomes_due_during_a_look_is_found() -> None:
    work = Work(0)
    work.late = [1]
    async with work.running():
        await until(lambda: work.done == [1])


async def test_it_looks_again_after_a_while() -> None:
    work = Work(0, interval_s=0.01)
    async with work.running():
        await until(lambda: len(work.looks) == 2)
        work.due = [1]
        await until(lambda: work.done == [1])


async def test_no_failure_ends_it() -> None:
    work = Work(20, interval_s=0.01)
    work.failing_looks = 2
    work.failing = {0, 7}
    async with work.running() as task:
        await until(lambda: len(work.done) == 18)
        assert not task.done()
    assert sorted(work.ended) == list(range(20))


async def test_its_end_is_the_end_of_what_is_under_way() -> None:
    """Goal: whoever has ended it may close what the work uses; nothing is begun any more."""
    for due in (2, SLOTS, SLOTS + 1):
        work = Work(due)
        work.hanging = set(range(due))
        async with work.running() as task:
            await until(lambda work=work, due=due: len(work.begun) == min(due, SLOTS))  # type: ignore[misc]
        assert task.cancelled()
        assert sorted(work.ended) == work.begun
        assert work.done == []


async def test_once() -> None:
    work = Work(SLOTS + 1)
    assert [await work.slots.work_due() for _ in range(3)] == [SLOTS, 1, 0]
    assert work.done == list(range(SLOTS + 1))
