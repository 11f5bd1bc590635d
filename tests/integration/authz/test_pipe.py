"""The pipe: nothing is sent twice, a lost answer is unknown, and one caller's fate is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from authz.__main__ import SERVICE_NAMES, Worker
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2_grpc as authorization_grpc
from runtime import pipe
from runtime.channel import unix_channel
from runtime.errors import ResourceExhausted
from runtime.server import Server
from tests.authz_checks import answered, approved, balance, fetched, refused
from tests.authz_mesh import NETWORK, AuthzMesh, capture_of, purchase, until_serving


class Proxy:
    """Stands before Valkey; once told to, it loses the answer to the next script."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.lose_next = False
        self.lost = 0

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(str(self._target))
        losing = asyncio.Event()

        async def forward() -> None:
            while data := await client.read(65536):
                if self.lose_next and b"EVALSHA" in data:
                    self.lose_next = False
                    losing.set()
                to_server.write(data)

        async def back() -> None:
            while data := await server.read(65536):
                if losing.is_set():
                    self.lost += 1
                    return
                to_client.write(data)

        tasks = [asyncio.create_task(forward()), asyncio.create_task(back())]
        with suppress(ConnectionError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        to_client.close()
        to_server.close()


@asynccontextmanager
async def _through_proxy(
    mesh: AuthzMesh,
) -> AsyncIterator[tuple[Proxy, authorization_grpc.AuthorizationServiceAsyncStub]]:
    """A second worker that reaches Valkey through the proxy."""
    path = mesh.settings.run_path / "proxy.sock"
    proxy = Proxy(Path((mesh.settings.redis_url or "").removeprefix("unix://").split("?")[0]))
    listener = await asyncio.start_unix_server(proxy.serve, path)
    settings = mesh.settings.model_copy(
        update={"instance": "authz-1", "redis_url": f"unix://{path}"}
    )
    server = Server(settings.socket)
    worker = Worker(settings, server, clock=mesh.clock)
    await server.start(SERVICE_NAMES)
    await worker.start()
    try:
        await until_serving(server)
        async with unix_channel(settings.socket) as channel:
            yield proxy, authorization_grpc.AuthorizationServiceStub(channel)
    finally:
        await server.grpc_server.stop(None)
        await worker.stop()
        listener.close()
        await listener.wait_closed()


async def test_lost_answer_is_unknown_and_the_same_request_resolves_it(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: the effect of a script whose answer was lost happens once. Method: a proxy forwards
    the script and closes instead of answering; redis-py's own retry would run it again.
    """
    monkeypatch.setattr(pipe, "RECONNECT_S", 0.01)
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    async with _through_proxy(mesh) as (proxy, authorization):
        await authorization.Authorize(purchase(card, 1), metadata=NETWORK)
        held = ""
        for name in ("Authorize", "CaptureAuthorization"):
            request: Message = purchase(card, 100) if name == "Authorize" else capture_of(held, 100)
            proxy.lose_next = True
            method = getattr(authorization, name)
            error = await refused(method, request)
            assert (error.code.name, error.reason) == ("UNAVAILABLE", "OUTCOME_UNKNOWN")
            assert "repeat the same request" in error.message
            answer, stored = await _until_ready(method, request)
            assert stored
            held = answer.authorization_id
        assert proxy.lost == 2
    assert await balance(mesh, account) == (100, 1, 99_899)


async def _until_ready(method: Any, request: Message) -> tuple[Any, bool]:
    for _ in range(100):
        with suppress(grpc.aio.AioRpcError):
            return await answered(method, request)
        await asyncio.sleep(0.01)
    raise AssertionError("the pipe did not open again")


async def test_forgotten_scripts_are_loaded_again(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    await approved(mesh, card, 1)
    await mesh.money.script_flush()
    answers = await asyncio.gather(
        *(mesh.authorization.Authorize(purchase(card, 1), metadata=NETWORK) for _ in range(30))
    )
    assert all(answer.decision == pb.DECISION_APPROVED for answer in answers)
    assert await balance(mesh, account) == (0, 31, 99_969)
    assert mesh.server.serving


async def test_queue_is_bounded(mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "FLIGHT_MAX", 1)
    running = mesh.worker.pipe
    running._queue_commands = 5
    await mesh.money.client_pause(2_000, all=False)
    calls = [asyncio.create_task(running.command("INCR", "n")) for _ in range(20)]
    try:
        await asyncio.sleep(0.02)
        refusals = [c for c in calls if c.done()]
        assert len(refusals) >= 14
        for call in refusals:
            error = call.exception()
            assert isinstance(error, ResourceExhausted)
            assert error.reason == "OVERLOADED"
    finally:
        await mesh.money.client_unpause()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [a for a in answers if isinstance(a, int)] == list(range(1, 21 - len(refusals)))


async def test_what_nobody_waits_for_is_not_started(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was given up while it waited in the queue must not act later."""
    monkeypatch.setattr(pipe, "FLIGHT_MAX", 1)
    running = mesh.worker.pipe
    await mesh.money.client_pause(2_000, all=False)
    first = asyncio.create_task(running.command("INCR", "in-flight"))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(running.command("INCR", "given-up"))
    third = asyncio.create_task(running.command("INCR", "kept"))
    await asyncio.sleep(0.01)
    first.cancel()
    second.cancel()
    await mesh.money.client_unpause()
    assert await third == 1
    assert await mesh.money.exists("in-flight") == 1  # it was on its way: unknown, not failed
    assert await mesh.money.exists("given-up") == 0


async def test_one_bad_command_of_a_batch_is_its_own_caller_s(mesh: AuthzMesh) -> None:
    running = mesh.worker.pipe
    await running.command("SET", "text", "x")
    answers = await asyncio.gather(
        running.command("PING"),
        running.command("INCR", "text"),
        running.command("PING"),
        return_exceptions=True,
    )
    assert (answers[0], answers[2]) == ("PONG", "PONG")
    assert isinstance(answers[1], Exception)


async def test_more_commands_than_a_batch(mesh: AuthzMesh) -> None:
    running = mesh.worker.pipe
    count = pipe.FLIGHT_MAX * 3 + 1
    answers = await asyncio.gather(*(running.command("INCR", "n") for _ in range(count)))
    assert answers == list(range(1, count + 1))


async def test_lost_connection_is_opened_and_inspected_again(
    mesh: AuthzMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "RECONNECT_S", 0.01)
    card = await mesh.card()
    held = await approved(mesh, card, 1)
    await mesh.money.client_kill_filter(user="authz")
    answer, _ = await _until_ready(mesh.authorization.Authorize, purchase(card, 1))
    assert answer.decision == pb.DECISION_APPROVED
    assert (await fetched(mesh, held)).held_amount.amount_minor == 1
