"""`holdfast rehydrate` on a running mesh: refused when healthy, mends a loss, survives kills."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import asyncpg
import grpc

from authz.reconcile_flow import drain
from authz.reconcile_store import open_store
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from runtime import redis
from runtime.devstack import home as homes
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack
from runtime.mesh_client import MeshClient
from tests.e2e.cli.conftest import Cardholder, Holdfast, capture, purchase

_CHECKOUT = Path(__file__).resolve().parents[3]


async def _serving(mesh: MeshClient, cardholder: Cardholder) -> None:
    """Envoy asks the workers once a second whether they serve."""
    for _ in range(200):
        try:
            await _balance(mesh, cardholder)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("no worker serves after 10 s")


async def _balance(mesh: MeshClient, cardholder: Cardholder) -> tuple[int, int]:
    found = await mesh.authorizations.GetBalance(
        rpc.GetBalanceRequest(account_id=cardholder.account_id)
    )
    return found.posted.amount_minor, found.held.amount_minor


async def _lose_everything(stack: Devstack) -> None:
    async with open_store(stack.settings) as store:
        assert await drain(store, timeout_s=10) == 0
    url = stack.settings.redis_url or ""
    async with redis.client(stack.settings, url, server="valkey-money", user="test") as money:
        await money.flushall()


async def _projected(stack: Devstack, epoch: int) -> None:
    """Accounts learns the epoch through Envoy, and tells everything again."""
    connection = await asyncpg.connect(stack.owner_dsn)
    try:
        for _ in range(200):
            row = await connection.fetchrow("SELECT epoch, step FROM accounts.projection")
            if row is not None and (row["epoch"], row["step"]) == (epoch, None):
                return
            await asyncio.sleep(0.05)
    finally:
        await connection.close()
    raise AssertionError("accounts has not heard of the new epoch after 10 s")


async def test_a_healthy_valkey_is_left_alone(full_mesh: Devstack, holdfast: Holdfast) -> None:
    """Exit 1, and what to do."""
    ended = await holdfast("rehydrate", "--home", str(full_mesh.settings.home), "--json")
    assert ended.code == 1, ended.stderr
    document = json.loads(ended.stdout)
    assert "agrees with the ledger" in document["error"]["message"]
    assert "--force" in document["error"]["hint"]
    assert document["unsettled"] == []


async def test_a_lost_valkey_comes_back(
    mesh: MeshClient, cardholder: Cardholder, full_mesh: Devstack, holdfast: Holdfast
) -> None:
    """FLUSHALL under a running mesh: rebuilt, the card goes on, the books balance."""
    home = str(full_mesh.settings.home)
    held = await purchase(mesh, cardholder.card_id, 5_000)
    await capture(mesh, held.authorization_id, 3_000)
    await _lose_everything(full_mesh)
    ended = await holdfast("rehydrate", "--home", home, "--json")
    assert ended.code == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["rebuilt"]["accounts"] >= 1
    assert document["discarded"] == []
    await _serving(mesh, cardholder)
    await _projected(full_mesh, document["epoch"])
    assert await _balance(mesh, cardholder) == (3_000, 2_000)
    await purchase(mesh, cardholder.card_id, 1_000)
    assert await _balance(mesh, cardholder) == (3_000, 3_000)
    assert (await holdfast("reconcile", "--home", home)).code == 0


async def test_killed_again_and_again(
    mesh: MeshClient, cardholder: Cardholder, full_mesh: Devstack, holdfast: Holdfast
) -> None:
    """SIGKILL at several moments: the next one begins anew, and nothing is lost."""
    home = str(full_mesh.settings.home)
    await purchase(mesh, cardholder.card_id, 700)
    await _lose_everything(full_mesh)
    for delay_s in (0.8, 1.0, 1.6):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from runtime.cli.main import main; main()"),
            *("rehydrate", "--home", home, "--force"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_CHECKOUT,
            env={name: value for name, value in os.environ.items() if "HOLDFAST" not in name},
        )
        await asyncio.sleep(delay_s)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
    ended = await holdfast("rehydrate", "--home", home, "--force")
    assert ended.code == 0, ended.stderr
    await _serving(mesh, cardholder)
    assert await _balance(mesh, cardholder) == (0, 700)
    assert (await holdfast("reconcile", "--home", home)).code == 0


async def test_without_an_installation_there_is_nothing(
    devstack_folder: Path, holdfast: Holdfast
) -> None:
    """It starts the servers for itself, and says that there is no ledger."""
    home = devstack_folder / "nothing"
    ended = await holdfast("rehydrate", "--home", str(home))
    homes.remove(StackSettings(home=home))
    assert ended.code == 1
    assert "not initialised" in ended.stderr
