"""What is kept of a request."""

from __future__ import annotations

import pytest

from envoy_wire import access_log_pb2 as wire
from gateway.usage import Paths, row_of

FREEZE = "/holdfast.accounts.v1.CardService/FreezeCard"
GET = "/holdfast.accounts.v1.CardService/GetCard"
PATHS = Paths(
    [
        ("POST", "/v1/cards/{card_id}:freeze", FREEZE),
        ("GET", "/v1/cards/{card_id}", GET),
        ("", "", GET),
        ("", "", FREEZE),
    ]
)


@pytest.mark.parametrize(
    ("verb", "path", "method"),
    [
        ("POST", FREEZE, FREEZE),
        ("POST", "/v1/cards/card_1:freeze", FREEZE),
        ("GET", "/v1/cards/card_1?fields=4111111111111111", GET),
        ("POST", "/v1/cards/card_1", ""),
        ("GET", "/v1/cards/card_1:freeze", ""),
        ("GET", "/v1/cards/a/b", ""),
        ("GET", "/v1/people/ada@example.com", ""),
        ("", "", ""),
    ],
)
def test_a_path_becomes_its_method_or_nothing(verb: str, path: str, method: str) -> None:
    """Whatever else stands in it, personal or not, is not kept."""
    assert PATHS.method_of(verb, path) == method


def test_a_row_has_times_sizes_and_the_caller() -> None:
    entry = wire.HttpAccessLogEntry()
    common, request, response = entry.common_properties, entry.request, entry.response
    common.start_time.FromMilliseconds(1_800_000_000_123)
    common.time_to_first_upstream_tx_byte.FromMicroseconds(300)
    common.time_to_last_upstream_rx_byte.FromMicroseconds(1_300)
    common.duration.FromMicroseconds(2_000)
    request.request_method = 3
    request.path, request.original_path = FREEZE, "/v1/cards/card_1:freeze"
    request.request_id, request.request_body_bytes = "trace-1", 17
    request.request_headers["x-auth-subject"] = "usr_1"
    request.request_headers["x-auth-key"] = "key_1"
    response.response_code.value, response.response_body_bytes = 200, 40
    response.response_trailers["grpc-status"] = "0"
    row = row_of(entry, listener="edge", paths=PATHS)
    assert row.start_time.isoformat() == "2027-01-15T08:00:00.123000+00:00"
    assert row[1:] == (
        "edge", FREEZE, "POST", 200, 0, 17, 40, 2_000, 1_000, "usr_1", "trace-1",
        "key_1",
    )  # fmt: skip


def test_an_empty_entry_is_a_row_of_nothing() -> None:
    """Envoy leaves out what did not happen."""
    row = row_of(wire.HttpAccessLogEntry(), listener="edge", paths=PATHS)
    assert (row.http_status, row.grpc_status, row.service_us, row.caller) == (0, None, 0, "")
