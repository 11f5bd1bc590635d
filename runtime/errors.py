"""Errors that callers see: one class per status, each with a stable reason.

A servicer raises them; `runtime.interceptors.ErrorInterceptor` turns them into google.rpc.Status
with one ErrorInfo, and a BadRequest where fields are wrong. Anything else that is raised is
INTERNAL with an opaque id: its text never leaves the process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "holdfast"


class Violation(NamedTuple):
    """One wrong field of a request."""

    field: str
    description: str


class HoldfastError(Exception):
    """Base of all that a caller is told: `reason` is stable UPPER_SNAKE, `message` for people."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        #: When the same may succeed, if that is known.
        self.retry_after_ms = retry_after_ms


class InvalidArgument(HoldfastError):
    """The request can never succeed as it is. Names each wrong field."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_ARGUMENT"

    @classmethod
    def of(cls, violations: Sequence[Violation]) -> InvalidArgument:
        """From the wrong fields."""
        text = "; ".join(f"{v.field}: {v.description}" for v in violations)
        return cls(text, violations=violations)


class NotFound(HoldfastError):
    """What the request names does not exist, or is not the caller's."""

    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExists(HoldfastError):
    """An id was used before for something else."""

    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class RequestIdReused(AlreadyExists):
    """The same request id came with other content."""

    default_reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "request_id was used before with other content; use a new one for a new request",
            metadata={"field": "request_id", "request_id": request_id},
        )


class FailedPrecondition(HoldfastError):
    """The request is well-formed, but the state of things forbids it."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class PermissionDenied(HoldfastError):
    """The caller may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class Unauthenticated(HoldfastError):
    """The call carries no identity, or more than one."""

    code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class ResourceExhausted(HoldfastError):
    """Too much at once; nothing was done."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(HoldfastError):
    """The caller's deadline passed. The outcome is unknown: repeat the same request."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class Unavailable(HoldfastError):
    """No answer can be given now. The outcome is unknown: repeat the same request."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class Internal(HoldfastError):
    """A fault of ours; `metadata["error_id"]` finds it in the logs."""


def status_of(error: HoldfastError) -> status_pb2.Status:
    """The error as google.rpc.Status with ErrorInfo; for wrong fields BadRequest, and RetryInfo
    where it is known when to try again.
    """
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details = [_packed(info)]
    if error.violations:
        bad_request = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=v.field, description=v.description
                )
                for v in error.violations
            ]
        )
        details.append(_packed(bad_request))
    if error.retry_after_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=details)


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
