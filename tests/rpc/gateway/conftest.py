from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from runtime.devstack.supervisor import Devstack
from tests.accounts_mesh import own_database, short_folder
from tests.databases import Database, connected
from tests.gateway_mesh import GatewayMesh, gateway_mesh

#: Changes that have no entry of the audit log in their transaction: what PostgreSQL says wrote them
#: wrote none.
UNRECORDED = """
SELECT changed.*
FROM (
    SELECT xmin, method AS what FROM request_record
    UNION ALL
    SELECT xmin, 'identity' FROM identity
    UNION ALL
    SELECT xmin, 'second factor' FROM second_factor WHERE confirm_time IS NULL
) AS changed
WHERE NOT EXISTS (SELECT FROM audit.entry AS e WHERE e.xmin = changed.xmin)
"""


@pytest.fixture(scope="session")
async def shared_gateway(devstack_base: Devstack) -> AsyncIterator[Database]:
    async with own_database(devstack_base, "test_gateway") as created:
        yield created


@pytest.fixture
async def mesh(shared_gateway: Database, cache: Redis) -> AsyncIterator[GatewayMesh]:
    """A running SessionService on empty tables and an empty Valkey."""
    del cache
    async with connected(shared_gateway.dsn("gateway")) as connection:
        await connection.execute("TRUNCATE credential, request_record, outbox CASCADE")
    with short_folder() as folder:
        async with gateway_mesh(shared_gateway, folder) as running:
            yield running
            assert not await running.pool.fetch(UNRECORDED), "changes without an entry"
