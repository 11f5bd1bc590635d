"""Fixtures of the tests of stats; conftest.py of each folder takes them over."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from runtime.devstack.supervisor import Devstack
from tests.accounts_mesh import own_database, short_folder
from tests.databases import Database, connected
from tests.stats_mesh import StatsMesh, stats_mesh

_NUMBERS = itertools.count(1)
_TABLES = (
    "live_total, live_cell, live_origin, account_zone, member_department, merchant, closing,"
    " reopened, stat, report, report_leftover, report_request,"
    " report_schedule, touched, account_country, anomaly,"
    " event, again_total, again_cell, again_origin"
)


@pytest.fixture(scope="session")
async def shared_stats(devstack_base: Devstack) -> AsyncIterator[Database]:
    async with own_database(devstack_base, f"test_stats_{next(_NUMBERS)}") as created:
        yield created


@pytest.fixture
async def mesh(shared_stats: Database) -> AsyncIterator[StatsMesh]:
    """A running stats on empty tables."""
    async with connected(shared_stats.dsn("stats")) as connection:
        await connection.execute(
            f"SET search_path TO stats; TRUNCATE {_TABLES}; UPDATE event_head SET last = 0"
        )
    with short_folder() as folder:
        async with stats_mesh(shared_stats, folder) as running:
            yield running
