"""Schemathesis, which others wrote, reads /openapi.json at a live edge and sends what it can think
of: nothing is answered with a fault of ours, or as the document does not say.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.cli.token import issue_token
from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.settings import OPERATOR

#: Checks that say nothing here, and why. All others apply.
LEFT_OUT = {
    "positive_data_acceptance": "what a schema allows may still break a rule, or name nothing",
    "unsupported_method": "Envoy knows a path by its method: with another it is a 404, not a 405",
}
EXAMPLES = 1
#: It takes 20 s on two busy cores.
TIME_S_MAX = 100


@pytest.fixture
async def own_mesh(devstack_folder: Path) -> AsyncIterator[Devstack]:
    """One that nobody else needs afterwards: random calls by an administrator change it."""
    settings = StackSettings(
        home=devstack_folder / "fuzzed",
        servers_dir=devstack_folder / "servers",
        postgres_dsn=None,
        redis_url=None,
        cache_url=None,
        limits="off",
    )
    whole = Plan.whole_mesh(settings, first_port=0)
    plan = Plan(services=whole.services, ports=whole.ports, fsync=False)
    async with Devstack(settings, plan=plan) as stack:
        yield stack
    homes.remove(settings)


def _arguments(url: str, token: str) -> list[str]:
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {token}"),
        *("--phases", "fuzzing", "--max-examples", str(EXAMPLES), "--workers", "2"),
        *("--seed", "1", "--generation-deterministic"),
        *("--no-shrink", "--continue-on-failure", "--no-color", "--warnings", "off"),
        *("--exclude-checks", ",".join(LEFT_OUT), "--request-timeout", "10"),
    ]


async def test_random_calls_meet_no_fault(own_mesh: Devstack, tmp_path: Path) -> None:
    token = issue_token(own_mesh.settings, subject=OPERATOR, roles=("admin",))
    running = await asyncio.create_subprocess_exec(
        *_arguments(f"http://127.0.0.1:{own_mesh.ports['edge_http']}", token),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIME_S_MAX):
            output, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    text = output.decode()
    assert running.returncode == 0, text[-20_000:]
    # It found the operations, and each was called.
    assert "Tested:" in text
    assert "Errored:" not in text
