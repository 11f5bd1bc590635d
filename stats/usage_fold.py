"""Adds requests of the API up, so that sums of days are sums of what they are made of.

Durations are counted in ranges. Up to 63 us each has a range of its own; from there on 32 ranges
double the duration, so that a range ends at most 1/32 above where it begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from runtime.record import record

#: Ranges in which a duration doubles, as a power of two.
_RANGE_BITS = 5
_RANGES = 1 << _RANGE_BITS
#: Nothing takes longer: twelve days.
DURATION_US_MAX = (1 << 40) - 1

_HTTP_REFUSED = frozenset({401, 403, 429})
_HTTP_ERROR, _HTTP_FAILED = 400, 500
#: PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAUTHENTICATED.
_GRPC_REFUSED = frozenset({7, 8, 16})
#: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
_GRPC_FAILED = frozenset({2, 4, 12, 13, 14, 15})


@record
class Request:
    """What is counted of a request."""

    day: date
    method: str
    caller: str
    api_key_id: str
    http_status: int
    grpc_status: int | None
    request_bytes: int
    response_bytes: int
    duration_us: int


class Key(NamedTuple):
    """What is counted by itself. Everybody's requests are also counted together: then `everybody`,
    and no caller or key.
    """

    everybody: bool
    caller: str
    day: date
    api_key_id: str
    method: str


@dataclass(slots=True)
class Sum:
    """What requests come to."""

    calls: int = 0
    errors: int = 0
    refused: int = 0
    failed: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    duration_us: int = 0
    longest_us: int = 0
    #: How many requests took as long as a range says.
    ranges: dict[int, int] = field(default_factory=dict)

    def take(self, one: Request) -> None:
        """Counts a request."""
        duration_us = min(max(one.duration_us, 0), DURATION_US_MAX)
        self.calls += 1
        self.errors += is_error(one)
        self.refused += is_refused(one)
        self.failed += is_failed(one)
        self.request_bytes += one.request_bytes
        self.response_bytes += one.response_bytes
        self.duration_us += duration_us
        self.longest_us = max(self.longest_us, duration_us)
        number = range_of(duration_us)
        self.ranges[number] = self.ranges.get(number, 0) + 1


def fold(requests: Iterable[Request]) -> dict[Key, Sum]:
    """Sums of requests: everybody's by method, and each caller's by key and method."""
    found: dict[Key, Sum] = {}
    for one in requests:
        everybody = Key(everybody=True, caller="", day=one.day, api_key_id="", method=one.method)
        alone = Key(
            everybody=False,
            caller=one.caller,
            day=one.day,
            api_key_id=one.api_key_id,
            method=one.method,
        )
        for key in (everybody, alone):
            found.setdefault(key, Sum()).take(one)
    return found


def is_error(one: Request) -> bool:
    """True if it did not end as its caller had wanted."""
    return one.http_status >= _HTTP_ERROR or bool(one.grpc_status)


def is_refused(one: Request) -> bool:
    """True if it ended because of who asked, or how often."""
    return one.http_status in _HTTP_REFUSED or one.grpc_status in _GRPC_REFUSED


def is_failed(one: Request) -> bool:
    """True if that was our fault."""
    return one.http_status >= _HTTP_FAILED or one.grpc_status in _GRPC_FAILED


def range_of(duration_us: int) -> int:
    """The number of the range that a duration is in."""
    doublings = max(duration_us.bit_length() - _RANGE_BITS - 1, 0)
    return _RANGES * doublings + (duration_us >> doublings)


def end_us(number: int) -> int:
    """The longest duration in a range."""
    doublings = max(number // _RANGES - 1, 0)
    return (number - _RANGES * doublings + 1 << doublings) - 1
