"""Payments on real servers, for each test that asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.databases import Database
from tests.payments_mesh import PaymentsMesh, payments_mesh


@pytest.fixture
async def mesh(database: Database, money: Redis) -> AsyncIterator[PaymentsMesh]:
    async with payments_mesh(database, money) as running:
        yield running
