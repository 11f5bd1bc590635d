"""Channels to other servers: of ours always through this service's own egress socket of Envoy."""

from __future__ import annotations

from pathlib import Path

import grpc

#: Without automatic retries: an unknown outcome is resolved by its request id.
_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def unix_channel(socket: Path) -> grpc.aio.Channel:
    """A channel to a socket of this machine."""
    options = [*_OPTIONS, ("grpc.default_authority", "localhost")]
    return grpc.aio.insecure_channel(f"unix:{socket}", options=options)


def tls_channel(address: str, *, roots: bytes | None) -> grpc.aio.Channel:
    """A channel to `host:port` of somebody else; `roots`: PEM, None: well-known authorities."""
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.aio.secure_channel(address, credentials, options=list(_OPTIONS))
