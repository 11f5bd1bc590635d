"""Servers behind Envoy that stand for authz and accounts: they record calls and answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from holdfast.accounts.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    card_service_pb2,
    card_service_pb2_grpc,
)
from holdfast.authz.v1 import (
    authorization_service_pb2,
    authorization_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    projection_service_pb2,
    projection_service_pb2_grpc,
)
from runtime.identity import Identity, current_identity
from runtime.server import Server

Answer = Message | Exception

#: Service descriptor, base class of its servicer, function that adds one to a server.
AUTHZ = (
    (authorization_service_pb2, authorization_service_pb2_grpc, "AuthorizationService"),
    (ledger_service_pb2, ledger_service_pb2_grpc, "LedgerService"),
    (projection_service_pb2, projection_service_pb2_grpc, "ProjectionService"),
)
ACCOUNTS = (
    (account_service_pb2, account_service_pb2_grpc, "AccountService"),
    (card_service_pb2, card_service_pb2_grpc, "CardService"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What arrived behind Envoy."""

    method: str
    identity: Identity
    metadata: list[tuple[str, str]]
    request: Any
    time_remaining_s: float

    def values(self, key: str) -> list[str]:
        return [value for name, value in self.metadata if name == key]


@dataclass(slots=True)
class Recorder:
    """All calls that arrived, and the answers to give instead of empty ones."""

    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    delay_s: float = 0

    @property
    def last(self) -> Call:
        return self.calls[-1]

    @contextmanager
    def answering(self, method: str, answer: Answer) -> Iterator[None]:
        self.answers[method] = answer
        try:
            yield
        finally:
            del self.answers[method]


def add_fakes(server: Server, services: tuple[Any, ...], recorder: Recorder) -> list[str]:
    """Adds a servicer for each service; returns their names."""
    names = []
    for pb, pb_grpc, name in services:
        descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name[name]
        methods = {method.name: _servicer_method(method, recorder) for method in descriptor.methods}
        servicer = type(f"Fake{name}", (getattr(pb_grpc, f"{name}Servicer"),), methods)()
        getattr(pb_grpc, f"add_{name}Servicer_to_server")(servicer, server.services)
        names.append(descriptor.full_name)
    return names


def _servicer_method(method: MethodDescriptor, recorder: Recorder) -> Callable[..., Any]:
    response_class = message_factory.GetMessageClass(method.output_type)

    async def answer(_self: object, request: Any, context: Any) -> Message:
        metadata = [(key, str(value)) for key, value in context.invocation_metadata()]
        recorder.calls.append(
            Call(
                method=method.name,
                identity=current_identity(),
                metadata=metadata,
                request=request,
                time_remaining_s=context.time_remaining() or float("inf"),
            )
        )
        await asyncio.sleep(recorder.delay_s)
        told = recorder.answers.get(method.name, response_class())
        if isinstance(told, Exception):
            raise told
        return told

    return answer
