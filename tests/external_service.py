"""An issuer's own ExternalDecisionService: a real gRPC server that answers as a test wants."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import external_decision_service_pb2 as external

METHOD = "/holdfast.authz.v1.ExternalDecisionService/Decide"
NEVER_S = 60.0

Answering = Callable[[external.DecideRequest], Awaitable[bytes]]


def saying(decision: int, reason: str = "", *, after_s: float = 0) -> Answering:
    """An answer, after a while."""

    async def answer(question: external.DecideRequest) -> bytes:
        del question
        await asyncio.sleep(after_s)
        said = pb.Decision.ValueType(decision)
        return external.DecideResponse(decision=said, reason=reason).SerializeToString()

    return answer


APPROVES = saying(pb.DECISION_APPROVED)
DECLINES = saying(pb.DECISION_DECLINED, "velocity of the fleet")
SLOW = saying(pb.DECISION_APPROVED, after_s=NEVER_S)


async def garbage(question: external.DecideRequest) -> bytes:
    """Bytes that are no answer."""
    del question
    return b"\xff\xff\xff"


async def failing(question: external.DecideRequest) -> bytes:
    """A service with a fault of its own."""
    raise RuntimeError(f"cannot judge {question.card_id}")


@dataclass(slots=True, kw_only=True)
class Issuer:
    """The running service: what it answers from now on, and what it was asked."""

    target: str
    server: grpc.aio.Server
    answer: Answering = APPROVES
    questions: list[external.DecideRequest] = field(default_factory=list)
    #: What it was left for each answer when the question came.
    deadlines_s: list[float | None] = field(default_factory=list)
    #: Questions that it was not waited for.
    given_up: int = 0

    async def decide(self, raw: bytes, context: Any) -> bytes:
        """One question."""
        question = external.DecideRequest.FromString(raw)
        self.questions.append(question)
        self.deadlines_s.append(context.time_remaining())
        try:
            return await self.answer(question)
        except asyncio.CancelledError:
            self.given_up += 1
            raise


@asynccontextmanager
async def issuer(*, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[Issuer]:
    """Starts one, on a unix socket, or with TLS on a port of localhost."""
    server = grpc.aio.server()
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as folder:
        if credentials is None:
            target = f"unix:{Path(folder) / 'issuer.sock'}"
            server.add_insecure_port(target)
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
            target = f"tls://localhost:{port}"
        running = Issuer(target=target, server=server)
        handler: Any = grpc.unary_unary_rpc_method_handler(running.decide)
        service, _, method = METHOD[1:].partition("/")
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        await server.start()
        try:
            yield running
        finally:
            await server.stop(0)
