"""A cache Valkey without room: limits would go first, so somebody hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.cache_watch import CacheWatch
from runtime.devstack import checks_servers
from runtime.devstack.checks import Check, Verdict
from runtime.devstack.supervisor import Devstack
from runtime.metrics import CACHE_EVICTED, CACHE_MEMORY_USED
from runtime.pipe import Pipe
from tests.gateway_mesh import valkey_pipe


@pytest.fixture
async def pipe(devstack_base: Devstack) -> AsyncIterator[Pipe]:
    """Gateway's own connection, with what its login may do."""
    async with valkey_pipe(devstack_base.settings) as opened:
        yield opened


async def _checked(stack: Devstack) -> Check:
    given = stack.settings.model_copy(update={"postgres_dsn": "other"})
    checks = [one async for one in checks_servers.running(stack.settings, given_settings=given)]
    return next(one for one in checks if one.name == "cache Valkey")


async def test_what_is_evicted_is_told(devstack_base: Devstack, cache: Redis, pipe: Pipe) -> None:
    """Goal: limits that are gone do not go unnoticed: metrics and `holdfast doctor` tell."""
    watch = CacheWatch(pipe)
    await cache.config_resetstat()
    await watch.look()
    assert (CACHE_EVICTED._value.get(), CACHE_MEMORY_USED._value.get() < 0.5) == (0, True)
    assert (await _checked(devstack_base)).verdict is Verdict.OK
    before = int((await cache.info("memory"))["maxmemory"])
    room = int((await cache.info("memory"))["used_memory"]) + 1_000_000
    try:
        await cache.config_set("maxmemory", room)
        await cache.set("limit:caller:usr_1", "x", px=60_000)
        for number in range(40):
            await cache.set(f"session:{number}", "x" * 50_000, px=3_600_000)
        assert not await cache.exists("limit:caller:usr_1"), "what expires first goes first"
        await watch.look()
        assert CACHE_EVICTED._value.get() > 0
        assert CACHE_MEMORY_USED._value.get() > 0.7
        told = await _checked(devstack_base)
        assert (told.verdict, "HOLDFAST_CACHE_MEMORY_MB" in told.hint) == (Verdict.WARN, True)
    finally:
        await cache.config_set("maxmemory", before)
        await cache.flushall()
        await cache.config_resetstat()
    assert (await _checked(devstack_base)).verdict is Verdict.OK
