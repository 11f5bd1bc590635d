"""Channels to other servers: of ours always through this service's own egress socket of Envoy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from runtime.identity import current_trace_id
from runtime.trace import TRACE_HEADER

#: Without automatic retries: an unknown outcome is resolved by its request id.
_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class _TraceInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Hands the trace id on."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Adds `x-request-id` to what is done for a call."""
        trace_id = current_trace_id()
        if not trace_id:
            return await continuation(client_call_details, request)
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()))
        metadata.set_all(TRACE_HEADER, [trace_id])
        details = grpc.aio.ClientCallDetails(
            method=client_call_details.method,
            timeout=client_call_details.timeout,
            metadata=metadata,
            credentials=client_call_details.credentials,
            wait_for_ready=client_call_details.wait_for_ready,
        )
        return await continuation(details, request)


def unix_channel(socket: Path) -> grpc.aio.Channel:
    """A channel to a socket of this machine. Calls carry the trace id of what they are made for."""
    options = [*_OPTIONS, ("grpc.default_authority", "localhost")]
    return grpc.aio.insecure_channel(
        f"unix:{socket}", options=options, interceptors=[_TraceInterceptor()]
    )


def tls_channel(address: str, *, roots: bytes | None) -> grpc.aio.Channel:
    """A channel to `host:port` of somebody else; `roots`: PEM, None: well-known authorities."""
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.aio.secure_channel(address, credentials, options=list(_OPTIONS))
