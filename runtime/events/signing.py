"""Signatures of webhooks, as Standard Webhooks has them (symmetric, `v1`). No I/O, no clock.

What is signed is `<id>.<timestamp>.<body>`, body as it was sent, byte for byte.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

#: How far sender's and receiver's clocks may be apart.
TOLERANCE_S = 300

_PREFIX = "whsec_"
_VERSION = "v1"


class SignatureError(Exception):
    """What came is not what somebody with the secret has just sent."""


def secret_text(key: bytes) -> str:
    """The secret as customers see it."""
    return _PREFIX + b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """The key of a secret; raises ValueError if it is none."""
    return b64decode(secret.removeprefix(_PREFIX), validate=True)


def signature(key: bytes, *, message_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature: `v1,<base64>`."""
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    return f"{_VERSION},{b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def headers(
    keys: Iterable[bytes], *, message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """What goes with a body: a signature with each key, so that receivers may have any of them."""
    found = (
        signature(key, message_id=message_id, timestamp_s=timestamp_s, body=body) for key in keys
    )
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp_s),
        SIGNATURE_HEADER: " ".join(found),
    }


def verify(secret: str, given: Mapping[str, str], body: bytes, *, now_s: int) -> None:
    """Raises SignatureError unless a body was signed with the secret a moment ago. `given`: headers
    with lower-case names.
    """
    try:
        message_id, stamp = given[ID_HEADER], int(given[TIMESTAMP_HEADER])
        claimed = given[SIGNATURE_HEADER]
    except (KeyError, ValueError) as error:
        raise SignatureError("a header is missing, or is none") from error
    if abs(now_s - stamp) > TOLERANCE_S:
        raise SignatureError("it is too old, or from the future")
    expected = signature(key_of(secret), message_id=message_id, timestamp_s=stamp, body=body)
    if not any(hmac.compare_digest(one.encode(), expected.encode()) for one in claimed.split(" ")):
        raise SignatureError("no signature is right")
