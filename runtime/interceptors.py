"""What every RPC passes through, outermost first: metrics, errors, deadline, identity, servicer.

A method is wrapped once, when its service is registered, and not at every call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any

import grpc
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
OPEN_SERVICES = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")

logger = get_logger()
Method = Callable[[Any, Any], Awaitable[Any]]


class _Undecodable:
    """Stands for request bytes that are no message; the error interceptor refuses it."""


class MetricsInterceptor(AsyncServerInterceptor):
    """Counts and times every call."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], Any] = {}
        self._seconds: dict[str, Any] = {}

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Records the status code that the call ended with."""
        started = time.perf_counter()
        try:
            return await method(request, context)
        finally:
            code = context.code()
            self._record(
                method_name,
                code.name if isinstance(code, grpc.StatusCode) else "OK",
                time.perf_counter() - started,
            )

    def _record(self, method_name: str, code: str, seconds: float) -> None:
        calls = self._calls.get((method_name, code))
        if calls is None:
            calls = self._calls[method_name, code] = CALLS.labels(method_name, code)
            self._seconds[method_name] = CALL_SECONDS.labels(method_name)
        calls.inc()
        self._seconds[method_name].observe(seconds)


class ErrorInterceptor(AsyncServerInterceptor):
    """Turns `HoldfastError` into google.rpc.Status, and anything else into an opaque INTERNAL."""

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Aborts with the status that belongs to what was raised."""
        try:
            if isinstance(request, _Undecodable):
                raise InvalidArgument(
                    "the request is not a valid message", reason="MALFORMED_MESSAGE"
                )
            return await method(request, context)
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
        task = asyncio.current_task()
        assert task is not None, "the servicer runs in a task of its own"
        passed: list[bool] = []
        timer = asyncio.get_running_loop().call_later(
            min(remaining, MAXIMUM_DEADLINE_S), _pass, task, passed
        )
        try:
            return await method(request, context)
        except asyncio.CancelledError:
            if not passed:
                raise
            task.uncancel()
            raise DeadlineExceeded(
                "the deadline passed; the outcome is unknown: repeat the same request"
            ) from None
        finally:
            timer.cancel()


def _pass(task: asyncio.Task[Any], passed: list[bool]) -> None:
    passed.append(True)
    task.cancel()


class IdentityInterceptor(AsyncServerInterceptor):
    """Refuses calls without exactly one identity, and binds it for servicer and logs."""

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Sets `current_identity()`."""
        set_identity(identity_of(context.invocation_metadata() or ()), method_name)
        return await method(request, context)


#: Outermost first. Metrics see the status that errors produced; identity comes last, so that a
#: refused identity is an ordinary error.
INTERCEPTORS = (
    MetricsInterceptor(),
    ErrorInterceptor(),
    DeadlineInterceptor(),
    IdentityInterceptor(),
)


def guarded(
    handler: grpc.RpcMethodHandler[Any, Any], method_name: str
) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler of a unary method with every interceptor around it; `method_name` as it stands in
    the path. An open service's stays as it is.
    """
    if method_name.startswith(tuple(f"/{service}/" for service in OPEN_SERVICES)):
        return handler
    assert handler.unary_unary is not None, f"{method_name} streams; interceptors are for unary"
    assert handler.request_deserializer is not None, "generated code always has one"
    call: Method = handler.unary_unary
    for interceptor in reversed(INTERCEPTORS):
        call = _around(call, interceptor, method_name)
    return grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=_marking(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _around(inner: Method, interceptor: AsyncServerInterceptor, method_name: str) -> Method:
    async def call(request: Any, context: Any) -> Any:
        return await interceptor.intercept(inner, request, context, method_name)

    return call


def _marking(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserializer whose exception text grpc cannot send to the client."""

    def decode_or_mark(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError:
            return _Undecodable()

    return decode_or_mark


async def _abort(context: Any, error: HoldfastError) -> None:
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
