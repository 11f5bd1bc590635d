"""Errors as Envoy sends them for us: a header for gRPC callers, a body for JSON callers."""

from __future__ import annotations

from base64 import b64encode

from google.protobuf import json_format

from runtime.errors import HoldfastError, status_of


def header_of(error: HoldfastError) -> str:
    """Value of `grpc-status-details-bin`."""
    return b64encode(status_of(error).SerializeToString()).decode().rstrip("=")


def json_of(error: HoldfastError) -> str:
    """The body, as the transcoder writes that of a service's error."""
    return json_format.MessageToJson(
        status_of(error), preserving_proto_field_name=True, indent=None
    )
