"""Reads `envoy/access.yaml`: which role, network or service may call which method."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

Role = Literal["admin", "auditor", "merchant", "anonymous"]
#: Roles that a token may carry.
TOKEN_ROLES: tuple[Role, ...] = ("admin", "auditor", "merchant")

ENVOY_TEMPLATES = Path(__file__).resolve().parent.parent / "envoy"


class MethodAccess(BaseModel):
    """Who may call one method; empty means nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge: tuple[Role, ...] = ()
    network: bool = False
    mesh: tuple[str, ...] = ()


class ServiceAccess(BaseModel):
    """The methods of one gRPC service, and the server that answers them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: str
    methods: dict[str, MethodAccess] = Field(min_length=1)


class Access(BaseModel):
    """The whole table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    services: dict[str, ServiceAccess]

    @property
    def edge(self) -> dict[Role, list[str]]:
        """Paths (gRPC) by role, for the edge listener."""
        roles: tuple[Role, ...] = (*TOKEN_ROLES, "anonymous")
        return {
            role: [path for path, method in self._methods() if role in method.edge]
            for role in roles
        }

    @property
    def network(self) -> list[str]:
        """Paths (gRPC) open to card networks and merchants."""
        return [path for path, method in self._methods() if method.network]

    @property
    def mesh(self) -> dict[str, list[str]]:
        """Paths (gRPC) by calling service."""
        callers = sorted({caller for _, method in self._methods() for caller in method.mesh})
        return {
            caller: [path for path, method in self._methods() if caller in method.mesh]
            for caller in callers
        }

    def cluster_of(self, path: str) -> str:
        """The server that answers a gRPC path of this table."""
        return self.services[path.split("/")[1]].cluster

    def edge_services(self) -> list[str]:
        """Services of which the edge listener reaches at least one method."""
        return [
            name
            for name, service in self.services.items()
            if any(method.edge for method in service.methods.values())
        ]

    def _methods(self) -> Iterator[tuple[str, MethodAccess]]:
        for service_name, service in self.services.items():
            for method_name, method in service.methods.items():
                yield f"/{service_name}/{method_name}", method


def load_access(path: Path = ENVOY_TEMPLATES / "access.yaml") -> Access:
    """Reads and checks the table."""
    return Access.model_validate(yaml.safe_load(path.read_text()))
