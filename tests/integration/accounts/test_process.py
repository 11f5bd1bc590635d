"""`python -m accounts` as the supervisor starts it: serves, is killed, heals, ends on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from holdfast.accounts.v1.account_service_pb2 import OpenAccountRequest
from holdfast.accounts.v1.account_service_pb2_grpc import AccountServiceStub
from runtime.channel import unix_channel
from runtime.devstack import environment, probes
from runtime.settings import Settings
from tests.accounts_mesh import OWNER, call, call_replayed, short_folder, usd
from tests.databases import Database
from tests.fake_authorizer import FakeAuthorizer

READY_S = 15.0


@asynccontextmanager
async def _process(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "accounts"),
        env=environment.of_service(settings, "accounts"),
        cwd=Path(__file__).parents[3],
    )
    try:
        async with asyncio.timeout(READY_S):
            while not await probes.grpc_serving(settings.socket_of("accounts")):
                assert process.returncode is None, "accounts ended before it was ready"
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_killed_between_commit_and_projection(accounts_database: Database) -> None:
    with short_folder() as folder:
        settings = accounts_database.settings.model_copy(update={"run_dir": folder})
        authorizer = FakeAuthorizer(settings.egress_socket("accounts"))
        request = OpenAccountRequest(request_id="r-1", owner_id=OWNER, credit_limit=usd(5))
        async with unix_channel(settings.socket_of("accounts")) as channel:
            stub = AccountServiceStub(channel)
            async with _process(settings) as process:
                with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                    await call(stub.OpenAccount, request, timeout_s=1)
                process.kill()
            await authorizer.start()
            async with _process(settings) as process:
                answer, replayed = await call_replayed(stub.OpenAccount, request)
                assert replayed
                assert authorizer.versions == {answer.account.id: 1}
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(10):
                    assert await process.wait() == 0
        await authorizer.stop()
