"""Settings of the supervisor: how many workers, which ports, how much memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from runtime.settings import Settings

#: Envoy's TCP listeners in the order in which `--port N` numbers them from N.
LISTENERS = ("edge_https", "edge_http", "network", "mesh", "metrics")


def _cores() -> int:
    return min(len(os.sched_getaffinity(0)), 64)


class StackSettings(Settings):
    """`Settings` and what only the supervisor decides."""

    authz_workers: int = Field(
        default_factory=_cores,
        ge=1,
        le=64,
        description="Number of authorizer processes, one socket each. Default: one per core.",
    )
    edge_https_port: int = Field(default=8443, ge=0, le=65535, description="Web clients, HTTPS.")
    edge_http_port: int = Field(default=8080, ge=0, le=65535, description="The same on loopback.")
    network_port: int = Field(default=9443, ge=0, le=65535, description="Card networks, mTLS.")
    mesh_port: int = Field(default=9444, ge=0, le=65535, description="Service to service, mTLS.")
    metrics_port: int = Field(default=9464, ge=0, le=65535, description="Prometheus, loopback.")
    money_memory_mb: int = Field(
        default=1024, ge=64, description="Memory limit of the money Valkey, in MiB; never evicts."
    )
    cache_memory_mb: int = Field(
        default=256, ge=8, description="Memory limit of the cache Valkey, in MiB; evicts by TTL."
    )
    stripe_emulator: Literal["on", "off"] = Field(
        default="off",
        description="For development: whether an emulator of Stripe (localstripe) is started, on"
        " loopback, and payments charges there.",
    )
    servers_dir: Path | None = Field(
        default=None,
        description="Started as root: where the servers' data, sockets and copied programs go."
        " Default: /var/lib/holdfast.",
    )

    def port_of(self, listener: str) -> int:
        """The configured port of one of `LISTENERS`; 0 takes a free one."""
        port: int = getattr(self, f"{listener}_port")
        return port
