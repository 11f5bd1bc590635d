"""Real servers for every test that asks for them, started once, and a clean database per test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from redis.asyncio import Redis

from runtime import dsn, migrations, redis
from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from tests.databases import Database

_NUMBERS = itertools.count(1)

# The same examples every time, however slow the machine is.
settings.register_profile("holdfast", deadline=None, derandomize=True)
settings.load_profile("holdfast")


@pytest.fixture(autouse=True)
def default_logging() -> Iterator[None]:
    """Commands that a test runs send logs to a stream that is closed at its end."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def devstack_folder() -> Iterator[Path]:
    """A folder that servers started by root can enter, too; pytest's own is closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def devstack_base(devstack_folder: Path) -> AsyncIterator[Devstack]:
    """PostgreSQL with all migrations applied, and both Valkeys with the user `test`.

    Tests share them: do not connect to the database itself (it is the template), take `database`.
    """
    settings = StackSettings(
        home=devstack_folder / "base",
        servers_dir=devstack_folder / "servers",
        postgres_dsn=None,
        redis_url=None,
        cache_url=None,
    )
    async with Devstack(settings, plan=Plan(test_user=True, fsync=False)) as stack:
        yield stack
    homes.remove(settings)


@pytest.fixture
async def database(devstack_base: Devstack) -> AsyncIterator[Database]:
    """A fresh copy of the migrated database; dropped afterwards, whoever is connected."""
    name = f"test_{os.getpid()}_{next(_NUMBERS)}"
    await migrations.clone_database(devstack_base.owner_dsn, name=name)
    settings = devstack_base.settings
    url = dsn.with_database(settings.postgres_dsn or "", name)
    yield Database(
        name=name,
        owner_dsn=dsn.with_database(devstack_base.owner_dsn, name),
        settings=settings.model_copy(update={"postgres_dsn": url}),
    )
    await migrations.drop_database(devstack_base.owner_dsn, name=name)


@pytest.fixture
async def money(devstack_base: Devstack) -> AsyncIterator[Redis]:
    """The money Valkey, empty, logged in as the user `test`, who may do everything."""
    settings = devstack_base.settings
    url = settings.redis_url or ""
    async with redis.client(settings, url, server="valkey-money", user="test") as client:
        await client.flushall()
        yield client


@pytest.fixture
def money_url(money: Redis, devstack_base: Devstack) -> str:
    """URL without login of the money Valkey, empty."""
    return devstack_base.settings.redis_url or ""


@pytest.fixture
async def cache(devstack_base: Devstack) -> AsyncIterator[Redis]:
    """The cache Valkey, empty, logged in as the user `test`, who may do everything."""
    settings = devstack_base.settings
    url = settings.cache_url or ""
    async with redis.client(settings, url, server="valkey-cache", user="test") as client:
        await client.flushall()
        yield client
