"""What `holdfast doctor` asks the servers of a running installation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
from redis.exceptions import RedisError

from runtime import redis
from runtime.devstack import external, postgres, valkey
from runtime.devstack.checks import Check, fail, ok, warn
from runtime.devstack.errors import DevstackError
from runtime.devstack.settings import StackSettings
from runtime.dsn import with_login

_MEMORY_USED_WARN = 0.7
_MONEY_CONFIG = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
_POSTGRES_CONFIG = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


async def given(settings: StackSettings) -> AsyncIterator[Check]:
    """Whether the servers that settings name let us in."""
    if not (settings.postgres_dsn or settings.redis_url or settings.cache_url):
        return
    try:
        await external.check(settings)
    except DevstackError as error:
        yield fail("given servers", error.message, error.hint)
        return
    yield ok("given servers", "all let us in")


async def running(
    settings: StackSettings, *, given_settings: StackSettings
) -> AsyncIterator[Check]:
    """Whether the servers of the running installation keep what they acknowledge.

    `settings` lead to them (`state.running`); `given_settings` say which others run for us.
    """
    yield await _money(settings)
    yield await _cache(settings)
    if not given_settings.postgres_dsn:
        yield await _postgres(settings)


async def _money(settings: StackSettings) -> Check:
    name = "money Valkey"
    try:
        async with redis.client(
            settings, settings.redis_url or "", server=valkey.MONEY, user="operator"
        ) as client:
            found = {key: (await client.config_get(key)).get(key) for key in _MONEY_CONFIG}
            info = await client.info()
    except (RedisError, OSError) as error:
        return fail(name, f"does not answer: {error}", f"see logs/{valkey.MONEY}.log")
    wrong = {key: value for key, value in found.items() if value != _MONEY_CONFIG[key]}
    if wrong:
        wanted = ", ".join(f"{key} {_MONEY_CONFIG[key]}" for key in wrong)
        return fail(name, f"set to {wrong}: approved holds can be lost", f"set {wanted}")
    if info.get("aof_last_write_status") != "ok":
        return fail(name, "the last write to its file failed", "look for a full or broken disk")
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
    if limit and used / limit > _MEMORY_USED_WARN:
        share = f"{used / limit:.0%} of its memory is used"
        return warn(name, share, "raise HOLDFAST_MONEY_MEMORY_MB: new authorizations are refused")
    return ok(name, "appendonly, fsync always, noeviction")


async def _cache(settings: StackSettings) -> Check:
    """Full, it gives up limits first: they expire soonest."""
    name = "cache Valkey"
    try:
        async with redis.client(
            settings, settings.cache_url or "", server=valkey.CACHE, user="operator"
        ) as client:
            info = await client.info()
    except (RedisError, OSError) as error:
        return fail(name, f"does not answer: {error}", f"see logs/{valkey.CACHE}.log")
    more = "raise HOLDFAST_CACHE_MEMORY_MB: without room, limits are forgotten, then sessions"
    if evicted := int(info["evicted_keys"]):
        return warn(name, f"{evicted} keys were evicted since it started", more)
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
    if limit and used / limit > _MEMORY_USED_WARN:
        return warn(name, f"{used / limit:.0%} of its memory is used", more)
    return ok(name, "nothing was evicted")


async def _postgres(settings: StackSettings) -> Check:
    name = "PostgreSQL"
    owner = with_login(
        settings.postgres_dsn or "",
        user=postgres.OWNER,
        password=settings.secret("postgres-owner"),
    )
    try:
        connection = await asyncpg.connect(owner, timeout=5)
        try:
            found = {key: await connection.fetchval(f"SHOW {key}") for key in _POSTGRES_CONFIG}
            version = await connection.fetchval("SHOW server_version")
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return fail(name, f"does not answer: {error}", "see logs/postgres.log")
    if found != _POSTGRES_CONFIG:
        return fail(name, f"set to {found}: settled entries can be lost", "start it anew")
    return ok(name, f"{version}, fsync, synchronous commit")
