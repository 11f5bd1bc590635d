from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

from runtime import errors
from runtime.errors import HoldfastError, InvalidArgument, RequestIdReused, Violation, status_of

CODES = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Internal: grpc.StatusCode.INTERNAL,
}


@pytest.mark.parametrize("kind", CODES)
def test_status_and_reason(kind: type[HoldfastError]) -> None:
    status = status_of(kind("text", metadata={"a": "b"}))
    info = error_details_pb2.ErrorInfo()
    assert len(status.details) == 1
    assert status.details[0].Unpack(info)
    assert (status.code, status.message) == (CODES[kind].value[0], "text")
    assert (info.reason, info.domain, dict(info.metadata)) == (
        kind.default_reason,
        "holdfast",
        {"a": "b"},
    )


def test_reason_of_its_own() -> None:
    assert errors.Unavailable("x", reason="VALKEY_EMPTY").reason == "VALKEY_EMPTY"


def test_wrong_fields_become_a_bad_request() -> None:
    error = InvalidArgument.of([Violation("a.b", "is required"), Violation("c", "is odd")])
    status = status_of(error)
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("a.b", "is required"),
        ("c", "is odd"),
    ]
    assert status.message == "a.b: is required; c: is odd"


def test_reused_request_id_names_the_field() -> None:
    error = RequestIdReused("r-1")
    assert error.code is grpc.StatusCode.ALREADY_EXISTS
    assert error.metadata == {"field": "request_id", "request_id": "r-1"}
