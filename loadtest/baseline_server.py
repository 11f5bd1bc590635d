"""What the authorizer is compared with: `python -m loadtest.baseline_server KIND`.

Answers Authorize in the place of an authorizer worker, on the same socket and behind the same
Envoy. `grpc-aio` and `native` are empty handlers on either gRPC server. `postgres` is what most
teams would build: a conditional UPDATE and an INSERT in one statement, committed before the answer,
on the faster of the two servers.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import grpc
import pygrpc_native.aio
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import authorization_service_pb2_grpc as rpc_grpc
from runtime.postgres import connect_pool
from runtime.server import termination
from runtime.settings import Settings

KINDS = ("grpc-aio", "native", "postgres")
#: Connections to PostgreSQL of one process.
POOL = 24

#: Names the request at most once, takes credit only if it suffices.
_PLACE = """
WITH moved AS (
    UPDATE bench.account SET held_minor = held_minor + $3
    WHERE card_id = $2 AND limit_minor - held_minor >= $3
    RETURNING held_minor
)
INSERT INTO bench.hold (request_id, card_id, amount_minor)
SELECT $1, $2, $3 FROM moved
RETURNING amount_minor
"""

Answer = Callable[[rpc.AuthorizeRequest], Awaitable[rpc.AuthorizeResponse]]


class Servicer(rpc_grpc.AuthorizationServiceServicer):
    """Answers Authorize with whatever it was given."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def Authorize(self, request: rpc.AuthorizeRequest, _: Any) -> rpc.AuthorizeResponse:
        """The baseline's answer."""
        return await self._answer(request)


async def empty(_: rpc.AuthorizeRequest) -> rpc.AuthorizeResponse:
    """Approves everything and does nothing."""
    return rpc.AuthorizeResponse(decision=pb.DECISION_APPROVED, response_code="00")


def placing(pool: asyncpg.Pool) -> Answer:
    """Reserves the amount in PostgreSQL."""

    async def place(request: rpc.AuthorizeRequest) -> rpc.AuthorizeResponse:
        placed = await pool.fetchval(
            _PLACE, request.request_id, request.card_id, request.amount.amount_minor
        )
        decision = pb.DECISION_DECLINED if placed is None else pb.DECISION_APPROVED
        return rpc.AuthorizeResponse(decision=decision, response_code="00")

    return place


async def main(kind: str) -> None:
    """Serves until SIGTERM."""
    settings = Settings()
    server = grpc.aio.server() if kind == "grpc-aio" else pygrpc_native.aio.server()
    answer: Answer = empty
    if kind == "postgres":
        answer = placing(await connect_pool(settings, "authz", min_size=POOL, max_size=POOL))
    rpc_grpc.add_AuthorizationServiceServicer_to_server(Servicer(answer), server)  # type: ignore[abstract]
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    os.umask(0o177)
    server.add_insecure_port(f"unix:{settings.socket}")
    await server.start()
    await termination().wait()
    await server.stop(1)


if __name__ == "__main__":
    assert sys.argv[1] in KINDS, KINDS
    (asyncio if sys.argv[1] == "grpc-aio" else uvloop).run(main(sys.argv[1]))
