"""Every method with every kind of caller: who is let in is who the contract names, on each listener
of Envoy's, and once more in the server itself.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2

from holdfast.type.v1 import access_pb2
from runtime import contract, interceptors, pki
from runtime.access import ANYONE, NETWORK, TOKEN_ROLES, Access, AccessError, policy_of
from runtime.channel import unix_channel
from runtime.server import Server
from runtime.settings import SERVICES
from tests.e2e.edge.upstream import Recorder, add_fakes
from tests.e2e.edge.world import World, running_world
from tests.policies import ask, callable_paths, policies, without_policy

DENIED = grpc.StatusCode.PERMISSION_DENIED
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED
FREEZE = "/holdfast.accounts.v1.CardService/FreezeCard"


@pytest.fixture(scope="module")
async def unlimited() -> AsyncIterator[World]:
    """Servers with all services of the contract behind an Envoy that counts no calls."""
    folder = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
    try:
        async with running_world(folder, limits="off") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_to(*roles: str) -> set[str]:
    """Paths that the contract opens to one of these roles."""
    return {one.path for one in policies() if not one.roles.isdisjoint(roles)}


def open_to_token(role: str) -> set[str]:
    """The same, for a token with a role that somebody claims."""
    return open_to(ANYONE, *({role} & set(TOKEN_ROLES)))


def open_to_service(name: str) -> set[str]:
    return {one.path for one in policies() if name in one.services}


@pytest.mark.parametrize("role", [*TOKEN_ROLES, "", "network", "service", "anyone"])
async def test_the_edge_lets_tokens_in(unlimited: World, role: str) -> None:
    """A token that claims to be of a certificate's kind is let in where anyone is."""
    bearer = list(unlimited.bearer(roles=role).items())
    async with unlimited.edge_channel() as channel:
        found = await callable_paths(partial(ask, channel, metadata=bearer), refused_with=DENIED)
    assert found == open_to_token(role)


async def test_the_edge_lets_nobody_else_in(unlimited: World) -> None:
    async with unlimited.edge_channel() as channel:
        found = await callable_paths(partial(ask, channel), refused_with=UNKNOWN)
    assert found == open_to(ANYONE)


async def test_the_network_lets_networks_in(unlimited: World) -> None:
    demo = pki.load_credentials(unlimited.settings, f"network-{pki.DEMO_NETWORK}")
    async with unlimited.tls_channel(unlimited.ports.network, demo) as channel:
        found = await callable_paths(partial(ask, channel), refused_with=DENIED)
    assert found == open_to(NETWORK)


@pytest.mark.parametrize("name", SERVICES)
async def test_the_mesh_lets_services_in(unlimited: World, name: str) -> None:
    async with unix_channel(unlimited.settings.egress_socket(name)) as channel:
        found = await callable_paths(partial(ask, channel), refused_with=DENIED)
    assert found == open_to_service(name)


async def _found_past_envoy(
    world: World, *identity: tuple[str, str], refused_with: grpc.StatusCode = DENIED
) -> set[str]:
    """Paths where the servers let in whom Envoy would have stated to call."""
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(unix_channel(server.socket))
            for name, server in world.servers.items()
        }

        async def method(path: str) -> grpc.StatusCode:
            return await ask(channels[path.split(".")[1]], path, identity)

        return await callable_paths(method, refused_with=refused_with)


@pytest.mark.parametrize("role", [*TOKEN_ROLES, "", "network", "service"])
async def test_servers_decide_again_about_users(unlimited: World, role: str) -> None:
    stated = (("x-auth-subject", "usr_alice"), ("x-auth-roles", role))
    found = await _found_past_envoy(unlimited, *stated)
    assert found == open_to_token(role)


@pytest.mark.parametrize("name", [*SERVICES, "stranger"])
async def test_servers_decide_again_about_services(unlimited: World, name: str) -> None:
    stated = ("x-auth-spiffe", f"spiffe://holdfast.local/service/{name}")
    found = await _found_past_envoy(unlimited, stated)
    assert found == open_to_service(name) | open_to(ANYONE)


async def test_servers_decide_again_about_networks(unlimited: World) -> None:
    stated = ("x-auth-spiffe", "spiffe://holdfast.local/network/demo")
    found = await _found_past_envoy(unlimited, stated)
    assert found == open_to(NETWORK, ANYONE)


async def test_servers_let_nobody_else_in(unlimited: World) -> None:
    assert await _found_past_envoy(unlimited, refused_with=UNKNOWN) == set()


def _with_a_silent_method() -> descriptor_pb2.FileDescriptorSet:
    """The contract, but one method does not say who may call it."""
    changed = descriptor_pb2.FileDescriptorSet()
    changed.CopyFrom(contract.contract())
    (method,) = [one.method for one in contract.rpcs(changed) if one.path == FREEZE]
    method.options.ClearExtension(access_pb2.access)
    return changed


async def test_default_deny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method without a policy: the test of all methods names it, Envoy has no rule for it on any
    listener, and the server that has it does not start.
    """
    rpcs = list(contract.rpcs(_with_a_silent_method()))
    assert without_policy(rpcs) == [FREEZE]
    access = Access(policy for rpc in rpcs if (policy := policy_of(rpc)) is not None)
    rules = (*access.edge.values(), access.network, *access.mesh.values())
    assert all(FREEZE not in paths for paths in rules)

    monkeypatch.setattr(interceptors, "load_access", lambda: access)
    with pytest.raises(AccessError, match=f"{FREEZE} does not say who may call it"):
        add_fakes(Server(tmp_path / "accounts.sock"), "accounts", Recorder())
