"""How Envoy carries calls on, as the contract has it: how long each method may take, and whether a
call of it that failed may be sent again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor_pb2 import MethodOptions

from holdfast.type.v1 import deadline_pb2
from holdfast.type.v1.deadline_pb2 import DeadlineClass
from runtime.contract import Rpc, rpcs

#: The contract's comments say the same.
DEADLINES_S: Mapping[DeadlineClass.ValueType, int] = {
    deadline_pb2.DEADLINE_CLASS_READ: 5,
    deadline_pb2.DEADLINE_CLASS_MUTATION: 10,
    deadline_pb2.DEADLINE_CLASS_REPORT: 30,
    deadline_pb2.DEADLINE_CLASS_AUTHORIZE: 3,
}

_PREFIX = "DEADLINE_CLASS_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """What is the same for all methods of one server and class."""

    #: The server that answers.
    cluster: str
    #: Name of the class, e.g. `read`.
    name: str
    deadline_s: int
    #: Without side effects: it may be sent again although a server may have begun with it.
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Methods that are handled alike."""

    handling: Handling
    paths: tuple[str, ...]

    @property
    def regex(self) -> str:
        """RE2; matches the whole path of each."""
        return "|".join(map(re.escape, self.paths))


def handling_of(rpc: Rpc) -> Handling:
    """How calls of a method are carried on."""
    repeatable = rpc.method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    stated = rpc.method.options.Extensions[deadline_pb2.deadline] or (
        deadline_pb2.DEADLINE_CLASS_READ if repeatable else deadline_pb2.DEADLINE_CLASS_MUTATION
    )
    return Handling(
        cluster=rpc.cluster,
        name=DeadlineClass.Name(stated).removeprefix(_PREFIX).lower(),
        deadline_s=DEADLINES_S[stated],
        repeatable=repeatable,
    )


@cache
def handlings() -> Mapping[str, Handling]:
    """By gRPC path, of every method."""
    return {rpc.path: handling_of(rpc) for rpc in rpcs()}


def routes(paths: Iterable[str]) -> list[Route]:
    """The fewest routes for these methods, in the order in which they first appear."""
    grouped: dict[Handling, list[str]] = {}
    for path in paths:
        grouped.setdefault(handlings()[path], []).append(path)
    return [Route(handling, tuple(members)) for handling, members in grouped.items()]
