"""The whole mesh, for every test that goes through it: started once, shared by all."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from tests.oidc_emulator import REDIRECT_URI, Emulator, emulator


@pytest.fixture(scope="session")
def issuer_port() -> Iterator[int]:
    """Where the mesh looks for the issuer `sweep`, which those run who need it. Held, so that
    nobody else is given it; whoever listens there may.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="session")
async def full_mesh(devstack_folder: Path, issuer_port: int) -> AsyncIterator[Devstack]:
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
        issuer = {
            "url": f"http://localhost:{issuer_port}",
            "client_id": "holdfast",
            "redirect_uris": [REDIRECT_URI],
            "registers": True,
        }
        patch.setenv("HOLDFAST_OIDC_ISSUERS", json.dumps({"sweep": issuer}))
        async with Devstack(settings, plan=plan) as stack:
            yield stack
    homes.remove(settings)


@pytest.fixture(scope="session")
def elsewhere(full_mesh: Devstack, issuer_port: int) -> Iterator[Emulator]:
    """The issuer that the mesh is configured with, as `sweep`; one for all, because each has keys
    of its own under the same name.
    """
    homes.ensure_secret(full_mesh.settings.secret_path("oidc-sweep"))
    with emulator(issuer_port) as running:
        yield running
