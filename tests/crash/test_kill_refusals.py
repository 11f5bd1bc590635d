"""What Envoy refuses is in the audit log, each call once, although gateway is killed in the middle
and is away for seconds, the file is begun anew, and Envoy is killed.

Method: calls that only Envoy answers, one after the other, each with a trace id of its own. Whoever
had an answer must have an entry; whoever had none has one at most.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from runtime.cli.token import issue_token
from runtime.devstack import envoy
from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.refusal_files import RefusalFiles
from tests.e2e.edge.world import until

DOWN_S = 4.0
#: Few enough of each caller that none is in a sum.
CALLERS = 6
CALLS_MAX = 100 * CALLERS
PERIOD_S = 0.02
TIMEOUT_S = 60


@pytest.fixture
async def mesh(devstack_folder: Path) -> AsyncIterator[Devstack]:
    """Gateway and Envoy."""
    settings = StackSettings(
        home=devstack_folder / "refusing",
        servers_dir=devstack_folder / "servers",
        postgres_dsn=None,
        redis_url=None,
        cache_url=None,
    )
    whole = Plan.whole_mesh(settings, first_port=0)
    gateway = tuple(one for one in whole.services if one.instance == "gateway")
    plan = Plan(services=gateway, ports=whole.ports, fsync=False)
    async with Devstack(settings, plan=plan) as stack:
        yield stack
    homes.remove(settings)


class Refused:
    """Calls on and on, and what became of each."""

    def __init__(self, mesh: Devstack) -> None:
        self.answered: list[str] = []
        self.unanswered: list[str] = []
        self.statuses: set[int] = set()
        self._base = f"http://127.0.0.1:{mesh.ports['edge_http']}"
        self._path = f"/v1/users/usr_0a{uuid.uuid4().hex}:setAccess"
        users = [f"usr_0a{uuid.uuid4().hex}" for _ in range(CALLERS - 1)]
        tokens = [issue_token(mesh.settings, subject=one, roles=("cardholder",)) for one in users]
        # What would be refused for its query, had it a token.
        self._shown = itertools.cycle([("?note=hush", "nonsense"), *(("", one) for one in tokens)])

    async def run(self) -> None:
        """Until it is cancelled, or there are so many that they would be added up."""
        async with httpx.AsyncClient(base_url=self._base, timeout=10) as client:
            for number in range(CALLS_MAX):
                await self._call(client, f"refused-{number}")
                await asyncio.sleep(PERIOD_S)

    async def _call(self, client: httpx.AsyncClient, trace: str) -> None:
        query, token = next(self._shown)
        headers = {"x-request-id": trace, "authorization": f"Bearer {token}"}
        body = {"roles": ["hush"]}
        try:
            answer = await client.post(self._path + query, json=body, headers=headers)
        except httpx.TransportError:
            self.unanswered.append(trace)
        else:
            self.answered.append(trace)
            self.statuses.add(answer.status_code)


async def entries(mesh: Devstack) -> list[str]:
    """Trace ids of what the audit log has."""
    owner = await asyncpg.connect(mesh.owner_dsn)
    try:
        rows = await owner.fetch("SELECT trace_id FROM audit.entry WHERE reason <> 'REPEATED'")
    finally:
        await owner.close()
    return [row["trace_id"] for row in rows]


async def verified(mesh: Devstack) -> bool:
    """Whether the chains pass, and nothing waits for its link."""
    program = str(Path(sys.executable).with_name("holdfast"))
    home = ("--home", str(mesh.settings.home))
    process = await asyncio.create_subprocess_exec(
        *(program, "audit", "verify", "--json", *home), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    return not any(one["waiting"] for one in json.loads(said)["chains"])


async def test_every_refusal_is_recorded_once(mesh: Devstack) -> None:
    refused = Refused(mesh)
    files = RefusalFiles(mesh.settings.home)
    loop = asyncio.get_running_loop()
    calls = asyncio.create_task(refused.run())
    try:
        await asyncio.sleep(1)
        before = len(refused.answered)
        end = loop.time() + DOWN_S
        while loop.time() < end:
            mesh.kill("gateway")
            await asyncio.sleep(0.1)
        assert len(refused.answered) > before, "refused while there was no gateway"
        # Begun anew while calls go on, and gateway is not there yet to read the older one.
        envoy.bound_refusals(mesh.settings, mesh.processes["envoy"], at_least=1)
        await mesh.wait_ready(timeout_s=TIMEOUT_S)
        await asyncio.sleep(0.5)
        mesh.kill("gateway")
        await mesh.wait_ready(timeout_s=TIMEOUT_S)
        mesh.kill("envoy")
        await mesh.wait_ready(timeout_s=TIMEOUT_S)
        more = len(refused.answered) + 10

        async def went_on() -> bool:
            return calls.done() or len(refused.answered) >= more

        await until(went_on, timeout_s=TIMEOUT_S)
    finally:
        calls.cancel()
        await asyncio.gather(calls, return_exceptions=True)
    assert {401, 403} <= refused.statuses, "a token that is none; a role that may not"
    told = files.current.read_text()
    assert '"trace_id":"refused-' in told
    assert not {word for word in ("hush", "nonsense", "eyJ") if word in told}
    assert files.current.stat().st_mode & 0o777 == 0o600

    async def recorded() -> bool:
        return set(refused.answered) <= set(await entries(mesh)) and not files.earlier.exists()

    await until(recorded, timeout_s=TIMEOUT_S)
    found = [one for one in await entries(mesh) if one.startswith("refused-")]
    assert len(found) == len(set(found)), "each once"
    unknown = set(found) - set(refused.answered)
    # The last may have been under way when the calls ended.
    assert len(unknown - set(refused.unanswered)) <= 1
    await until(lambda: verified(mesh), timeout_s=TIMEOUT_S)
