"""Who may call what, as each method of the contract states it (`holdfast.type.v1.access`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from holdfast.type.v1 import access_pb2
from runtime.contract import Binding, Rpc, rpcs

#: Roles that a token may carry.
TokenRole = Literal["admin", "manager", "cardholder", "merchant", "auditor"]
TOKEN_ROLES: tuple[TokenRole, ...] = get_args(TokenRole)
#: Not a role that anybody has: no token is asked for.
ANYONE = "anyone"
NETWORK = "network"
SERVICE = "service"
ROLES: tuple[str, ...] = (ANYONE, *TOKEN_ROLES, NETWORK, SERVICE)
#: Roles that are allowed what belongs to them.
OWNING_ROLES = frozenset({"manager", "cardholder"})

#: What no token makes of its subject.
_BY_CERTIFICATE = frozenset({NETWORK, SERVICE})
_PREFIX = "ROLE_"
#: Of ids in certificates: `spiffe://<trust domain>/<kind>/<name>`.
_SPIFFE = "spiffe://"


class AccessError(Exception):
    """A policy that makes no sense; the message names the method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may call one method."""

    path: str
    #: The server that answers.
    cluster: str
    roles: frozenset[str]
    #: Fields that name what must belong to managers and cardholders.
    owner: tuple[str, ...] = ()
    users: bool = False
    own: bool = False
    #: Callers in the mesh.
    services: tuple[str, ...] = ()
    #: What an API key needs.
    scopes: tuple[str, ...] = ()
    bindings: tuple[Binding, ...] = ()

    @property
    def service(self) -> str:
        """Full name of the gRPC service."""
        return self.path.split("/")[1]

    def is_for(self, principal: str, roles: frozenset[str]) -> bool:
        """True if whoever has this principal and these roles may call. What Envoy has decided
        already is decided again: a service does not rely on how it was reached.
        """
        if ANYONE in self.roles or not self.roles.isdisjoint(roles - _BY_CERTIFICATE):
            return True
        if not principal.startswith(_SPIFFE):
            return False
        kind, _, name = principal.removeprefix(_SPIFFE).partition("/")[2].partition("/")
        if kind == SERVICE:
            return name in self.services
        return kind == NETWORK and NETWORK in self.roles


@dataclass(frozen=True, slots=True)
class AnonymousPath:
    """A JSON path that asks for no token."""

    verb: str
    #: RE2; matches the whole path.
    regex: str


class Access:
    """The policies of all methods that have one. What has none can be called by nobody."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.policies = {policy.path: policy for policy in policies}

    @property
    def edge(self) -> dict[str, list[str]]:
        """Paths (gRPC) by role, for the edge listener."""
        return {role: self._open_to(role) for role in (*TOKEN_ROLES, ANYONE)}

    @property
    def anonymous(self) -> list[AnonymousPath]:
        """How JSON clients reach what asks for no token."""
        return [
            AnonymousPath(binding.verb, _regex_of(binding.template))
            for path in self._open_to(ANYONE)
            for binding in self.policies[path].bindings
        ]

    @property
    def named_twice(self) -> list[str]:
        """RE2, each matching JSON paths whose query names a field that the path has."""
        found = {
            _again_regex(binding.template[: field.start()], field[1])
            for policy in self.policies.values()
            for binding in policy.bindings
            for field in re.finditer(r"\{([^}=]*)[^}]*\}", binding.template)
        }
        return sorted(found)

    @property
    def scopes(self) -> dict[str, list[str]]:
        """Paths (gRPC) by scope, for API keys; a method with two scopes needs both."""
        names = sorted({scope for one in self.policies.values() for scope in one.scopes})
        return {
            name: [path for path, one in self.policies.items() if name in one.scopes]
            for name in names
        }

    @property
    def network(self) -> list[str]:
        """Paths (gRPC) open to card networks and merchants with a client certificate."""
        return self._open_to(NETWORK)

    @property
    def mesh(self) -> dict[str, list[str]]:
        """Paths (gRPC) by calling service."""
        callers = sorted({name for one in self.policies.values() for name in one.services})
        return {
            caller: [path for path, one in self.policies.items() if caller in one.services]
            for caller in callers
        }

    @property
    def credentialed(self) -> list[str]:
        """Paths (gRPC) that the edge listener opens to callers with a token or an API key."""
        roles = frozenset(TOKEN_ROLES)
        return [path for path, one in self.policies.items() if one.roles & roles]

    @property
    def edge_services(self) -> list[str]:
        """Services of which the edge listener reaches at least one method."""
        return list(dict.fromkeys(path.split("/")[1] for own in self.edge.values() for path in own))

    def _open_to(self, role: str) -> list[str]:
        return [path for path, one in self.policies.items() if role in one.roles]


def policy_of(rpc: Rpc) -> Policy | None:
    """The policy that a method states, checked; None if it states none."""
    stated = rpc.access
    if stated is None:
        return None
    roles = frozenset(
        access_pb2.Role.Name(role).removeprefix(_PREFIX).lower() for role in stated.roles
    )
    policy = Policy(
        path=rpc.path,
        cluster=rpc.cluster,
        roles=roles,
        owner=tuple(stated.owner),
        users=stated.users,
        own=stated.own,
        services=tuple(stated.services),
        scopes=tuple(stated.scopes),
        bindings=tuple(rpc.bindings),
    )
    if fault := _fault(policy):
        raise AccessError(f"{rpc.path}: {fault}")
    return policy


def _fault(policy: Policy) -> str:
    if not policy.roles <= set(ROLES) or not policy.roles:
        return "its policy names no role, or an unknown one"
    if ANYONE in policy.roles and len(policy.roles) > 1:
        return "open to anyone, and to others besides"
    if (SERVICE in policy.roles) != bool(policy.services):
        return "ROLE_SERVICE goes with `services`"
    owned = not policy.roles.isdisjoint(OWNING_ROLES)
    if owned and not (policy.owner or policy.own):
        return "managers and cardholders need `owner` or `own`"
    if policy.owner and (policy.own or not owned):
        return "`owner` is for managers and cardholders, and not with `own`"
    if policy.users and not policy.owner:
        return "`users` goes with `owner`"
    return ""


def _regex_of(template: str) -> str:
    """`/v1/hooks/{provider}` → `/v1/hooks/[^/?]+`."""
    parts = re.split(r"(\{[^}]*\})", template)
    return "".join("[^/?]+" if part.startswith("{") else re.escape(part) for part in parts)


def _again_regex(before: str, name: str) -> str:
    """`before` is the path up to the field. A field has its name in the contract, and the one that
    JSON makes of it. No name needs an escape: one that has some could be any.
    """
    spelled = {name, re.sub("_(.)", lambda found: found[1].upper(), name)}
    names = "|".join(re.escape(one) for one in sorted(spelled))
    return rf"{_regex_of(before)}[^/?]+[^?]*\?(.*&)?({names}|[^=&]*%[^=&]*)([=&].*)?"


@cache
def load_access() -> Access:
    """Reads and checks the policies of the contract."""
    return Access(policy for rpc in rpcs() if (policy := policy_of(rpc)) is not None)
