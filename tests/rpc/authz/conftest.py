from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.authz_mesh import AuthzMesh, authz_mesh
from tests.databases import Database


@pytest.fixture
async def mesh(database: Database, money: Redis) -> AsyncIterator[AuthzMesh]:
    async with authz_mesh(database, money) as mesh:
        yield mesh
