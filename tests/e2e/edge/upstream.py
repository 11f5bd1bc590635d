"""Servers behind Envoy that stand for ours: they record calls and answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from runtime.contract import rpcs
from runtime.identity import Identity, current_identity
from runtime.server import Server
from tests.policies import modules_of
from tests.tidy.sources import IMPLEMENTED_BY_OTHERS

Answer = Message | Exception

#: Answered by the real one here, or by nobody of ours.
_NOT_FAKED = IMPLEMENTED_BY_OTHERS | {"holdfast.gateway.v1.JwksService"}


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


def _opened() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class Recorder:
    """All calls that arrived, and the answers to give instead of empty ones."""

    calls: list[Call] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    delay_s: float = 0
    #: Calls that arrive wait for it.
    opened: asyncio.Event = field(default_factory=_opened)

    @property
    def last(self) -> Call:
        return self.calls[-1]

    def answer(self, method: str) -> Answer | None:
        """What the method is told to answer now."""
        told = self.answers.get(method, [None])
        return told.pop(0) if len(told) > 1 else told[0]

    @contextmanager
    def answering(self, method: str, *answers: Answer) -> Iterator[None]:
        """One after the other; the last one for good."""
        self.answers[method] = list(answers)
        try:
            yield
        finally:
            del self.answers[method]


def add_fakes(server: Server, cluster: str, recorder: Recorder) -> list[str]:
    """Adds a servicer for each service that a server of ours has; returns their names."""
    found = dict.fromkeys(rpc.service for rpc in rpcs() if rpc.cluster == cluster)
    names = [name for name in found if name not in _NOT_FAKED]
    for full_name in names:
        pb, pb_grpc = modules_of(full_name)
        name = full_name.rpartition(".")[2]
        descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name[name]
        methods = {method.name: _servicer_method(method, recorder) for method in descriptor.methods}
        servicer = type(f"Fake{name}", (getattr(pb_grpc, f"{name}Servicer"),), methods)()
        getattr(pb_grpc, f"add_{name}Servicer_to_server")(servicer, server.services)
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
        await recorder.opened.wait()
        await asyncio.sleep(recorder.delay_s)
        told = recorder.answer(method.name) or response_class()
        if isinstance(told, Exception):
            raise told
        return told

    return answer
