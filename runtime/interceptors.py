"""What every RPC passes through, outermost first: metrics, errors, deadline, identity, servicer.

A method is wrapped once, when its service is registered, and not at every call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from secrets import token_hex
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_interceptor.server import AsyncServerInterceptor
from grpc_status import rpc_status

from runtime.access import AccessError, Policy, load_access
from runtime.contract import PACKAGE
from runtime.errors import (
    DeadlineExceeded,
    HoldfastError,
    Internal,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
    status_of,
)
from runtime.identity import (
    NOBODY,
    current_identity,
    identity_of,
    set_identity,
)
from runtime.log import debugging, get_logger
from runtime.metrics import CALL_TIMES
from runtime.ownership import Lookups, OwnerRule

#: A call without a deadline gets this one.
DEFAULT_DEADLINE_S = 10.0
#: Deadlines beyond this are cut: nothing here takes longer.
MAXIMUM_DEADLINE_S = 30.0

#: Reached by Envoy and by people with access to the socket; they carry no identity.
OPEN_SERVICES = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    "envoy.service.accesslog.v3.AccessLogService",
)

#: Called by Envoy itself, about a call whose caller is in the request: no identity of their own.
ENVOY_SERVICES = ("envoy.service.auth.v3.Authorization",)

logger = get_logger()
Method = Callable[[Any, Any], Awaitable[Any]]


class _Undecodable:
    """Stands for request bytes that are no message; the error interceptor refuses it."""


class MetricsInterceptor(AsyncServerInterceptor):
    """Counts and times every call."""

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Records the status code that the call ended with."""
        started = time.perf_counter()
        given_up = ""
        try:
            return await method(request, context)
        except asyncio.CancelledError:
            given_up = grpc.StatusCode.CANCELLED.name
            raise
        finally:
            code = context.code()
            name = code.name if isinstance(code, grpc.StatusCode) else given_up or "OK"
            CALL_TIMES.record(method_name, name, time.perf_counter() - started)
            # With the caller and the trace id, which the call has bound by now.
            if debugging():
                logger.debug("call_ended", method=method_name, code=name)


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
        """The servicer is cancelled when the deadline passes; what it sent on may still happen.

        The server itself cancels a call when its caller's deadline passes; a caller without one,
        or with one that is too far, gets ours.
        """
        remaining = context.time_remaining()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceeded("the deadline had passed before the call was started")
        if remaining is not None and remaining <= MAXIMUM_DEADLINE_S:
            return await method(request, context)
        if remaining is None or remaining > 1e9:  # noqa: PLR2004 - pygrpc-native says "none" so
            remaining = DEFAULT_DEADLINE_S
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
    """Refuses calls without exactly one identity, or with one that the method is not for, and binds
    it for servicer and logs. Without a policy (a method that is not ours), any identity will do.
    """

    def __init__(self, policy: Policy | None) -> None:
        self._policy = policy

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """Sets `current_identity()`. An API key has every scope that the method needs."""
        try:
            identity = identity_of(context.invocation_metadata() or ())
        except Unauthenticated:
            # Whoever was called last in this context is not who calls now.
            set_identity(NOBODY, method_name)
            raise
        # Before anything is refused: the audit log and the process's say who was.
        set_identity(identity, method_name)
        if self._policy is not None:
            if not self._policy.is_for(identity.principal, identity.roles):
                # Envoy refuses these before: whoever comes so far has found a way around it.
                logger.warning("call_forbidden", method=method_name, roles=sorted(identity.roles))
                raise PermissionDenied("your roles do not allow this")
            if identity.claims.scopes is not None:
                _require_scopes(identity.claims.scopes, self._policy.scopes)
        return await method(request, context)


def _require_scopes(given: frozenset[str], needed: tuple[str, ...]) -> None:
    """Refuses an API key that lacks a scope, and any for methods that name none."""
    if not needed or not given.issuperset(needed):
        raise PermissionDenied(
            "the API key lacks a scope" if needed else "no API key may call this",
            reason="SCOPE_MISSING",
            metadata={"scopes": " ".join(needed)},
        )


class OwnershipInterceptor(AsyncServerInterceptor):
    """Lets managers and cardholders call about what is theirs only. Around methods with an owner
    rule.
    """

    def __init__(self, rule: OwnerRule) -> None:
        self._rule = rule

    async def intercept(self, method: Method, request: Any, context: Any, method_name: str) -> Any:
        """What is somebody else's is answered like what is not there."""
        identity = current_identity()
        if await self._rule.check(request, identity):
            set_identity(replace(identity, owns=True), method_name)
        return await method(request, context)


#: Outermost first. Metrics see the status that errors produced; identity comes after all of them,
#: so that a refused identity is an ordinary error.
INTERCEPTORS = (
    MetricsInterceptor(),
    ErrorInterceptor(),
    DeadlineInterceptor(),
)


def guarded(
    handler: grpc.RpcMethodHandler[Any, Any],
    method_name: str,
    *,
    audit: AsyncServerInterceptor | None = None,
    lookups: Lookups | None = None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler of a unary method with every interceptor around it; `method_name` as it stands in
    the path. An open service's stays as it is. `audit` comes within the one for errors; `lookups`
    say to whom something belongs: without, nothing belongs to anybody.
    """
    if method_name.startswith(tuple(f"/{service}/" for service in OPEN_SERVICES)):
        return handler
    assert handler.unary_unary is not None, f"{method_name} streams; interceptors are for unary"
    assert handler.request_deserializer is not None, "generated code always has one"
    policy = load_access().policies.get(method_name)
    if policy is None and method_name.startswith(f"/{PACKAGE}"):
        raise AccessError(f"{method_name} does not say who may call it")
    inner: Method = handler.unary_unary
    if policy is not None and policy.owner:
        inner = _around(inner, OwnershipInterceptor(OwnerRule(policy, lookups or {})), method_name)
    if not method_name.startswith(tuple(f"/{service}/" for service in ENVOY_SERVICES)):
        inner = _around(inner, IdentityInterceptor(policy), method_name)
    for interceptor in reversed(INTERCEPTORS):
        if audit is not None and isinstance(interceptor, ErrorInterceptor):
            inner = _around(inner, audit, method_name)
        inner = _around(inner, interceptor, method_name)

    async def call(request: Any, context: Any) -> Any:
        return await inner(request, context)

    return grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=_marking(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _around(inner: Method, interceptor: AsyncServerInterceptor, method_name: str) -> Method:
    def call(request: Any, context: Any) -> Awaitable[Any]:
        step: Awaitable[Any] = interceptor.intercept(inner, request, context, method_name)
        return step

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
    metadata = tuple(status.trailing_metadata)
    if error.retry_after_ms is not None:
        # For JSON clients the edge makes a header of it.
        metadata += (("retry-after", str(-(-error.retry_after_ms // 1000))),)
    await context.abort(status.code, status.details, metadata)
