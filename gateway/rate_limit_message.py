"""Envoy's questions about calls, and our answers, as bytes.

Every call of the edge is asked about, so neither costs more than it must: a question that was met
before is known by its bytes, and the answer to a call that may go on is put together from pieces.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from envoy_wire import headers_pb2
from envoy_wire import rate_limit_pb2 as pb
from gateway.limiter import Taken
from gateway.limits import Call, Limit, Limits
from runtime.error_text import header_of, json_of
from runtime.errors import InvalidArgument, ResourceExhausted

#: Questions that are known by their bytes: as many callers as call within a while.
QUESTIONS_MAX = 16_384

_OK, _OVER_LIMIT = pb.RateLimitResponse.OK, pb.RateLimitResponse.OVER_LIMIT
#: The answer to a call that nothing limits.
UNLIMITED = pb.RateLimitResponse(overall_code=_OK).SerializeToString()


def _session_lives() -> bytes:
    response = pb.RateLimitResponse()
    response.dynamic_metadata.update({"session": "lives"})
    return response.SerializeToString()


#: Told to Envoy with an answer: its check of sessions need not ask. (Messages are merged by writing
#: one behind the other.)
_LIVES = _session_lives()
#: Tags of the fields that an answer has: number << 3 | type.
_OVERALL, _STATUSES = b"\x08\x01", b"\x12"
_CODE, _CURRENT_LIMIT, _REMAINING, _UNTIL_RESET, _SECONDS = (
    b"\x08\x01", b"\x12", b"\x18", b"\x22", b"\x08",
)  # fmt: skip
_SEVEN_BITS = 0x7F


class Question(NamedTuple):
    """What Envoy asks about a call."""

    #: The window that it counts in; None: nothing limits it.
    limit: Limit | None
    session_id: str
    as_json: bool


class Questions:
    """Reads what Envoy asks."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[bytes, Question] = {}

    def read(self, message: bytes) -> Question:
        """Raises DecodeError, or InvalidArgument, on what Envoy does not ask."""
        question = self._known.get(message)
        if question is None:
            question = self._parse(message)
            if len(self._known) >= QUESTIONS_MAX:
                self._known.clear()
            self._known[message] = question
        return question

    def _parse(self, message: bytes) -> Question:
        request = pb.RateLimitRequest.FromString(message)
        if len(request.descriptors) != 1:
            raise InvalidArgument("one descriptor says all about a call")
        told = {entry.key: entry.value for entry in request.descriptors[0].entries}
        key_limit = told.get("key_limit", "")
        call = Call(
            method=told.get("method", ""),
            subject=told.get("subject", ""),
            key_id=told.get("key", ""),
            key_limit=int(key_limit) if key_limit.isdecimal() else None,
            address=told.get("remote_address", ""),
        )
        return Question(self._limits.limit_of(call), told.get("session", ""), "json" in told)


def allowed(limit: Limit, taken: Taken) -> bytes:
    """The answer to a call that goes on."""
    seconds = _varint(_seconds(taken.wait_ms))
    status = b"".join(
        (
            _CODE,
            _current_limit(limit.per_minute),
            _REMAINING,
            _varint(taken.remaining),
            _UNTIL_RESET,
            _varint(len(seconds) + 1),
            _SECONDS,
            seconds,
        )
    )
    lives = _LIVES if taken.lives else b""
    return b"".join((_OVERALL, _STATUSES, _varint(len(status)), status, lives))


def refused(limit: Limit, taken: Taken, *, as_json: bool) -> bytes:
    """The answer to a call that must wait, with all that its caller is told."""
    wait_s = _seconds(taken.wait_ms)
    response = pb.RateLimitResponse(overall_code=_OVER_LIMIT)
    status = response.statuses.add(code=_OVER_LIMIT, limit_remaining=0)
    status.current_limit.requests_per_unit = limit.per_minute
    status.current_limit.unit = pb.RateLimitResponse.RateLimit.MINUTE
    status.duration_until_reset.seconds = wait_s
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
    return response.SerializeToString()


def _seconds(wait_ms: int) -> int:
    return -(-wait_ms // 1000)


@lru_cache(maxsize=1024)
def _current_limit(per_minute: int) -> bytes:
    limit = pb.RateLimitResponse.RateLimit(
        requests_per_unit=per_minute, unit=pb.RateLimitResponse.RateLimit.MINUTE
    ).SerializeToString()
    return _CURRENT_LIMIT + _varint(len(limit)) + limit


@lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    written = bytearray()
    while number > _SEVEN_BITS:
        written.append(number & _SEVEN_BITS | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
