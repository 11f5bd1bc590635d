from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.accounts_mesh import emptied
from tests.authz_fixtures import ledger, shared_ledger
from tests.billing_mesh import BillingMesh, billing_mesh
from tests.databases import Database

__all__ = ["billing", "ledger", "shared_ledger"]


@pytest.fixture
async def billing(ledger: Database, money: Redis) -> AsyncIterator[BillingMesh]:
    """Billing on a ledger of its own, on 20 January 2027."""
    await emptied(ledger)
    async with billing_mesh(ledger, money) as running:
        yield running
