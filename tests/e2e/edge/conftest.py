"""One Envoy for all tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.edge.world import World, running_world

#: Few, so that a test can take them all.
EDGE_CONNECTIONS = 300


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[World]:
    # Paths of unix sockets are short: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
    try:
        async with running_world(folder, edge_connections=EDGE_CONNECTIONS) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _forget(world: World) -> None:
    world.upstream.calls.clear()
