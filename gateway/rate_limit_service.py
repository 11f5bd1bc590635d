"""Envoy's RateLimitService: whether a call of the edge may go on.

Envoy asks about each call with one descriptor, made of `subject`, `key`, `key_limit`, `method`,
`remote_address`, and `json` of those who speak it; what a call lacks is missing there. A call that
no limit applies to is let through without a count. Errors are for Envoy: it lets calls pass,
or refuses those of guarded classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envoy_wire import headers_pb2
from envoy_wire import rate_limit_pb2 as pb
from envoy_wire.rate_limit_pb2_grpc import RateLimitServiceServicer
from gateway.limiter import Limiter, Taken
from gateway.limits import Call, Kind, Limit, Limits
from holdfast.type.v1 import rate_limit_pb2
from runtime.error_text import header_of, json_of
from runtime.errors import InvalidArgument, ResourceExhausted
from runtime.metrics import LIMITED_CALLS
from runtime.rate_limits import classes

#: The contract's classes that have windows of their own.
KINDS = {
    rate_limit_pb2.RATE_LIMIT_CLASS_SIGN_IN: Kind.SIGN_IN,
    rate_limit_pb2.RATE_LIMIT_CLASS_REVEAL: Kind.REVEAL,
}

_OK, _OVER_LIMIT = pb.RateLimitResponse.OK, pb.RateLimitResponse.OVER_LIMIT
_UNLIMITED = pb.RateLimitResponse(overall_code=_OK)


def kinds_by_method() -> dict[str, Kind]:
    """Kind by gRPC path, of methods with a window of their own."""
    return {path: KINDS[one] for path, one in classes().items() if one in KINDS}


class RateLimitService(RateLimitServiceServicer):
    """Answers Envoy."""

    def __init__(self, limits: Limits, limiter: Limiter) -> None:
        self._limits = limits
        self._limiter = limiter

    async def ShouldRateLimit(
        self, request: pb.RateLimitRequest, context: Any
    ) -> pb.RateLimitResponse:
        """Counts the call, or says that its caller must wait."""
        told = _told(request)
        limit = self._limits.limit_of(_call_of(told))
        if limit is None:
            return _UNLIMITED
        taken = await self._limiter.take(limit)
        return _response(limit, taken, as_json="json" in told)


def _told(request: pb.RateLimitRequest) -> dict[str, str]:
    if len(request.descriptors) != 1:
        raise InvalidArgument("one descriptor says all about a call")
    return {entry.key: entry.value for entry in request.descriptors[0].entries}


def _call_of(told: Mapping[str, str]) -> Call:
    key_limit = told.get("key_limit", "")
    return Call(
        method=told.get("method", ""),
        subject=told.get("subject", ""),
        key_id=told.get("key", ""),
        key_limit=int(key_limit) if key_limit.isdecimal() else None,
        address=told.get("remote_address", ""),
    )


def _response(limit: Limit, taken: Taken, *, as_json: bool) -> pb.RateLimitResponse:
    code = _OK if taken.allowed else _OVER_LIMIT
    wait_s = -(-taken.wait_ms // 1000)
    response = pb.RateLimitResponse(overall_code=code)
    status = response.statuses.add(code=code, limit_remaining=taken.remaining)
    status.current_limit.requests_per_unit = limit.per_minute
    status.current_limit.unit = pb.RateLimitResponse.RateLimit.MINUTE
    status.duration_until_reset.seconds = wait_s
    if not taken.allowed:
        LIMITED_CALLS.labels(str(limit.kind)).inc()
        error = ResourceExhausted(
            f"no more than {limit.per_minute} calls a minute; try again in {wait_s} s",
            reason="RATE_LIMITED",
            metadata={"limit_per_minute": str(limit.per_minute), "counted": str(limit.kind)},
            retry_after_ms=taken.wait_ms,
        )
        headers = {"retry-after": str(wait_s)}
        if as_json:
            response.raw_body = json_of(error).encode()
        else:
            response.raw_body = error.message.encode()
            headers["grpc-status-details-bin"] = header_of(error)
        response.response_headers_to_add.extend(
            headers_pb2.HeaderValue(key=key, value=value) for key, value in headers.items()
        )
    return response
