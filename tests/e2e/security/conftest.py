from __future__ import annotations

import pytest

from runtime.devstack.supervisor import Devstack
from tests.e2e.security.telling import Told, tell


@pytest.fixture(scope="session")
async def told(full_mesh: Devstack, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the shared mesh was told, once."""
    return await tell(full_mesh, tmp_path_factory.mktemp("told"))
