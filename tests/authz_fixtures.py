"""Fixtures of the tests of the authorizer; conftest.py of each folder takes them over."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from redis.asyncio import Redis

from runtime import dsn, migrations
from runtime.devstack.supervisor import Devstack
from tests.authz_mesh import AuthzMesh, authz_mesh
from tests.databases import Database

_NUMBERS = itertools.count(1)

#: Everything that the settler writes; the chart of accounts stays.
_EMPTY = """
TRUNCATE authz.installation, authz.partition, authz.journal_entry, authz.journal_line,
         authz.ledger_total, authz.account_balance, authz.card_authorization, authz.payment
"""


@pytest.fixture(scope="session")
async def shared_ledger(devstack_base: Devstack) -> AsyncIterator[Database]:
    # Each folder's conftest.py makes a fixture of its own of this.
    name = f"test_authz_{os.getpid()}_{next(_NUMBERS)}"
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
async def ledger(shared_ledger: Database) -> Database:
    """A ledger with empty tables: quicker than a new database per test."""
    connection = await asyncpg.connect(shared_ledger.owner_dsn)
    try:
        await connection.execute(_EMPTY)
    finally:
        await connection.close()
    return shared_ledger


@pytest.fixture
async def mesh(ledger: Database, money: Redis) -> AsyncIterator[AuthzMesh]:
    """A running authorizer with an empty ledger and an empty Valkey."""
    async with authz_mesh(ledger, money) as running:
        yield running
