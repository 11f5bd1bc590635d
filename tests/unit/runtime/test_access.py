"""Who may call what, and that nothing can be called by accident."""

from __future__ import annotations

import re

import grpc
import pytest
from google.protobuf import descriptor_pb2

from holdfast.type.v1 import access_pb2
from runtime.access import (
    OWNING_ROLES,
    TOKEN_ROLES,
    AccessError,
    _regex_of,
    load_access,
    policy_of,
)
from runtime.contract import Rpc, contract, rpcs
from runtime.interceptors import guarded
from tests.tidy.sources import IMPLEMENTED_BY_OTHERS

ACCESS = load_access()


def _rpc(access: access_pb2.Access | None) -> Rpc:
    method = descriptor_pb2.MethodDescriptorProto(name="DoIt")
    if access is not None:
        method.options.Extensions[access_pb2.access].CopyFrom(access)
    return Rpc(service="holdfast.authz.v1.NewService", name="DoIt", method=method)


def test_every_method_says_who_may_call_it() -> None:
    """A new method is denied until its contract says who may call it; this test asks."""
    silent = [one.path for one in rpcs() if policy_of(one) is None]
    assert [path for path in silent if path.split("/")[1] not in IMPLEMENTED_BY_OTHERS] == []


def test_a_method_that_does_not_say_is_for_nobody() -> None:
    """Envoy has no rule for it, and a server that has it does not start."""
    assert policy_of(_rpc(None)) is None
    handler = grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: None,
        request_deserializer=bytes,
        response_serializer=bytes,
    )
    with pytest.raises(AccessError, match="NewService/DoIt"):
        guarded(handler, "/holdfast.authz.v1.NewService/DoIt")


@pytest.mark.parametrize(
    "access",
    [
        access_pb2.Access(),
        access_pb2.Access(roles=[access_pb2.ROLE_UNSPECIFIED]),
        access_pb2.Access(roles=[access_pb2.ROLE_ANYONE, access_pb2.ROLE_ADMIN]),
        access_pb2.Access(roles=[access_pb2.ROLE_SERVICE]),
        access_pb2.Access(roles=[access_pb2.ROLE_ADMIN], services=["accounts"]),
        access_pb2.Access(roles=[access_pb2.ROLE_CARDHOLDER]),
        access_pb2.Access(roles=[access_pb2.ROLE_MANAGER], owner=["a"], own=True),
        access_pb2.Access(roles=[access_pb2.ROLE_ADMIN], owner=["a"]),
        access_pb2.Access(roles=[access_pb2.ROLE_CARDHOLDER], own=True, users=True),
    ],
)
def test_policies_that_make_no_sense(access: access_pb2.Access) -> None:
    with pytest.raises(AccessError, match="DoIt"):
        policy_of(_rpc(access))


def _fields(rpc: Rpc) -> dict[str, descriptor_pb2.FieldDescriptorProto]:
    for file in contract().file:
        for message in file.message_type:
            if f".{file.package}.{message.name}" == rpc.method.input_type:
                return {field.name: field for field in message.field}
    raise AssertionError(rpc.path)


def test_owner_rules_name_fields_that_are_there() -> None:
    for rpc in rpcs():
        policy = policy_of(rpc)
        for name in policy.owner if policy else ():
            field = _fields(rpc)[name]
            assert field.type == descriptor_pb2.FieldDescriptorProto.TYPE_STRING, rpc.path
            assert field.label != descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED, rpc.path


def test_mesh_methods_are_in_the_mesh_only() -> None:
    """What services do for themselves is theirs alone; registering is done for somebody, and what
    was used is read by staff, too.
    """
    shared = {
        "/holdfast.accounts.v1.UserService/CreateUser",
    }
    for policy in ACCESS.policies.values():
        if policy.path not in shared:
            assert "service" not in policy.roles or policy.roles == {"service"}, policy.path


def test_the_roles_of_the_contract() -> None:
    """Administrators reach everything that somebody with a token reaches, auditors read it all,
    merchants and networks get what their trade needs.
    """
    edge = ACCESS.edge
    open_to_tokens = {
        one.path for one in ACCESS.policies.values() if not one.own and one.roles & set(TOKEN_ROLES)
    }
    assert open_to_tokens <= set(edge["admin"])
    reading = ("Get", "List", "Search", "Download")
    reads = {path for path in open_to_tokens if path.split("/")[2].startswith(reading)}
    assert reads <= set(edge["auditor"])
    for path in set(edge["auditor"]) - reads:
        assert ACCESS.policies[path].own, f"{path} changes something"
    service = "/holdfast.authz.v1.AuthorizationService/"
    holds = ("Capture", "Reverse", "Increment", "Get")
    names = {
        "Authorize",
        "Refund",
        "ListAuthorizations",
        *(f"{verb}Authorization" for verb in holds),
    }
    trade = {service + name for name in names}
    assert {path for path in edge["merchant"] if path.startswith(service)} == trade
    assert set(ACCESS.network) == {
        *trade,
        service + "ForcePost",
        "/holdfast.accounts.v1.VaultService/ResolvePan",
    }
    assert "/holdfast.gateway.v1.JwksService/GetJwks" in edge["anyone"]


def test_whoever_owns_has_an_owner_rule() -> None:
    for policy in ACCESS.policies.values():
        if policy.roles & OWNING_ROLES:
            assert policy.owner or policy.own, policy.path


@pytest.mark.parametrize(
    ("template", "matching", "other"),
    [
        ("/v1/sessions:login", "/v1/sessions:login", "/v1/sessions"),
        ("/.well-known/jwks.json", "/.well-known/jwks.json", "/Xwell-known/jwks.json"),
        ("/v1/hooks/{provider}", "/v1/hooks/stripe", "/v1/hooks/stripe/keys"),
        ("/v1/hooks/{provider}:in", "/v1/hooks/stripe:in", "/v1/hooks/stripe"),
    ],
)
def test_json_paths_without_a_token(template: str, matching: str, other: str) -> None:
    assert re.fullmatch(_regex_of(template), matching)
    assert not re.fullmatch(_regex_of(template), other)
