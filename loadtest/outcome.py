"""What became of a call, and reading it from the answer's bytes. Pure."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """One call's end; 1 to 16 are gRPC statuses."""

    RESOURCE_EXHAUSTED = 8
    UNAVAILABLE = 14
    #: HTTP answered, but not 200.
    HTTP_ERROR = 99
    APPROVED = 100
    DECLINED = 101
    #: OK without a decision: what empty handlers and projections answer.
    OK = 102
    #: The connection ended, or time was up, before the answer.
    LOST = 103


#: The answer's field `decision`, as the contract numbers it.
_DECISION_FIELD = 2
_GRPC_PREFIX_BYTES = 5
_OF_DECISION = {1: Outcome.APPROVED, 2: Outcome.DECLINED}
_CONTINUED = 0x80
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def of_grpc(message: bytes) -> Outcome:
    """The decision of an AuthorizeResponse with gRPC's prefix."""
    # As every answer of ours begins: an id of 39 characters, then the decision.
    if message[5:7] == b"\x0a\x27" and message[46:47] == b"\x10":
        return _OF_DECISION.get(message[47], Outcome.OK)
    return _OF_DECISION.get(_enum_field(message, _GRPC_PREFIX_BYTES), Outcome.OK)


def of_json(body: bytes) -> Outcome:
    """The decision of the same answer as JSON."""
    if b'"DECISION_APPROVED"' in body:
        return Outcome.APPROVED
    return Outcome.DECLINED if b'"DECISION_DECLINED"' in body else Outcome.OK


def _enum_field(message: bytes, at: int) -> int:
    """The value of the decision's field, 0 if it is not there."""
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            if key >> 3 == _DECISION_FIELD:
                return value
        elif kind == _BYTES:
            size, at = _varint(message, at)
            at += size
        else:
            at += {_FIXED64: 8, _FIXED32: 4}[kind]
    return 0


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < _CONTINUED:
            return value, at
        shift += 7
