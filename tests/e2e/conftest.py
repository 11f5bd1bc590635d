"""The whole mesh, for every test that goes through it: started once, shared by all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan


@pytest.fixture(scope="session")
async def full_mesh(devstack_folder: Path) -> AsyncIterator[Devstack]:
    """PostgreSQL, both Valkeys, every service and Envoy on free ports, with the user `test`.

    Tests share it: they open their own accounts, and leave the books as balanced as they were.
    """
    settings = StackSettings(
        home=devstack_folder / "mesh",
        servers_dir=devstack_folder / "servers",
        postgres_dsn=None,
        redis_url=None,
        cache_url=None,
        # Every call and every settled entry has its line: tests look for them, and through them.
        log_level="DEBUG",
    )
    whole = Plan.whole_mesh(settings, first_port=0)
    plan = Plan(services=whole.services, ports=whole.ports, test_user=True, fsync=False)
    with pytest.MonkeyPatch.context() as patch:
        # All tests come from one address.
        patch.setenv("HOLDFAST_LIMIT_SIGN_IN_PER_MINUTE", "600")
        async with Devstack(settings, plan=plan) as stack:
            yield stack
    homes.remove(settings)
