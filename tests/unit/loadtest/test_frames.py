from __future__ import annotations

import struct

import h2.config
import h2.connection
import h2.events
import hpack
import pytest

from loadtest import frames, messages
from loadtest.frames import CallShape, header_block

GRPC = messages.grpc_headers(messages.AUTHORIZE, tls=True)
JSON = messages.json_headers("t" * 900)


def decoded(decoder: hpack.Decoder, block: bytes) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in decoder.decode(block)]


def server() -> h2.connection.H2Connection:
    """An independent HTTP/2 server."""
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
    )
    connection.initiate_connection()
    opening = frames.PREFACE + frames.settings({frames.HEADER_TABLE_SIZE: 0})
    connection.receive_data(opening)
    return connection


def sent(shape: CallShape, stream: int, rest: bytes) -> bytes:
    number = stream.to_bytes(4, "big")
    return b"".join((shape.opening, number, shape.between, number, shape.begin, rest))


@pytest.mark.parametrize("headers", [GRPC, JSON], ids=["grpc", "json"])
def test_another_implementation_reads_the_calls(headers: list[tuple[str, str]]) -> None:
    """Goal: what is put together from pieces is HTTP/2, on the first call and on later ones.

    Method: h2 as a server reads three calls and must find headers, message and end of each.
    """
    block = header_block(headers)
    shapes = [
        CallShape.of(encoded, begin=b"begin-", message_bytes=11)
        for encoded in (block.first, block.again, block.again)
    ]
    connection = server()
    for stream, shape in zip((1, 3, 5), shapes, strict=True):
        events = connection.receive_data(sent(shape, stream, b"%05d" % stream))
        asked, body, *_ = events
        assert isinstance(asked, h2.events.RequestReceived)
        assert [(str(name), str(value)) for name, value in asked.headers] == headers
        assert asked.stream_id == stream
        assert isinstance(body, h2.events.DataReceived)
        assert body.data == b"begin-%05d" % stream
        assert any(isinstance(event, h2.events.StreamEnded) for event in events)


def test_later_calls_name_their_headers_by_place() -> None:
    """The second block has one byte per header, and needs the first to be understood."""
    block = header_block(GRPC)
    assert len(block.again) == len(GRPC)
    decoder = hpack.Decoder()
    assert decoded(decoder, block.first) == GRPC
    assert decoded(decoder, block.again) == GRPC
    with pytest.raises(hpack.InvalidTableIndexError):
        hpack.Decoder().decode(block.again)


@pytest.mark.parametrize("size", [126, 127, 128, 254, 255, 256, 900])
def test_headers_of_every_length(size: int) -> None:
    """Lengths that do not fit into the prefix go on in further bytes."""
    headers = [(":path", "/"), ("authorization", "t" * size)]
    assert decoded(hpack.Decoder(), header_block(headers).first) == headers


def test_frame_sizes_above_two_bytes() -> None:
    """The length has 24 bits."""
    head = frames.frame(frames.DATA, 0, 7, bytes(70_000))[: frames.HEAD_BYTES]
    assert head == struct.pack(">I", 70_000)[1:] + b"\0\0" + struct.pack(">I", 7)


def test_settings_are_read_as_they_are_written() -> None:
    values = {frames.HEADER_TABLE_SIZE: 0, frames.INITIAL_WINDOW_SIZE: frames.WINDOW_MAX}
    assert frames.read_settings(frames.settings(values)[frames.HEAD_BYTES :]) == values
