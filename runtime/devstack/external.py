"""Servers that somebody else runs: looked at before anything depends on them."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from runtime import dsn
from runtime.devstack.errors import DevstackError
from runtime.settings import Settings

_TIMEOUT_S = 5.0
_MAINTENANCE = "postgres"


async def check(given: Settings) -> None:
    """DevstackError names the first given server that does not answer, without its password."""
    if given.postgres_dsn:
        await _postgres(given.postgres_dsn)
    for variable, url in (("REDIS_URL", given.redis_url), ("CACHE_URL", given.cache_url)):
        if url:
            await _redis(url, variable=f"HOLDFAST_{variable}")


async def _postgres(url: str) -> None:
    try:
        connection = await asyncpg.connect(dsn.with_database(url, _MAINTENANCE), timeout=_TIMEOUT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        raise DevstackError(
            f"PostgreSQL at {dsn.without_login(url)} does not let us in: {error}",
            hint="check HOLDFAST_POSTGRES_DSN: it is the login of a superuser or of a role that"
            " may create databases and roles",
        ) from None
    await connection.close()


async def _redis(url: str, *, variable: str) -> None:
    client = redis.asyncio.from_url(
        url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=_TIMEOUT_S
    )
    try:
        async with client:
            await client.ping()
    except (RedisError, OSError, TimeoutError) as error:
        parts = urlsplit(url)
        where = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
        raise DevstackError(
            f"the server at {where} does not let us in: {error}",
            hint=f"check {variable}; its URL carries user and password",
        ) from None
