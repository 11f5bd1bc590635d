"""Schemathesis, which others wrote, reads /openapi.json at a live edge and sends what it can think
of: nothing is answered with a fault of ours, or as the document does not say.

Every operation is called with the document's examples and with random values; every twentieth with
each value that its schema makes remarkable. Then what has been made is used: chains of calls along
the document's links, as whom the things belong to and as staff. FUZZ=whole does all that to all
operations, for longer: `FUZZ=whole make test PYTEST=tests/e2e/security/test_schemathesis.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.cli.token import issue_token
from runtime.contract import DESCRIPTOR_PATH
from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.settings import OPERATOR
from tests.e2e.security import fuzz_hooks
from tests.e2e.security.fuzz_hooks import ids_of

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
#: The same of chains of calls.
LEFT_OUT_OF_CHAINS = {
    **LEFT_OUT,
    "ignored_auth": "asks each time again without a token: the other runs do",
    "use_after_free": "knows only DELETE: `what_was_told_is_there` does instead (fuzz_hooks.py)",
    "ensure_resource_availability": "the same",
}
WHOLE = os.environ.get("FUZZ") == "whole"
EXAMPLES = 20 if WHOLE else 1
#: Chains for each caller, and the calls of each.
CHAINS, CALLS = (200, 40) if WHOLE else (12, 30)
#: Different links that they follow at least.
LINKS_MIN = 25
#: Of so many operations one is called with all remarkable values: some 70 each.
ONE_OF = 1 if WHOLE else 20
#: On two cores that do much else besides, the longest takes a minute and a half.
TIME_S_MAX = 3_000 if WHOLE else 200
#: Where examples cannot do anything after the others, and why.
NO_EXAMPLE = {
    "/v1/applications/{application_id}/documents": "the example of an application is approved",
    "/v1/disputes/{dispute_id}/documents": "nothing is posted that could be disputed",
    "/v1/accounts/{account_id}/refunds": "nobody is owed anything",
    "/v1/hooks/stripe": "for Stripe",
}
#: An id in an example, or its place in a path.
EXAMPLE_ID = re.compile(r"\b([a-z]+)_2a0195a3f0c4d17e8b9c2d4e6f8a0b1c2d|\{[a-z_]+\}")
DOCUMENT = DESCRIPTOR_PATH.parent.parent / "docs" / "api" / "openapi.json"


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
async def things(own_mesh: Devstack) -> dict[str, list[str]]:
    """Ids of what the document's examples make, by what paths call them."""
    bearer = {"authorization": f"Bearer {_token(own_mesh, OPERATOR, 'admin')}"}
    waiting = {
        path: verbs["post"]["requestBody"]["content"]["application/json"]["example"]
        for path, verbs in json.loads(DOCUMENT.read_text())["paths"].items()
        if ":" not in path and "post" in verbs and path not in NO_EXAMPLE
    }
    made: dict[str, list[str]] = {}
    refusals: dict[str, str] = {}
    calls = itertools.count()
    async with httpx.AsyncClient(base_url=_url(own_mesh), headers=bearer, timeout=30) as web:
        # An account wants a user, a card an account, and so on.
        while waiting:
            before = len(waiting)
            for path, example in list(waiting.items()):
                request = _with_made({"path": path, "body": example}, made)
                if request is None:
                    continue
                body = request["body"] | {"request_id": f"example-{next(calls)}"}
                answer = await web.post(request["path"], json=body)
                refusals[path] = answer.text
                if answer.status_code == 200:
                    del waiting[path]
                    for name, one in ids_of(answer.json()):
                        made.setdefault(name, []).append(one)
            assert len(waiting) < before, {path: refusals.get(path) for path in waiting}
    return made


def _with_made(request: dict[str, Any], made: dict[str, list[str]]) -> dict[str, Any] | None:
    """The request with ids of what was made; None if something of it is not made yet."""
    by_prefix = {ids[0].partition("_")[0]: ids[0] for ids in made.values()}
    by_name = {f"{{{name}}}": ids[0] for name, ids in made.items()}
    text = EXAMPLE_ID.sub(
        lambda found: by_prefix.get(found[1], "") or by_name.get(found[0], "?"), json.dumps(request)
    )
    filled: dict[str, Any] = json.loads(text)
    return None if "?" in text else filled


def _url(mesh: Devstack) -> str:
    return f"http://127.0.0.1:{mesh.ports['edge_http']}"


def _token(mesh: Devstack, subject: str, role: str) -> str:
    return issue_token(mesh.settings, subject=subject, roles=(role,))


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
        *("--workers", "1", "--seed", "1"),
        *("--no-shrink", "--continue-on-failure", "--no-color", "--warnings", "off"),
        *("--request-timeout", "10", *more),
    ]


async def _run(folder: Path, arguments: list[str], **environment: str) -> str:
    running = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=folder,
        env=os.environ | environment,
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
    return text


@pytest.mark.timeout(TIME_S_MAX + 60)
@pytest.mark.parametrize("role", ["cardholder", "admin"])
async def test_what_is_made_is_used(
    own_mesh: Devstack, things: dict[str, list[str]], tmp_path: Path, role: str
) -> None:
    """First as whom the things belong to, then as staff, who may close all of them."""
    subject = OPERATOR if role == "admin" else things["user_id"][0]
    chains = ("--phases", "stateful", "--mode", "positive", "--max-examples", str(CHAINS))
    (tmp_path / "schemathesis.toml").write_text(
        # What it infers by itself adds little to the document's links, and triples the choice.
        f"[phases.stateful]\nmax-steps = {CALLS}\ninference.algorithms = []\n"
    )
    text = await _run(
        tmp_path,
        _arguments(
            _url(own_mesh),
            _token(own_mesh, subject, role),
            *chains,
            *("--exclude-checks", ",".join(LEFT_OUT_OF_CHAINS)),
            *("--generation-with-security-parameters", "false"),
        ),
        FUZZ_IDS=json.dumps(things),
        SCHEMATHESIS_HOOKS=fuzz_hooks.__name__,
        PYTHONPATH=str(DESCRIPTOR_PATH.parent.parent),
    )
    # Most calls had what they need, or nothing was tried.
    followed = re.search(r"API Links: +(\d+) covered", text)
    assert int(followed[1] if followed else 0) >= LINKS_MIN, text[-20_000:]


@pytest.mark.timeout(TIME_S_MAX + 60)
async def test_random_calls_meet_no_fault(
    own_mesh: Devstack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two runs: examples and random values; remarkable values."""
    url, token = _url(own_mesh), _token(own_mesh, OPERATOR, "admin")
    excluded, excluded_of_coverage = ",".join(LEFT_OUT), ",".join(LEFT_OUT_OF_COVERAGE)
    async with asyncio.TaskGroup() as group:
        for name, more in {
            "random": (
                *("--generation-deterministic", "--phases", "examples,fuzzing"),
                *("--max-examples", str(EXAMPLES)),
                *("--exclude-checks", excluded),
            ),
            "remarkable": (
                *("--generation-deterministic", "--phases", "coverage"),
                *("--exclude-checks", excluded_of_coverage),
                *_covered(),
            ),
        }.items():
            group.create_task(_run(tmp_path_factory.mktemp(name), _arguments(url, token, *more)))
