"""What is kept of a request: from Envoy's access log to a row. Nothing that names a resource."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from envoy_wire import access_log_pb2 as wire
from runtime.clock import datetime_of

#: Request headers that Envoy tells: the identity that it has set itself.
CALLER_HEADERS = ("x-auth-subject", "x-auth-spiffe")
#: Request header by which gateway says which API key a call came with.
API_KEY_ID_HEADER = "x-auth-key"
_HTTP_METHODS = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_TEXT_MAX = 256
_PARAMETER = re.compile(r"\\\{[^/]*?\\\}")


class UsageRow(NamedTuple):
    """A row of `usage`, by the names of its columns."""

    start_time: datetime
    listener: str
    method: str
    http_method: str
    http_status: int
    grpc_status: int | None
    request_bytes: int
    response_bytes: int
    duration_us: int
    service_us: int
    caller: str
    trace_id: str
    api_key_id: str


class Found(NamedTuple):
    """What a path asks for."""

    #: The gRPC method; '': none of ours.
    method: str = ""
    #: What stands in its parameters, whatever it is.
    parameters: tuple[str, ...] = ()


class Paths:
    """Which method a path belongs to. `bindings`: HTTP verb, template, gRPC path."""

    def __init__(self, bindings: Iterable[tuple[str, str, str]]) -> None:
        self._grpc: set[str] = set()
        self._http: dict[str, list[tuple[re.Pattern[str], str]]] = {}
        for verb, template, path in bindings:
            self._grpc.add(path)
            if template:
                pattern = _PARAMETER.sub("([^/:]+)", re.escape(template))
                self._http.setdefault(verb, []).append((re.compile(pattern), path))

    def method_of(self, verb: str, path: str) -> str:
        """The gRPC method; '' for what is none of ours, whatever stands there."""
        return self.find(verb, path).method

    def find(self, verb: str, path: str) -> Found:
        """The same, with what a JSON path names."""
        path = path.partition("?")[0]
        if path in self._grpc:
            return Found(path)
        for pattern, method in self._http.get(verb, ()):
            if match := pattern.fullmatch(path):
                return Found(method, match.groups())
        return Found()


def row_of(entry: wire.HttpAccessLogEntry, *, listener: str, paths: Paths) -> UsageRow:
    """The row of a request."""
    common, request, response = entry.common_properties, entry.request, entry.response
    verb = verb_of(request)
    first, last = common.time_to_first_upstream_tx_byte, common.time_to_last_upstream_rx_byte
    asked = common.HasField("time_to_last_upstream_rx_byte")
    total = (
        common.duration if common.HasField("duration") else (common.time_to_last_downstream_tx_byte)
    )
    headers = request.request_headers
    return UsageRow(
        # Milliseconds: what pages go by.
        start_time=datetime_of(common.start_time.ToMilliseconds()),
        listener=listener[:_TEXT_MAX],
        method=paths.method_of(verb, request.path) or paths.method_of(verb, request.original_path),
        http_method=verb,
        http_status=response.response_code.value,
        grpc_status=grpc_status_of(response),
        request_bytes=request.request_body_bytes,
        response_bytes=response.response_body_bytes,
        duration_us=total.ToMicroseconds(),
        service_us=max(last.ToMicroseconds() - first.ToMicroseconds(), 0) if asked else 0,
        caller=next(filter(None, map(headers.get, CALLER_HEADERS)), "")[:_TEXT_MAX],
        trace_id=request.request_id[:64],
        api_key_id=headers.get(API_KEY_ID_HEADER, "")[:64],
    )


def verb_of(request: wire.HttpRequestProperties) -> str:
    """The HTTP method; '' if Envoy names none."""
    number = request.request_method
    return _HTTP_METHODS[number] if 0 <= number < len(_HTTP_METHODS) else ""


def grpc_status_of(response: wire.HttpResponseProperties) -> int | None:
    """The gRPC status of an answer; None: it has none."""
    for headers in (response.response_trailers, response.response_headers):
        value = str(headers.get("grpc-status", ""))
        if value.isascii() and value.isdigit():
            return min(int(value), 99)
    return None
