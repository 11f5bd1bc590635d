"""Fixtures of the tests of the accounts service; conftest.py of each folder takes them over."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from runtime.devstack.supervisor import Devstack
from tests.accounts_mesh import AccountsMesh, accounts_mesh, emptied, own_database, short_folder
from tests.databases import Database

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
async def shared_database(devstack_base: Devstack) -> AsyncIterator[Database]:
    async with own_database(devstack_base, f"test_accounts_{next(_NUMBERS)}") as created:
        yield created


@pytest.fixture
async def accounts_database(shared_database: Database) -> Database:
    """A database with empty tables: quicker than a new one per test."""
    await emptied(shared_database)
    return shared_database


@pytest.fixture
async def mesh(accounts_database: Database) -> AsyncIterator[AccountsMesh]:
    """A running accounts service on a clean database."""
    with short_folder() as folder:
        async with accounts_mesh(accounts_database, folder) as running:
            yield running


@pytest.fixture
async def impatient_mesh(accounts_database: Database) -> AsyncIterator[AccountsMesh]:
    """The same, whose answers wait only a moment for the authorizer."""
    with short_folder() as folder:
        async with accounts_mesh(accounts_database, folder, projection_wait_s=0.3) as running:
            yield running
