"""A processor that hangs: what waits for it holds up no other payments, and is ended cleanly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from payments.funding import FundingSource
from payments.leases import LEASE_MS
from payments.payment import Payment, Source
from payments.processor import Outcome
from payments.store import _SQL
from runtime import tasks
from tests.payments_mesh import PaymentsMesh

ACCOUNTS, EACH = 4, 50


class Hanging:
    """The real one, but for payments of which it says nothing any more."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.left: list[str] = []

    async def charge(self, payment: Payment, source: FundingSource) -> Outcome:
        self.asked.append(payment.id)
        found: Outcome = await self._inner.charge(payment, source)
        if payment.id in self.silent:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.append(payment.id)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Going:
    """The real pool, but for the first looks for what is due."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.failed = 0

    async def fetch(self, query: str, *arguments: Any) -> Any:
        if query == _SQL["claim_payments"] and self.failed < 2:
            self.failed += 1
            raise OSError("gone")
        return await self._inner.fetch(query, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
def hanging(mesh: PaymentsMesh) -> Hanging:
    found = Hanging(mesh.parts.processors[Source.IN_HOUSE])
    mesh.parts.processors[Source.IN_HOUSE] = found
    return found


@asynccontextmanager
async def working(mesh: PaymentsMesh) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(mesh.worker.run())
    try:
        yield task
    finally:
        await tasks.end(task)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.02)


async def test_one_that_hangs_holds_up_no_others(mesh: PaymentsMesh, hanging: Hanging) -> None:
    """Goal: 200 others are done while one waits for its answer; each is asked for once. Whoever
    ends the worker ends that step, too, and the next one finds out what came of it.
    """
    payers = [await mesh.payer(owed_minor=100_000, deposit_minor=100_000) for _ in range(ACCOUNTS)]
    silent = (await mesh.pay(payers[0], 700)).id
    hanging.silent.add(silent)
    made = [(await mesh.pay(payer, 100)).id for payer in payers for _ in range(EACH)]

    async def done() -> bool:
        counted: int = await mesh.pool.fetchval(
            "SELECT count(*) FROM payment WHERE state = 'SUCCEEDED' AND step = 'NONE'"
        )
        return counted == len(made)

    async with working(mesh) as task:
        await until(done)
        assert await mesh.state(silent) == "PROCESSING"
        assert hanging.left == []
    assert (task.cancelled(), hanging.left) == (True, [silent])
    assert sorted(hanging.asked) == sorted([silent, *made])
    await mesh.work()
    assert await mesh.state(silent) == "PROCESSING", "it is taken: its lease is not over"
    mesh.clock.advance(LEASE_MS)
    await mesh.work()
    assert await mesh.state(silent) == "SUCCEEDED"
    assert hanging.asked.count(silent) == 1
    assert await mesh.deposit(payers[0]) == 100_000 - 700 - EACH * 100
    assert await mesh.owed(payers[0]) == (100_000 - 700 - EACH * 100, 0)


async def test_a_look_that_fails_is_not_the_last(
    mesh: PaymentsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: PostgreSQL may go while a worker looks for what is due."""
    made = await mesh.pay(await mesh.payer())
    going = Going(mesh.parts.store._pool)

    async def done() -> bool:
        return await mesh.state(made.id) == "SUCCEEDED"

    monkeypatch.setattr(mesh.parts.store, "_pool", going)
    async with working(mesh):
        mesh.worker.wake()
        await until(done)
    assert going.failed == 2
