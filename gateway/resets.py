"""Tokens that reset passwords. No I/O, no clock, no grpc."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

#: How long a token lives.
LIFETIME_MS = 30 * 60_000
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A token that was mailed to a user, at the user's version."""

    user_id: str
    version: int
    expire_ms: int


def new_token(random_bytes: Callable[[int], bytes]) -> str:
    """256 random bits, as a URL carries them."""
    return urlsafe_b64encode(random_bytes(_SECRET_BYTES)).decode().rstrip("=")


def digest_of(token: str) -> bytes:
    """What is stored of a token: nobody guesses 256 bits, so the hash needs no key."""
    return sha256(token.encode()).digest()
