"""Fixtures of the tests of notify; conftest.py of each folder takes them over."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from runtime.devstack.supervisor import Devstack
from tests.accounts_mesh import own_database, short_folder
from tests.databases import Database
from tests.notify_mesh import NotifyMesh, emptied, notify_mesh

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
async def shared_notify(devstack_base: Devstack) -> AsyncIterator[Database]:
    async with own_database(devstack_base, f"test_notify_{next(_NUMBERS)}") as created:
        yield created


@pytest.fixture
async def mesh(shared_notify: Database) -> AsyncIterator[NotifyMesh]:
    """A running notify on empty tables."""
    await emptied(shared_notify)
    with short_folder() as folder:
        async with notify_mesh(shared_notify, folder) as running:
            yield running
