"""Schemathesis, which others wrote, reads /openapi.json at a live edge and sends what it can think
of: nothing is answered with a fault of ours, or as the document does not say.

Every operation is called with the document's examples and with random values; every twentieth with
each value that its schema makes remarkable. FUZZ=whole does that to all of them, and adds chains of
calls: `FUZZ=whole make test PYTEST=tests/e2e/security/test_schemathesis.py`, some minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.token import issue_token
from runtime.contract import DESCRIPTOR_PATH
from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.settings import OPERATOR

#: Checks that say nothing here, and why. All others apply.
LEFT_OUT = {
    "positive_data_acceptance": "what a schema allows may still break a rule, or name nothing",
    "unsupported_method": "Envoy knows a path by its method: with another it is a 404, not a 405",
}
#: The same of remarkable values alone.
LEFT_OUT_OF_COVERAGE = {
    **LEFT_OUT,
    "negative_data_rejection": "JSON of protobuf takes null for what is not there, and the number"
    " of an enum's value for its name",
}
WHOLE = os.environ.get("FUZZ") == "whole"
#: Chains need answers that made something; of random requests hardly one does, so they find little.
PHASES = "examples,fuzzing,stateful" if WHOLE else "examples,fuzzing"
EXAMPLES = 20 if WHOLE else 1
#: Of so many operations one is called with all remarkable values: some 70 each.
ONE_OF = 1 if WHOLE else 20
#: On two cores that do much else besides, both runs take a minute.
TIME_S_MAX = 3_000 if WHOLE else 100
DOCUMENT = DESCRIPTOR_PATH.parent.parent / "docs" / "api" / "openapi.json"


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


def _covered() -> list[str]:
    """Arguments that name the operations whose remarkable values are sent."""
    paths: dict[str, dict[str, Any]] = json.loads(DOCUMENT.read_text())["paths"]
    names = sorted(one["operationId"] for path in paths.values() for one in path.values())
    return [f"--include-operation-id={name}" for name in names[::ONE_OF]]


def _arguments(url: str, token: str, *more: str) -> list[str]:
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {token}"),
        # One thread: two of them meet a fault of this Python's own parser (gh-106905).
        *("--workers", "1", "--seed", "1", "--generation-deterministic"),
        *("--no-shrink", "--continue-on-failure", "--no-color", "--warnings", "off"),
        *("--request-timeout", "10", *more),
    ]


async def _run(folder: Path, arguments: list[str]) -> None:
    running = await asyncio.create_subprocess_exec(
        *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
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


@pytest.mark.timeout(TIME_S_MAX + 60)
async def test_random_calls_meet_no_fault(
    own_mesh: Devstack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two runs: examples and random values; remarkable values."""
    url = f"http://127.0.0.1:{own_mesh.ports['edge_http']}"
    token = issue_token(own_mesh.settings, subject=OPERATOR, roles=("admin",))
    excluded, excluded_of_coverage = ",".join(LEFT_OUT), ",".join(LEFT_OUT_OF_COVERAGE)
    async with asyncio.TaskGroup() as group:
        for name, more in {
            "random": (
                *("--phases", PHASES, "--max-examples", str(EXAMPLES)),
                *("--exclude-checks", excluded),
            ),
            "remarkable": (
                *("--phases", "coverage", "--exclude-checks", excluded_of_coverage),
                *_covered(),
            ),
        }.items():
            group.create_task(_run(tmp_path_factory.mktemp(name), _arguments(url, token, *more)))
