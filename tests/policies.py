"""Every method of the contract with its policy, and whether an answer means that the caller may."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from runtime.access import OWNING_ROLES, Policy, load_access, policy_of
from runtime.contract import Rpc, contract, rpcs
from tests.tidy.sources import IMPLEMENTED_BY_OTHERS

#: What a caller is told who may not call.
REFUSALS = frozenset({grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED})
#: Calls on their way at once: fewer than Envoy sheds.
_AT_ONCE = 16

Ask = Callable[[str], Awaitable[grpc.StatusCode]]


def without_policy(found: Iterable[Rpc]) -> list[str]:
    """Paths of methods that nobody may call, because they do not say who may."""
    return [
        rpc.path
        for rpc in found
        if rpc.service not in IMPLEMENTED_BY_OTHERS and policy_of(rpc) is None
    ]


def policies() -> list[Policy]:
    """Of every method that a server of ours answers."""
    assert without_policy(rpcs()) == []
    return list(load_access().policies.values())


async def ask(
    channel: grpc.aio.Channel,
    path: str,
    metadata: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> grpc.StatusCode:
    """What a call ends with; the message is empty unless the test has one."""
    method = channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
    try:
        await method(body, timeout=10, metadata=list(metadata))
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def callable_paths(method: Ask, *, refused_with: grpc.StatusCode) -> set[str]:
    """The paths of the contract at which the caller is let in. Others are all refused alike."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(path: str) -> tuple[str, grpc.StatusCode]:
        async with slots:
            return path, await method(path)

    answers = dict(await asyncio.gather(*(one(policy.path) for policy in policies())))
    refused = {path for path, code in answers.items() if code in REFUSALS}
    assert {answers[path] for path in refused} <= {refused_with}
    return answers.keys() - refused


def modules_of(service: str) -> tuple[Any, Any]:
    """The generated modules that have a service: messages, and gRPC."""
    for file in contract().file:
        if service in [f"{file.package}.{one.name}" for one in file.service]:
            name = file.name.removesuffix(".proto").replace("/", ".")
            return importlib.import_module(f"{name}_pb2"), importlib.import_module(
                f"{name}_pb2_grpc"
            )
    raise AssertionError(service)


def about_owners(cluster: str) -> list[Policy]:
    """Policies of a server's methods that managers or cardholders may call."""
    return [
        one
        for one in policies()
        if one.cluster == cluster and not one.roles.isdisjoint(OWNING_ROLES)
    ]


def for_merchants(cluster: str) -> list[Policy]:
    """Policies of a server's methods that merchants may call."""
    return [one for one in policies() if one.cluster == cluster and "merchant" in one.roles]


def _input_of(policy: Policy) -> Descriptor:
    messages, _ = modules_of(policy.service)
    service = messages.DESCRIPTOR.services_by_name[policy.service.rpartition(".")[2]]
    found: Descriptor = service.methods_by_name[policy.path.rpartition("/")[2]].input_type
    return found


def fields_of(policy: Policy) -> set[str]:
    """Names of the fields of a method's request."""
    return {field.name for field in _input_of(policy).fields}


def filled(policy: Policy, things: Mapping[str, Any], **fields: Any) -> Message:
    """A request that names somebody's things in every field that is called after one."""
    names = fields_of(policy)
    named = {name: things[name] for name in names & things.keys()}
    if "request_id" in names:
        named["request_id"] = f"foreign-{policy.path.rpartition('/')[2]}"
    request: Message = message_factory.GetMessageClass(_input_of(policy))(**named, **fields)
    return request


def stub_of(channel: grpc.aio.Channel, policy: Policy) -> Any:
    """A method as its stub has it."""
    _, pb_grpc = modules_of(policy.service)
    service, _, name = policy.path.rpartition("/")
    return getattr(getattr(pb_grpc, f"{service.rpartition('.')[2]}Stub")(channel), name)
