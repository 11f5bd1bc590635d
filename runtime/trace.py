"""The trace id: one id for all that a client's call causes, in the logs of all processes.

It travels as `x-request-id`. Envoy keeps the client's if it is well-formed and makes one if not,
and shows it in the answer. It is not the `request_id` of a mutation: that one belongs to the
caller's request, decides what is a repetition, and is the same when a call is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TRACE_HEADER = "x-request-id"
#: What Envoy lets in.
TRACE_LENGTH_MAX = 64
TRACE_ID_REGEX = rf"[A-Za-z0-9._:/-]{{1,{TRACE_LENGTH_MAX}}}"

_bound: ContextVar[str] = ContextVar("trace_id", default="")


def bound_trace_id() -> str:
    """The trace id that was bound outside of a call, e.g. while an outbox row is delivered."""
    return _bound.get()


@contextmanager
def tracing(trace_id: str) -> Iterator[None]:
    """What happens inside is caused by the call with this trace id."""
    token = _bound.set(trace_id)
    try:
        yield
    finally:
        _bound.reset(token)
