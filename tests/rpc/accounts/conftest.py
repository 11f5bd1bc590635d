from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.accounts_mesh import AccountsMesh, accounts_mesh
from tests.databases import Database


@pytest.fixture
async def mesh(database: Database) -> AsyncIterator[AccountsMesh]:
    """A running accounts service on a clean database."""
    folder = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
    async with accounts_mesh(database, folder) as running:
        yield running
    shutil.rmtree(folder)
