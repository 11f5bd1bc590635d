"""Ids: a prefix that says what it is, the partition as two hex digits, and a UUIDv7 in hex.

Any id routes itself: `acct_0a0192…` belongs to partition 10. The partition is its owner's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from hashlib import blake2b

from runtime.clock import Clock
from runtime.settings import PARTITIONS

ACCOUNT = "acct"
ANOMALY = "anom"
API_KEY = "key"
APPLICATION = "app"
AUTHORIZATION = "auth"
CARD = "card"
COMPANY = "co"
DEPARTMENT = "dept"
DISPUTE = "disp"
DOCUMENT = "doc"
ENTRY = "ent"
EVENT = "evt"
FUNDING_SOURCE = "src"
INVITATION = "inv"
NOTIFICATION = "ntf"
PAN_TOKEN = "ptok"  # noqa: S105 - the prefix of an id
PAYMENT = "pay"
PROGRAMME = "prog"
REFUND = "rfd"
REPORT = "rpt"
REPORT_SCHEDULE = "rsch"
SESSION = "ses"
STAT = "stat"
STATEMENT = "stmt"
USER = "usr"
WEBHOOK_ENDPOINT = "whe"

#: Random bytes fetched at once.
_POOL_BYTES = 4096
#: Byte → character of an authorization code, 32 of them.
_CODE_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ" * 8

_ID = re.compile(
    r"(acct|anom|app|auth|card|co|dept|disp|doc|ent|evt|inv|key|ntf|pay|ptok|rfd|rpt|rsch|ses|src"
    r"|stat|stmt|usr|whe)_"
    r"([0-9a-f]{2})([0-9a-f]{32})"
)
_PROGRAMME = re.compile(r"prog_[a-z0-9_]{1,32}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{1,64}")


def partition_of(value: str) -> int:
    """The partition an id carries. The id must be valid (`is_id`)."""
    return int(value[value.index("_") + 1 :][:2], 16)


def tag_of(value: str) -> str:
    """The two hex digits of an id's partition, as they stand in keys."""
    start = value.index("_") + 1
    return value[start : start + 2]


def is_id(value: str, *prefixes: str) -> bool:
    """True if `value` is an id with one of these prefixes and an existing partition."""
    match = _ID.fullmatch(value)
    return match is not None and match[1] in prefixes and int(match[2], 16) < PARTITIONS


def is_any_id(value: str) -> bool:
    """True if `value` looks like an id of ours, of whatever kind."""
    return _ID.fullmatch(value) is not None or is_programme_id(value)


def is_programme_id(value: str) -> bool:
    """True for `prog_` and 1 to 32 characters of `[a-z0-9_]`."""
    return _PROGRAMME.fullmatch(value) is not None


def is_request_id(value: str) -> bool:
    """True for 1 to 64 characters of `[A-Za-z0-9._:-]`."""
    return _REQUEST_ID.fullmatch(value) is not None


def partition_for_owner(seed: str) -> int:
    """Spreads new owners evenly over the partitions, the same way for the same seed."""
    return blake2b(seed.encode(), digest_size=2).digest()[0] % PARTITIONS


def pan_token_of(card_id: str) -> str:
    """What networks call a card by its number: a card keeps its id for as long as it keeps its
    number, so the token is the card's id under another prefix, and no lookup leads back.
    """
    return f"{PAN_TOKEN}_{card_id.removeprefix(f'{CARD}_')}"


def card_of_pan_token(pan_token: str) -> str:
    """The card of a token. The token must be valid (`is_id`)."""
    return f"{CARD}_{pan_token.removeprefix(f'{PAN_TOKEN}_')}"


def derived(prefix: str, tag: str, *parts: str) -> str:
    """The id that follows from its parts, always the same: a UUID with content of our own is
    version 8 (RFC 9562 §5.8).
    """
    digest = blake2b("\x00".join(parts).encode(), digest_size=16).hexdigest()
    return f"{prefix}_{tag}{digest[:12]}8{digest[13:16]}8{digest[17:]}"


class IdSource:
    """Makes ids. Clock and randomness are injected, so that tests are exact."""

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._pool, self._used = b"", 0

    def new(self, prefix: str, partition: int) -> str:
        """A new id in a partition."""
        assert 0 <= partition < PARTITIONS, f"partition {partition} does not exist"
        return f"{prefix}_{partition:02x}{self._uuid7()}"

    def authorization_code(self) -> str:
        """Six characters of [0-9A-Z] without the ones that are read wrongly (DE38)."""
        return self._random(6).translate(_CODE_ALPHABET).decode()

    def _uuid7(self) -> str:
        """RFC 9562 §5.7: 48 bits of milliseconds, version, 74 random bits."""
        random = self._random(10).hex()
        variant = "89ab"[int(random[3], 16) & 3]
        return f"{self._clock.now_ms():012x}7{random[:3]}{variant}{random[4:19]}"

    def _random(self, count: int) -> bytes:
        """From a pool: the kernel is asked once for many."""
        start, self._used = self._used, self._used + count
        if self._used > len(self._pool):
            self._pool, start, self._used = self._random_bytes(_POOL_BYTES), 0, count
        return self._pool[start : self._used]
