"""Time-based one-time passwords (RFC 6238, RFC 4226): SHA-1, 30 s, 6 digits, as every app has it.

Pure: time and randomness are arguments.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Callable
from urllib.parse import quote, urlencode

STEP_MS = 30_000
DIGITS = 6
SECRET_BYTES = 20
#: Clocks of phones differ: one step before and after now counts, too.
SKEW_STEPS = 1
RECOVERY_CODES = 10

_RECOVERY_BYTES = 10
_GROUP = 4


def code_at(secret: bytes, step: int) -> str:
    """The code of one time step."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def matching_step(secret: bytes, code: str, *, now_ms: int) -> int | None:
    """The time step that a code belongs to; None if it is none of now."""
    now = now_ms // STEP_MS
    found = None
    for step in range(now - SKEW_STEPS, now + SKEW_STEPS + 1):
        # All are compared, whichever it is.
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found


def base32(secret: bytes) -> str:
    """The secret as people type it."""
    return b32encode(secret).decode().rstrip("=")


def uri_of(secret: bytes, *, issuer: str, account: str) -> str:
    """What the QR code says that an app reads."""
    query = urlencode({"secret": base32(secret), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(account)}?{query}"


def new_recovery_codes(random_bytes: Callable[[int], bytes]) -> tuple[str, ...]:
    """Codes of 80 bits, in groups of four characters."""
    made = []
    for _ in range(RECOVERY_CODES):
        text = base32(random_bytes(_RECOVERY_BYTES)).lower()
        groups = [text[start : start + _GROUP] for start in range(0, len(text), _GROUP)]
        made.append("-".join(groups))
    return tuple(made)


def normalized_code(text: str) -> str:
    """A code without what people put in between."""
    return "".join(one for one in text.lower() if one.isascii() and one.isalnum())
