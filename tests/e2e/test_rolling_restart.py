"""`holdfast restart`: every service gets new processes while calls go on, and no call fails.

Method: an open loop of calls to each service through Envoy, about a hundred a second in all; none
of them is ever repeated, so whatever fails is seen.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from holdfast.accounts.v1 import card_service_pb2 as cards
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from runtime.devstack import home as homes
from runtime.devstack.errors import DevstackError, StartFailedError
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.mesh_client import MeshClient, connect
from tests.e2e.test_purchases import fresh, open_card

PERIOD_S = 0.01
LIMIT_MINOR = 10**9


@pytest.fixture(scope="module")
async def mesh(devstack_folder: Path) -> AsyncIterator[Devstack]:
    """A mesh whose processes may be killed."""
    settings = StackSettings(
        home=devstack_folder / "rolling",
        servers_dir=devstack_folder / "servers",
        postgres_dsn=None,
        redis_url=None,
        cache_url=None,
        authz_workers=2,
    )
    whole = Plan.whole_mesh(settings, first_port=0)
    async with Devstack(
        settings, plan=Plan(services=whole.services, ports=whole.ports, fsync=False)
    ) as stack:
        yield stack
    homes.remove(settings)


class Traffic:
    """Calls of every kind, begun one after the other whatever became of the earlier ones."""

    def __init__(self, client: MeshClient, *, account_id: str, card_id: str) -> None:
        self._client = client
        self._account_id = account_id
        self._card_id = card_id
        self.answered = 0
        self.failed: list[str] = []
        # Freezing and unfreezing would make purchases decline; limits change nothing.
        often = (self._purchase, self._balance, self._account, self._purchase, self._change)
        # Calls without a token are limited to 600 a minute.
        self._kinds: itertools.cycle[Callable[[], Awaitable[object]]] = itertools.cycle(
            (*often, self._keys, *often)
        )

    async def run(self) -> None:
        """Until cancelled; the calls under way are waited for."""
        calls: set[asyncio.Task[None]] = set()
        try:
            while True:
                call = asyncio.create_task(self._one(next(self._kinds)))
                calls.add(call)
                call.add_done_callback(calls.discard)
                await asyncio.sleep(PERIOD_S)
        finally:
            await asyncio.gather(*calls)

    async def _one(self, kind: Callable[[], Awaitable[object]]) -> None:
        try:
            await kind()
        except Exception as error:  # noqa: BLE001  each is a finding
            self.failed.append(f"{kind.__name__}: {type(error).__name__} {error}")
        else:
            self.answered += 1

    async def _purchase(self) -> None:
        await self._client.network.Authorize(fresh(self._card_id, 100))

    async def _balance(self) -> None:
        await self._client.authorizations.GetBalance(
            rpc.GetBalanceRequest(account_id=self._account_id)
        )

    async def _account(self) -> None:
        answer = await self._client.web.get(f"/v1/accounts/{self._account_id}")
        answer.raise_for_status()

    async def _change(self) -> None:
        await self._client.cards.SetCardControls(
            cards.SetCardControlsRequest(
                request_id=f"controls-{uuid.uuid4().hex}", card_id=self._card_id
            )
        )

    async def _keys(self) -> None:
        answer = await self._client.web.get("/.well-known/jwks.json", auth=httpx.Auth())
        answer.raise_for_status()


@asynccontextmanager
async def traffic(mesh: Devstack) -> AsyncIterator[Traffic]:
    """Calls while the block lasts, and for a moment before and after."""
    async with connect(mesh.settings, mesh.ports) as client:
        account_id, card_id = await open_card(client, limit_minor=LIMIT_MINOR)
        running = Traffic(client, account_id=account_id, card_id=card_id)
        task = asyncio.create_task(running.run())
        try:
            await asyncio.sleep(0.5)
            yield running
            await asyncio.sleep(0.5)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    "name", ["authz", "accounts", "payments", "gateway", "notify", "stats", "settler"]
)
async def test_no_call_fails(mesh: Devstack, name: str) -> None:
    """Goal: the service's processes are others afterwards, and nobody noticed."""
    before = {instance: process.pid for instance, process in mesh.processes.items()}
    async with traffic(mesh) as calls:
        await mesh.roll(name)
    assert calls.failed == []
    assert calls.answered > 100
    replaced = {i for i, process in mesh.processes.items() if process.pid != before[i]}
    assert replaced == {i for i in before if i.rpartition("-")[0] == name or i == name}


async def test_a_death_in_the_middle_leaves_a_working_mesh(mesh: Devstack) -> None:
    """Goal: whichever of the two processes dies while both are there, one serves in the end; if it
    is the new one, no call notices. Method: SIGKILL as soon as the new one has its socket.
    """
    worker = mesh.processes["authz-0"]

    def newcomer() -> int | None:
        mine = f"HOLDFAST_INSTANCE={worker.spec.instance}".encode()
        run = f"HOLDFAST_RUN_DIR={mesh.home.run}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if mine in environment and run in environment and path.parent.name != str(worker.pid):
                return int(path.parent.name)
        return None

    async def appears() -> int:
        while (pid := newcomer()) is None:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.02)
        return pid

    async with traffic(mesh) as calls:
        restart = asyncio.create_task(mesh.roll("authz-0"))
        os.kill(await appears(), signal.SIGKILL)
        with pytest.raises(StartFailedError, match="authz-0 ended with code -9"):
            await restart
    assert calls.failed == []

    restart = asyncio.create_task(mesh.roll("authz-0"))
    await appears()
    mesh.kill("authz-0", signal.SIGKILL)
    await restart
    await mesh.wait_ready()
    async with traffic(mesh) as calls:
        pass
    assert calls.failed == []


async def test_a_sudden_death_is_survived_by_new_calls(mesh: Devstack) -> None:
    """Goal: of two workers one dies; only the calls that it had fail, new ones go to the other,
    although the next check of its health is far.
    """
    async with traffic(mesh) as calls:
        mesh.kill("authz-0", signal.SIGKILL)
        # Long enough for a busy machine to hear of the end, short of the next check.
        await asyncio.sleep(0.3)
        at_once = len(calls.failed)
        await mesh.wait_ready()
    assert at_once <= 3
    assert len(calls.failed) == at_once


async def test_the_command_says_what_it_did_and_what_there_is(mesh: Devstack) -> None:
    """Goal: `holdfast restart` through the supervisor's socket; unknown names are told apart."""
    command = Path(shutil.which("holdfast") or ".venv/bin/holdfast")

    async def holdfast(*arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(str(command), *arguments, "--home", str(mesh.settings.home)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, error = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), error.decode()

    code, _, said = await holdfast("restart", "settler", "envoy")
    assert code == 0, said
    settler, envoy = said.strip().splitlines()[-2:]
    assert settler.startswith("settler: process ")
    assert "away" not in settler
    assert "away for" in envoy
    code, _, said = await holdfast("restart", "nobody")
    assert code == 4
    assert "there is no nobody" in said
    assert "authz-0" in said
    with pytest.raises(DevstackError, match="one request"):
        await mesh.roll()
    async with traffic(mesh) as calls:
        pass
    assert calls.failed == []
