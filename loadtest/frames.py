"""HTTP/2 frames as the generator writes and reads them (RFC 9113). Pure.

Only what one kind of unary call needs: a header block that is encoded once per connection, and one
HEADERS and one DATA frame per call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32

HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 3, 4
#: What a connection may receive before it says more: RFC 9113 §6.9.2.
WINDOW_DEFAULT = 65_535
WINDOW_MAX = 2**31 - 1

#: length (16 + 8 bits), type, flags, stream
HEAD = Struct(">HBBBI")
HEAD_BYTES = HEAD.size

_STATIC = {(":method", "POST"): 3, (":scheme", "http"): 6, (":scheme", "https"): 7}
_FIRST_DYNAMIC = 62
_INDEXED = 0x80
_LITERAL_INDEXED = 0x40
_CONTINUED = 0x80


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join(
        name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values.items()
    )
    return frame(SETTINGS, 0, 0, payload)


def read_settings(payload: bytes) -> dict[int, int]:
    """What a SETTINGS frame says."""
    return {
        int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
        for at in range(0, len(payload), 6)
    }


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderBlock:
    """The same headers twice: as a connection's first call sends them, and every later one."""

    #: Each literal header enters the dynamic table.
    first: bytes
    #: Each is named by its place in the table.
    again: bytes


def header_block(headers: Sequence[tuple[str, str]]) -> HeaderBlock:
    """Encodes headers (RFC 7541) without Huffman's code; they fit into a table of 4096 bytes."""
    literal = [header for header in headers if header not in _STATIC]
    places = {
        header: _FIRST_DYNAMIC + len(literal) - 1 - number for number, header in enumerate(literal)
    }
    assert max(places.values()) < _INDEXED - 1, "one byte names a header"
    first, again = bytearray(), bytearray()
    for header in headers:
        if header in _STATIC:
            first.append(_INDEXED | _STATIC[header])
            again.append(_INDEXED | _STATIC[header])
            continue
        first.append(_LITERAL_INDEXED)
        for text in header:
            first += _integer(len(text), 7) + text.encode("ascii")
        again.append(_INDEXED | places[header])
    return HeaderBlock(first=bytes(first), again=bytes(again))


def _integer(value: int, bits: int) -> bytes:
    """An integer with a prefix of so many bits, the others zero (RFC 7541 §5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((value,))
    rest, value = bytearray((limit,)), value - limit
    while value >= _CONTINUED:
        rest.append(value & 0x7F | _CONTINUED)
        value >>= 7
    rest.append(value)
    return bytes(rest)


def grpc_message(payload: bytes) -> bytes:
    """A message with gRPC's prefix: not compressed, its length."""
    return b"\0" + len(payload).to_bytes(4, "big") + payload


@dataclass(frozen=True, slots=True, kw_only=True)
class CallShape:
    """One call but for its two stream numbers, which stand behind `opening` and `between`, and the
    end of its message.
    """

    opening: bytes
    between: bytes
    begin: bytes

    @classmethod
    def of(cls, encoded_headers: bytes, *, begin: bytes, message_bytes: int) -> CallShape:
        """Calls with these headers, whose message of `message_bytes` starts with `begin`."""
        head = frame(HEADERS, END_HEADERS, 0, encoded_headers)
        body = frame(DATA, END_STREAM, 0, bytes(message_bytes))
        return cls(
            opening=head[: HEAD_BYTES - 4],
            between=head[HEAD_BYTES:] + body[: HEAD_BYTES - 4],
            begin=begin,
        )
