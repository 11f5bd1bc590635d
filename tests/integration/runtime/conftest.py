"""Logins of those who write and own the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.databases import Database, connected


@pytest.fixture
async def accounts(database: Database) -> AsyncIterator[Any]:
    """The login of a service that writes entries."""
    async with connected(database.dsn("accounts")) as connection:
        yield connection


@pytest.fixture
async def log_owner(database: Database) -> AsyncIterator[Any]:
    """Who owns the log's tables, and archives."""
    async with connected(database.dsn("audit")) as connection:
        yield connection
