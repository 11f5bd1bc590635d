"""Readiness: one question per kind of server, answered yes or no, never with an exception."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

_TIMEOUT_S = 2.0
_HTTP_OK = 200


async def postgres(dsn: str) -> bool:
    """Whether PostgreSQL lets us in."""
    import asyncpg  # noqa: PLC0415  the command line should start quickly

    try:
        connection = await asyncpg.connect(dsn, timeout=_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    try:
        await connection.close()
    finally:
        # Whoever is stopped while it says goodbye leaves nothing open.
        connection.terminate()
    return True


async def valkey(socket: Path, *, user: str, password: str) -> bool:
    """Whether Valkey knows the user and answers PING; while it loads its file it does not."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(f"AUTH {user} {password}\r\nPING\r\n".encode())
                lines = [await reader.readline(), await reader.readline()]
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return lines == [b"+OK\r\n", b"+PONG\r\n"]


async def grpc_serving(socket: Path) -> bool:
    """Whether the server's overall health (grpc.health.v1) is SERVING."""
    if not os.path.exists(socket):  # noqa: ASYNC240, PTH110  one stat is no wait
        return False
    import grpc  # noqa: PLC0415  the command line should start quickly
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
    serving: bool = answer.status == health_pb2.HealthCheckResponse.SERVING
    return serving


async def http_ok(socket: Path, path: str) -> bool:
    """Whether a GET over the unix socket answers 200."""
    return await http_text(socket, path) is not None


async def http_text(socket: Path, path: str, *, method: str = "GET") -> str | None:
    """Body of a 200 answer over a unix socket; None for every other outcome."""
    if not os.path.exists(socket):  # noqa: ASYNC240, PTH110  one stat is no wait
        return None
    import httpx  # noqa: PLC0415  the command line should start quickly

    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_S) as client:
        try:
            answer = await client.request(method, f"http://localhost{path}")
        except httpx.HTTPError:
            return None
    return answer.text if answer.status_code == _HTTP_OK else None
