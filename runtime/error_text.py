"""Errors as Envoy sends them for us: a header for gRPC callers, a body for JSON callers."""

from __future__ import annotations

from base64 import b64encode

from google.protobuf import json_format

from runtime.errors import HoldfastError, status_of

#: Envoy's own HTTP answers as google.rpc.Code, first match wins.
HTTP_STATUS_CODES = (
    ("EQ", 400, 3),
    ("EQ", 401, 16),
    ("EQ", 403, 7),
    ("EQ", 404, 5),
    ("EQ", 408, 4),
    ("EQ", 413, 8),
    ("EQ", 429, 8),
    ("EQ", 431, 8),
    ("EQ", 501, 12),
    ("EQ", 502, 14),
    ("EQ", 503, 14),
    ("EQ", 504, 4),
    ("GE", 500, 13),
    ("GE", 400, 3),
)


def code_of_http(status: int) -> int:
    """The google.rpc.Code that an HTTP answer of Envoy's own stands for; 0: it refuses nothing."""
    return next(
        (
            code
            for operator, bound, code in HTTP_STATUS_CODES
            if status == bound or (operator == "GE" and status > bound)
        ),
        0,
    )


def header_of(error: HoldfastError) -> str:
    """Value of `grpc-status-details-bin`."""
    return b64encode(status_of(error).SerializeToString()).decode().rstrip("=")


def json_of(error: HoldfastError) -> str:
    """The body, as the transcoder writes that of a service's error."""
    return json_format.MessageToJson(
        status_of(error), preserving_proto_field_name=True, indent=None
    )
