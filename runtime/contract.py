"""The contract as the descriptor set has it: every RPC with its options and HTTP rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2

# Before the descriptor set is parsed: without the extension's module its options are dropped.
from holdfast.type.v1 import access_pb2, deadline_pb2, options_pb2, rate_limit_pb2

__all__ = [
    "DESCRIPTOR_PATH",
    "PACKAGE",
    "Binding",
    "Rpc",
    "contract",
    "deadline_pb2",
    "field_behavior_pb2",
    "options_pb2",
    "rate_limit_pb2",
    "rpcs",
]

#: The contract, as `make gen` writes it and Envoy's transcoder reads it.
DESCRIPTOR_PATH = Path(__file__).resolve().parent.parent / "gen" / "holdfast.binpb"
#: Our own packages, `holdfast.<server>.<version>`; others come with it.
PACKAGE = "holdfast."

_VERBS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One way to call an RPC with JSON."""

    verb: str
    template: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """One RPC of ours."""

    #: Full name of its service, e.g. `holdfast.authz.v1.LedgerService`.
    service: str
    name: str
    method: descriptor_pb2.MethodDescriptorProto

    @property
    def path(self) -> str:
        """What gRPC calls it by."""
        return f"/{self.service}/{self.name}"

    @property
    def cluster(self) -> str:
        """The server that answers, which the package is named after."""
        return self.service.split(".")[1]

    @property
    def changes(self) -> bool:
        """Whether it may change something: its contract does not say that it only reads."""
        level = self.method.options.idempotency_level
        return bool(level != descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS)

    @property
    def access(self) -> access_pb2.Access | None:
        """Who may call it; None if that is not stated."""
        options = self.method.options
        if not options.HasExtension(access_pb2.access):
            return None
        stated: access_pb2.Access = options.Extensions[access_pb2.access]
        return stated

    @property
    def bindings(self) -> list[Binding]:
        """Its HTTP rule and the additional ones."""
        if not self.method.options.HasExtension(annotations_pb2.http):
            return []
        rule = self.method.options.Extensions[annotations_pb2.http]
        return [
            Binding(verb=verb.upper(), template=getattr(one, verb), body=one.body)
            for one in (rule, *rule.additional_bindings)
            for verb in _VERBS
            if one.WhichOneof("pattern") == verb
        ]


@cache
def contract() -> descriptor_pb2.FileDescriptorSet:
    """The descriptor set, with comments."""
    return descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_PATH.read_bytes())


def rpcs(descriptors: descriptor_pb2.FileDescriptorSet | None = None) -> Iterator[Rpc]:
    """Every RPC of ours, in the order of the files."""
    for file in (descriptors or contract()).file:
        if not file.package.startswith(PACKAGE):
            continue
        for service in file.service:
            for method in service.method:
                yield Rpc(service=f"{file.package}.{service.name}", name=method.name, method=method)
