"""Restarts behind Envoy: a server moves to its other slot while calls go on."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from holdfast.authz.v1 import authorization_service_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as pb_grpc
from runtime import pki
from runtime.server import Server
from tests.e2e.edge.upstream import add_fakes
from tests.e2e.edge.world import World, until

CALLERS = 8


async def _healthy(world: World, count: int) -> bool:
    stats = (await world.admin.get("/stats", params={"filter": "cluster.authz.membership"})).text
    if f"cluster.authz.membership_healthy: {count}\n" not in stats:
        return False
    # Envoy's worker thread hears of it a moment after its main thread has counted.
    await asyncio.sleep(0.1)
    return True


async def _move(world: World, *, to_slot: str) -> None:
    """What the supervisor does: start the free slot, wait for SERVING, drain and stop the other."""
    leaving = world.servers["authz"]
    replacement = Server(world.settings.socket_of("authz-0", to_slot))
    await replacement.start(add_fakes(replacement, "authz", world.upstream))
    await replacement.set_serving(True)
    await until(lambda: _healthy(world, 2))
    await leaving.set_serving(False)
    await until(lambda: _healthy(world, 1))
    await leaving.grpc_server.stop(5)
    world.servers["authz"] = replacement

    async def gone() -> bool:
        return not leaving.socket.exists()

    # A server removes its socket as it goes; the next one in this slot must come after that.
    await until(gone)


async def test_a_restart_loses_no_call(world: World) -> None:
    moved = asyncio.Event()
    answered = 0

    async def call_on(stub: pb_grpc.AuthorizationServiceAsyncStub) -> None:
        nonlocal answered
        while not moved.is_set():
            await stub.Authorize(pb.AuthorizeRequest(), timeout=5)
            answered += 1

    credentials = pki.load_credentials(world.settings, "network-demo")
    async with world.tls_channel(world.ports.network, credentials) as channel:
        stub = pb_grpc.AuthorizationServiceStub(channel)
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(call_on(stub))
            await _move(world, to_slot="b")
            await _move(world, to_slot="a")
            moved.set()
    assert answered > CALLERS


async def test_no_server_is_unavailable_not_internal(world: World) -> None:
    """Nobody serves: the caller may send the same request again."""
    await world.servers["authz"].set_serving(False)
    try:
        await until(lambda: _healthy(world, 0))
        async with world.edge_channel() as channel:
            stub = pb_grpc.AuthorizationServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.Authorize(
                    pb.AuthorizeRequest(), metadata=list(world.bearer().items()), timeout=5
                )
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await world.servers["authz"].set_serving(True)
        await until(lambda: _healthy(world, 1))
