"""Webhook endpoints: what they want, and when what they did not take is sent again. No I/O, no
clock, no grpc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

_SECOND_MS = 1_000
_MINUTE_MS = 60 * _SECOND_MS
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS

#: Before each attempt to deliver an event, since the one before.
WAITS_MS = (
    0,
    5 * _SECOND_MS,
    5 * _MINUTE_MS,
    30 * _MINUTE_MS,
    2 * _HOUR_MS,
    5 * _HOUR_MS,
    10 * _HOUR_MS,
    10 * _HOUR_MS,
)
#: An endpoint that has taken nothing for so long is disabled.
FAILING_MS_MAX = 5 * _DAY_MS


class EndpointState(StrEnum):
    """State of an endpoint; the names are the contract's."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"


class DeliveryState(StrEnum):
    """State of a delivery; the names are the contract's."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a company wants to be told, at one version. Secrets are sealed."""

    id: str
    #: A company; empty: whoever runs the installation, who is told everything.
    owner_id: str
    url: str
    description: str
    #: As they were given: `card.*` stands for all about cards; none: all.
    types: tuple[str, ...]
    state: EndpointState
    secret: bytes
    previous_secret: bytes | None
    previous_expire_time_ms: int | None
    #: Since when nothing was taken; None: the last attempt succeeded.
    failing_since_ms: int | None
    version: int
    create_time_ms: int
    update_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IllegalChange:
    """Refusal: endpoints take this change in the states `allowed` only."""

    state: EndpointState
    wanted: EndpointState
    allowed: tuple[EndpointState, ...]


#: From where each state can be reached by its owner.
_FROM = {
    EndpointState.PAUSED: (EndpointState.ACTIVE,),
    EndpointState.ACTIVE: (EndpointState.PAUSED, EndpointState.DISABLED),
    EndpointState.DELETED: (
        EndpointState.ACTIVE,
        EndpointState.PAUSED,
        EndpointState.DISABLED,
    ),
}


def move(endpoint: Endpoint, state: EndpointState, *, now_ms: int) -> Endpoint | IllegalChange:
    """The endpoint in another state; the same object if it is there already. Whoever resumes an
    endpoint gives it another five days.
    """
    if endpoint.state is state:
        return endpoint
    allowed = _FROM[state]
    if endpoint.state not in allowed:
        return IllegalChange(state=endpoint.state, wanted=state, allowed=allowed)
    return _next(replace(endpoint, state=state, failing_since_ms=None), now_ms=now_ms)


def rotate(endpoint: Endpoint, secret: bytes, *, overlap_ms: int, now_ms: int) -> Endpoint:
    """The endpoint with another secret; for some time, what is sent is signed with both."""
    until_ms = now_ms + overlap_ms if overlap_ms else None
    previous = endpoint.secret if overlap_ms else None
    return _next(
        replace(
            endpoint, secret=secret, previous_secret=previous, previous_expire_time_ms=until_ms
        ),
        now_ms=now_ms,
    )


def update(
    endpoint: Endpoint, *, url: str, description: str, types: tuple[str, ...], now_ms: int
) -> Endpoint:
    """The endpoint with other settings; the same object if they are what they were."""
    changed = replace(endpoint, url=url, description=description, types=types)
    return endpoint if changed == endpoint else _next(changed, now_ms=now_ms)


def wants(types: Sequence[str], name: str) -> bool:
    """Whether somebody who asked for these types is told of one."""
    return not types or any(
        name == one or (one.endswith(".*") and name.startswith(one[:-1])) for one in types
    )


def due_again_ms(tries: int, *, now_ms: int) -> int | None:
    """When an event is sent again that failed so often in a row; None: not any more."""
    return now_ms + WAITS_MS[tries] if tries < len(WAITS_MS) else None


def has_failed_too_long(failing_since_ms: int | None, *, now_ms: int) -> bool:
    """Whether an endpoint is given up."""
    return failing_since_ms is not None and now_ms - failing_since_ms >= FAILING_MS_MAX


def _next(endpoint: Endpoint, *, now_ms: int) -> Endpoint:
    return replace(endpoint, version=endpoint.version + 1, update_time_ms=now_ms)
