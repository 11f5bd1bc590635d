"""Channels to other services: always through this service's own egress socket of Envoy."""

from __future__ import annotations

from pathlib import Path

import grpc


def unix_channel(socket: Path) -> grpc.aio.Channel:
    """A channel without automatic retries: an unknown outcome is resolved by its request id."""
    return grpc.aio.insecure_channel(
        f"unix:{socket}",
        options=[
            ("grpc.enable_retries", 0),
            ("grpc.default_authority", "localhost"),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ],
    )
