"""Keys, certificates and the CA are replaced while calls go on: none fails."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
import jwt
import pytest

from gateway.token_keys import UNUSED_MS, TokenKeys
from runtime import pki
from runtime.cli.token import issue_token
from runtime.clock import ManualClock, SystemClock
from tests.e2e.edge.world import World, call_empty, running_world, until

PATH = "/v1/authorizations/auth_1"
GET = "/holdfast.authz.v1.AuthorizationService/GetAuthorization"


@pytest.fixture(scope="module")
async def brief() -> AsyncIterator[World]:
    """An Envoy that keeps the token keys for a second: a new one signs after two."""
    folder = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
    try:
        async with running_world(folder, jwks_cache_s=1) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def going_on(call: Callable[[], Awaitable[None]]) -> AsyncIterator[list[BaseException]]:
    """Calls without a pause, four at a time, until the end; collects what fails."""
    failures: list[BaseException] = []
    stop = asyncio.Event()
    done = 0

    async def caller() -> None:
        nonlocal done
        while not stop.is_set():
            try:
                await call()
            except (AssertionError, grpc.RpcError, httpx.HTTPError, OSError) as error:
                failures.append(error)
            done += 1
            # Between two calls: the servers run in this process, too.
            await asyncio.sleep(0.002)

    tasks = [asyncio.create_task(caller()) for _ in range(4)]
    try:
        yield failures
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert done > 20


async def test_a_token_key_is_replaced_while_calls_go_on(brief: World) -> None:
    """Every call has a fresh token, as right after a sign-in; the old key is removed at the end."""
    used: list[str] = []

    async def call() -> None:
        token = issue_token(brief.settings, subject="usr_alice", roles=("admin",))
        kid = jwt.get_unverified_header(token)["kid"]
        if kid not in used:
            used.append(kid)
        answer = await brief.web.get(PATH, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text

    async with going_on(call) as failures:
        await asyncio.sleep(0.3)
        added = brief.keys.rotate()

        async def signs() -> bool:
            return added in used

        await until(signs)
        await asyncio.sleep(0.5)
    assert failures == []
    assert len(used) == 2


async def test_a_removed_key_is_refused(brief: World) -> None:
    """As a token key that has leaked is removed: its tokens end when Envoy has read the keys."""
    old = issue_token(brief.settings, subject="usr_alice", roles=("admin",))
    brief.keys.rotate()
    later = ManualClock(SystemClock().now_ms() + 2 * UNUSED_MS)
    assert TokenKeys(brief.settings, later).prune()

    async def refused() -> bool:
        answer = await brief.web.get(PATH, headers={"authorization": f"Bearer {old}"})
        return answer.status_code == 401

    await until(refused, timeout_s=10)
    fresh = issue_token(brief.settings, subject="usr_alice", roles=("admin",))
    answer = await brief.web.get(PATH, headers={"authorization": f"Bearer {fresh}"})
    assert answer.status_code == 200


async def test_certificates_are_replaced_while_calls_go_on(brief: World) -> None:
    """Callers on one connection, and callers who connect anew with what lies there now."""
    async with brief.tls_channel(
        brief.ports.network, pki.load_credentials(brief.settings, "network-demo")
    ) as standing:

        async def call() -> None:
            await call_empty(standing, GET)
            credentials = pki.load_credentials(brief.settings, "network-demo")
            async with brief.tls_channel(brief.ports.network, credentials) as new:
                await call_empty(new, GET)

        async with going_on(call) as failures:
            for _ in range(3):
                await asyncio.sleep(0.3)
                pki.rotate_certificates(brief.settings)
            await asyncio.sleep(0.5)
        assert failures == []


async def test_the_ca_is_replaced_while_calls_go_on(brief: World) -> None:
    """Staged, handed out, adopted: clients with certificates of the old CA go on, too."""
    old = pki.load_credentials(brief.settings, "network-demo")

    async def call() -> None:
        for credentials in (old, pki.load_credentials(brief.settings, "network-demo")):
            async with brief.tls_channel(brief.ports.network, credentials) as channel:
                await call_empty(channel, GET)

    async with going_on(call) as failures:
        await asyncio.sleep(0.3)
        pki.stage_authority(brief.settings)
        await asyncio.sleep(0.7)
        pki.adopt_authority(brief.settings)
        await asyncio.sleep(0.7)
    assert failures == []
    assert pki.load_credentials(brief.settings, "network-demo").certificate != old.certificate
    with pytest.raises(ValueError, match="no CA is staged"):
        pki.adopt_authority(brief.settings)
