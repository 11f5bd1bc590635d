"""The shared servers: isolation between services and between tests, and their safety settings."""

from __future__ import annotations

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from runtime import redis
from runtime.devstack.supervisor import Devstack
from tests.databases import Database


async def test_service_logs_in_as_its_role_in_its_schema(database: Database) -> None:
    """Goal: a service's unqualified names lead to its own schema, and it owns nothing else."""
    connection = await asyncpg.connect(database.dsn("authz"))
    try:
        row = await connection.fetchrow("SELECT current_user AS role, current_schema() AS schema")
        assert row["role"] == "holdfast_authz"
        assert row["schema"] == "authz"
        for table in ("accounts.stolen", "public.stray"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"CREATE TABLE {table} (i int)")
    finally:
        await connection.close()


async def test_databases_are_separate(database: Database) -> None:
    """Goal: what a test writes is gone with its database; run twice by parameters."""
    connection = await asyncpg.connect(database.dsn("accounts"))
    try:
        await connection.execute("CREATE TABLE leftover (i int)")
    finally:
        await connection.close()


async def test_databases_are_separate_again(database: Database) -> None:
    """Goal: the table of the test before is not here."""
    await test_databases_are_separate(database)


async def test_money_keeps_every_acknowledged_write(devstack_base: Devstack) -> None:
    """Goal: noeviction, append-only, fsync always; read by a user who may look and not touch."""
    settings = devstack_base.settings
    async with redis.client(
        settings, settings.redis_url or "", server="valkey-money", user="operator"
    ) as client:
        assert (await client.config_get("appendfsync"))["appendfsync"] == "always"
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        with pytest.raises(NoPermissionError):
            await client.set("a", 1)


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "CONFIG SET appendonly no", "DEBUG SLEEP 0", "SHUTDOWN NOSAVE", "SCRIPT FLUSH"],
)
async def test_services_may_not_endanger_money(
    devstack_base: Devstack, money: Redis, command: str
) -> None:
    """Goal: the authorizer's login cannot lose data, even when somebody else speaks through it."""
    settings = devstack_base.settings
    async with redis.client(
        settings, settings.redis_url or "", server="valkey-money", user="authz"
    ) as client:
        await client.eval("return redis.call('XADD', KEYS[1], '*', 'a', '1')", 1, "{00}:journal")
        assert await client.xlen("{00}:journal") == 1
        # DEBUG is not even switched on; everything else is a matter of permission.
        with pytest.raises(ResponseError):
            await client.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_nobody_is_no_user(devstack_base: Devstack) -> None:
    """Goal: the default user is off."""
    settings = devstack_base.settings.model_copy(update={"home": devstack_base.home.root / "none"})
    async with redis.client(
        settings, settings.redis_url or "", server="valkey-money", user="authz"
    ) as client:
        with pytest.raises(RedisConnectionError, match="authenticated"):
            await client.ping()
