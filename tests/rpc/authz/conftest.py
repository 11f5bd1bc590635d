from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.authz_fixtures import ledger, shared_ledger
from tests.authz_mesh import AuthzMesh, authz_mesh
from tests.databases import Database

__all__ = ["ledger", "mesh", "shared_ledger"]


@pytest.fixture(params=["native", "grpcio"])
async def mesh(
    request: pytest.FixtureRequest,
    ledger: Database,
    money: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[AuthzMesh]:
    """A running authorizer, on each of the two servers: they must not differ."""
    monkeypatch.setenv("HOLDFAST_AUTHZ_SERVER", request.param)
    async with authz_mesh(ledger, money) as running:
        yield running
