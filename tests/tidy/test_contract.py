"""The contract promises what is there, and says what it promises."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from authz.decision import PRECEDENCE, Reason
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from holdfast.type.v1 import options_pb2
from runtime.access import load_access
from tests.e2e.security.test_owasp import OF_NOBODY, OF_THE_VICTIM
from tests.tidy.sources import IMPLEMENTED_BY_OTHERS, ROOT, SERVICES, module, own, text

DESCRIPTORS = descriptor_pb2.FileDescriptorSet.FromString(
    (ROOT / "gen" / "holdfast.binpb").read_bytes()
)
OURS = tuple(file for file in DESCRIPTORS.file if file.name.startswith("holdfast/"))
RPC_SERVICES = {
    f"{file.package}.{service.name}": (file, service) for file in OURS for service in file.service
}


def servicers(name: str) -> list[type[Any]]:
    """Classes of our packages that answer a service."""
    file, service = RPC_SERVICES[name]
    stubs = importlib.import_module(
        file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc"
    )
    base: type[Any] = getattr(stubs, f"{service.name}Servicer")
    for path in own(".py", below=SERVICES):
        if path.stem.endswith("service"):
            importlib.import_module(module(path))
    found: list[type[Any]] = base.__subclasses__()
    return [one for one in found if one.__module__.startswith(SERVICES)]


@pytest.mark.parametrize("name", sorted(RPC_SERVICES.keys() - IMPLEMENTED_BY_OTHERS))
def test_every_rpc_is_implemented(name: str) -> None:
    """One class answers each service, and each of its RPCs: none would say UNIMPLEMENTED."""
    (answering,) = servicers(name)
    for method in RPC_SERVICES[name][1].method:
        assert method.name in vars(answering), f"{answering.__name__} lacks {method.name}"


REPEATED = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


@pytest.mark.parametrize("name", sorted(RPC_SERVICES))
def test_every_rpc_says_whether_it_may_be_repeated(name: str) -> None:
    """Each RPC has an idempotency level, and one that changes something takes a request id or a
    version.
    """
    service = RPC_SERVICES[name][1]
    messages = {
        f".{file.package}.{message.name}": message for file in OURS for message in file.message_type
    }
    for method in service.method:
        level = method.options.idempotency_level
        assert level != descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN, method.name
        if level == descriptor_pb2.MethodOptions.IDEMPOTENT:
            request = messages[method.input_type]
            # Of many things at once each has its own.
            asked = [messages[one.type_name] for one in request.field if one.type_name in messages]
            many = asked if asked and all(one.label == REPEATED for one in request.field) else []
            for one in many or [request]:
                fields = {field.name for field in one.field}
                assert fields & {"request_id", "version"}, method.name


def test_precedence_names_every_reason_once() -> None:
    """The order of reasons is complete: contract, enum and table agree."""
    numbers = {int(value) for name, value in DeclineReason.items() if value}
    assert sorted(PRECEDENCE) == sorted(numbers)
    assert {int(reason) for reason in Reason} == {0, *numbers}
    assert len(set(PRECEDENCE)) == len(PRECEDENCE)


def test_the_contract_states_the_precedence() -> None:
    """The order that clients read in the proto is the one that decides."""
    comment = re.sub(r"\s*//\s*", " ", text(Path("protos/holdfast/authz/v1/decline_reason.proto")))
    stated = comment.partition("in this order wins:")[2].partition(". The order is")[0]
    assert [name.strip() for name in stated.split(",")] == [reason.name for reason in PRECEDENCE]


def test_reasons_have_a_response_code() -> None:
    """Every reason has its DE39 code, two characters, and never that of an approval."""
    for value in DeclineReason.DESCRIPTOR.values:
        code = value.GetOptions().Extensions[options_pb2.decline].response_code
        if value.number:
            assert re.fullmatch(r"[0-9A-Z]{2}", code), value.name
            assert code not in ("00", "10", "85"), value.name


def test_strangers_are_shown_every_kind_of_thing() -> None:
    """What may be somebody's stands in the table of foreign ids, and each service that has such
    things has a test of those that there are.
    """
    owned = [one for one in load_access().policies.values() if one.owner]
    assert {field for one in owned for field in one.owner} <= OF_THE_VICTIM | OF_NOBODY.keys()
    for cluster in {one.cluster for one in owned}:
        assert (ROOT / "tests" / "rpc" / cluster / "test_foreign_ids.py").exists(), cluster
