"""What every RPC passes through, outermost first (see `runtime.server.INTERCEPTORS`).

metrics → errors → deadline → identity → the servicer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_interceptor.server import AsyncServerInterceptor
from grpc_status import rpc_status

from runtime.errors import (
    DeadlineExceeded,
    HoldfastError,
    Internal,
    InvalidArgument,
    status_of,
)
from runtime.identity import identity_of, set_identity
from runtime.log import get_logger
from runtime.metrics import CALL_SECONDS, CALLS

#: A call without a deadline gets this one.
DEFAULT_DEADLINE_S = 10.0
#: Deadlines beyond this are cut: nothing here takes longer.
MAXIMUM_DEADLINE_S = 30.0

#: Reached by Envoy and by people with access to the socket; they carry no identity.
OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")

logger = get_logger()
Method = Callable[[Any, Any], Any]


class _Undecodable:
    """Stands for request bytes that are no message; the error interceptor refuses it."""


class MetricsInterceptor(AsyncServerInterceptor):
    """Counts and times every call."""

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Records the status code that the call ended with."""
        if method_name.startswith(OPEN_SERVICES):
            return await _invoke(method, request, context)
        started = time.perf_counter()
        try:
            return await _invoke(method, request, context)
        finally:
            code = context.code()
            name = code.name if isinstance(code, grpc.StatusCode) else "OK"
            CALLS.labels(method_name, name).inc()
            CALL_SECONDS.labels(method_name).observe(time.perf_counter() - started)


class ErrorInterceptor(AsyncServerInterceptor):
    """Turns `HoldfastError` into google.rpc.Status, and anything else into an opaque INTERNAL."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Also guards the deserializer, whose exception text grpc would send to the client."""
        handler = await super().intercept_service(  # type: ignore[no-untyped-call]
            continuation, handler_call_details
        )
        if handler is None or handler.request_deserializer is None:
            return handler
        decode = handler.request_deserializer

        def decode_or_mark(data: bytes) -> Any:
            try:
                return decode(data)
            except DecodeError:
                return _Undecodable()

        return handler._replace(request_deserializer=decode_or_mark)

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Aborts with the status that belongs to what was raised."""
        try:
            if isinstance(request, _Undecodable):
                raise InvalidArgument(
                    "the request is not a valid message", reason="MALFORMED_MESSAGE"
                )
            return await _invoke(method, request, context)
        except HoldfastError as error:
            await _abort(context, error)
        except (grpc.aio.AbortError, grpc.aio.UsageError, asyncio.CancelledError):
            raise
        except Exception:
            error_id = token_hex(8)
            logger.exception("unhandled_error", method=method_name, error_id=error_id)
            await _abort(
                context,
                Internal("internal error; quote error_id", metadata={"error_id": error_id}),
            )


class DeadlineInterceptor(AsyncServerInterceptor):
    """Bounds every call, and starts nothing that its caller no longer waits for."""

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Cancels the servicer when the deadline passes; what it sent on may still happen."""
        remaining = context.time_remaining()
        if remaining is None or remaining > 1e9:  # noqa: PLR2004 - pygrpc-native says "none" so
            remaining = DEFAULT_DEADLINE_S
        if remaining <= 0:
            raise DeadlineExceeded("the deadline had passed before the call was started")
        try:
            async with asyncio.timeout(min(remaining, MAXIMUM_DEADLINE_S)):
                return await _invoke(method, request, context)
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed; the outcome is unknown: repeat the same request"
            ) from None


class IdentityInterceptor(AsyncServerInterceptor):
    """Refuses calls without exactly one identity, and binds it for servicer and logs."""

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Sets `current_identity()`."""
        if method_name.startswith(OPEN_SERVICES):
            return await _invoke(method, request, context)
        identity = identity_of(context.invocation_metadata() or ())
        set_identity(identity)
        structlog.contextvars.bind_contextvars(method=method_name, principal=identity.principal)
        return await _invoke(method, request, context)


async def _invoke(method: Method, request: Any, context: Any) -> Any:
    """Calls the next step; a streaming method (reflection, health watch) is returned as it is."""
    response = method(request, context)
    if hasattr(response, "__aiter__"):
        return response
    return await response


async def _abort(context: Any, error: HoldfastError) -> None:
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
