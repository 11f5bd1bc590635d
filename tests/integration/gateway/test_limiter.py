"""The sliding window, on a real Valkey and against the rule it keeps, written down in a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.limiter import Limiter
from gateway.limits import WINDOW_MS, Kind, Limit
from runtime.clock import ManualClock
from runtime.devstack.supervisor import Devstack
from runtime.pipe import Pipe
from tests.gateway_mesh import valkey_pipe

LIMIT = Limit(kind=Kind.CALLER, whose="usr_1", per_minute=100)


@pytest.fixture
async def pipe(devstack_base: Devstack, cache: Redis) -> AsyncIterator[Pipe]:
    del cache
    async with valkey_pipe(devstack_base.settings) as opened:
        yield opened


async def test_request_101_is_refused_and_request_100_is_not(pipe: Pipe) -> None:
    clock = ManualClock()
    limiter = Limiter(pipe, clock)
    begun_ms = clock.now_ms()
    for number in range(100):
        taken = await limiter.take(LIMIT)
        assert (taken.allowed, taken.remaining) == (True, 99 - number)
        clock.advance(100)
    refused = await limiter.take(LIMIT)
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert refused.wait_ms == begun_ms + WINDOW_MS + 1 - clock.now_ms()
    # Not a millisecond too early, and then one.
    clock.advance(refused.wait_ms - 1)
    assert not (await limiter.take(LIMIT)).allowed
    clock.advance(1)
    assert (await limiter.take(LIMIT)).allowed
    assert not (await limiter.take(LIMIT)).allowed


async def test_no_window_has_more_than_its_limit(pipe: Pipe) -> None:
    """Method: bursts and pauses of every length; each answer is compared with the rule: refused if
    and only if `limit` were let through in the window before.
    """
    clock, limit = ManualClock(), Limit(kind=Kind.KEY, whose="key_1", per_minute=7)
    limiter, let_through = Limiter(pipe, clock), list[int]()
    state = 1
    for _ in range(600):
        state = state * 1_103_515_245 % 2**31
        clock.advance((0, 1, 40, 900, 8_000, 59_999)[state % 6])
        now_ms = clock.now_ms()
        recent = [then for then in let_through if then >= now_ms - WINDOW_MS]
        taken = await limiter.take(limit)
        assert taken.allowed == (len(recent) < limit.per_minute)
        if taken.allowed:
            let_through.append(now_ms)


async def test_callers_at_once_get_exactly_the_limit(pipe: Pipe) -> None:
    limiter = Limiter(pipe, ManualClock())
    taken = await asyncio.gather(*(limiter.take(LIMIT) for _ in range(1000)))
    assert sum(one.allowed for one in taken) == 100


async def test_a_window_is_bounded_and_forgotten(pipe: Pipe, cache: Redis) -> None:
    limiter = Limiter(pipe, ManualClock())
    await asyncio.gather(*(limiter.take(LIMIT) for _ in range(300)))
    assert await cache.llen(LIMIT.key) == 100
    assert 0 < await cache.pttl(LIMIT.key) <= WINDOW_MS + 1
    used = await cache.memory_usage(LIMIT.key)
    assert used is not None
    assert used < 2048


async def test_a_lower_limit_counts_at_once(pipe: Pipe) -> None:
    clock = ManualClock()
    limiter = Limiter(pipe, clock)
    for _ in range(50):
        await limiter.take(LIMIT)
    lower = Limit(kind=LIMIT.kind, whose=LIMIT.whose, per_minute=10)
    assert not (await limiter.take(lower)).allowed
    clock.advance(WINDOW_MS + 1)
    assert (await limiter.take(lower)).allowed


async def test_a_clock_that_goes_back_gives_nothing_away(pipe: Pipe) -> None:
    clock = ManualClock()
    limiter = Limiter(pipe, clock)
    for _ in range(100):
        await limiter.take(LIMIT)
    clock.advance(-30_000)
    assert not (await limiter.take(LIMIT)).allowed
    # By more than a window: nobody is shut out until the clock has come back.
    clock.advance(-3_600_000)
    assert (await limiter.take(LIMIT)).allowed
