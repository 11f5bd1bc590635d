"""How many connections a listener takes, and what is left for the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import pytest

from runtime import pki
from runtime.envoyconfig import TLS_TIMEOUT_S
from tests.e2e.edge.conftest import EDGE_CONNECTIONS
from tests.e2e.edge.world import World, call_empty, stats, until

GET = "/holdfast.authz.v1.AuthorizationService/GetAuthorization"
SURPLUS = 20
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _is_open(connection: Connection) -> bool:
    """Nothing was asked, so nothing comes but an end."""
    reader, _ = connection
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await reader.read(1)
            return False
    return True


async def test_a_listener_that_is_full_closes_what_comes_and_serves_what_is_there(
    world: World,
) -> None:
    """Goal: plain HTTP's connections are all taken: no more are let in there, those that stand are
    served, and so is everybody on the other listeners; once some end, others are let in.
    """
    path, headers = "/v1/authorizations/auth_1", world.bearer()
    assert (await world.web.get(path, headers=headers)).status_code == httpx.codes.OK
    count = EDGE_CONNECTIONS + SURPLUS
    connections = [
        await asyncio.open_connection("127.0.0.1", world.ports.edge_http) for _ in range(count)
    ]
    try:
        opened = sum(await asyncio.gather(*map(_is_open, connections)))
        assert EDGE_CONNECTIONS // 2 < opened < EDGE_CONNECTIONS
        assert (await stats(world, "listener.127.0.0.1")).get(
            f"listener.127.0.0.1_{world.ports.edge_http}.downstream_cx_overflow", 0
        ) >= SURPLUS
        assert (await world.web.get(path, headers=headers)).status_code == httpx.codes.OK
        async with httpx.AsyncClient(verify=world.tls_context()) as other:
            url = f"https://localhost:{world.ports.edge_https}{path}"
            assert (await other.get(url, headers=headers)).status_code == httpx.codes.OK
        credentials = pki.load_credentials(world.settings, "network-demo")
        async with world.tls_channel(world.ports.network, credentials) as channel:
            await call_empty(channel, GET)
    finally:
        for _, writer in connections:
            writer.close()

    async def let_in() -> bool:
        connection = await asyncio.open_connection("127.0.0.1", world.ports.edge_http)
        try:
            return await _is_open(connection)
        finally:
            connection[1].close()

    await until(let_in)


@pytest.mark.parametrize("listener", ["edge_https", "network", "mesh"])
@pytest.mark.parametrize(
    "sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["silent", "half a ClientHello"]
)
async def test_who_does_not_finish_tls_is_let_go(world: World, listener: str, sent: bytes) -> None:
    port = getattr(world.ports, listener)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(2 * TLS_TIMEOUT_S):
            assert await reader.read() == b""
    finally:
        writer.close()


async def test_envoy_watches_its_memory(world: World) -> None:
    prefix = "overload.envoy.resource_monitors.fixed_heap"
    found = await stats(world, prefix)
    assert 0 < found[f"{prefix}.pressure"] < 50
    assert found.get(f"{prefix}.failed_updates", 0) == 0
