"""API keys: what one is, what its secret looks like, whether a call may be made with it. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto
from zlib import crc32

#: What every secret starts with: people and scanners of leaked secrets know it by this.
TOKEN_PREFIX = "hf_"  # noqa: S105 - what secrets start with
ID_PREFIX = "key_"

_SECRET_BYTES = 24
_TOKEN = re.compile(r"hf_([0-9a-f]{34})_([0-9a-f]{48})([0-9a-f]{8})")
#: Longer than any token: what is longer is not looked at.
TOKEN_LENGTH_MAX = 128
#: What stands before an IPv4 address in one that is written as IPv6.
_MAPPED_BITS = 96


class KeyState(StrEnum):
    """What a key can do."""

    ACTIVE = "ACTIVE"
    REVOKED = "REVOKED"


class Refusal(Enum):
    """Why no call is made with a key; the first that applies."""

    #: No such key, or not its secret: which of the two is not told.
    INVALID = auto()
    REVOKED = auto()
    EXPIRED = auto()
    ADDRESS = auto()
    #: It lacks what the method needs, or the method takes no keys.
    SCOPE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretHash:
    """A keyed hash of a secret, and the version of the key it was made with."""

    key_id: str
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key as it is kept. `limit_per_minute` 0: as many as everybody."""

    id: str
    owner_id: str
    display_name: str
    state: KeyState
    scopes: tuple[str, ...]
    allowed_networks: tuple[str, ...]
    limit_per_minute: int
    secret: SecretHash
    #: The secret before the last rotation, and until when it works.
    previous: SecretHash | None
    previous_expire_time_ms: int | None
    expire_time_ms: int | None
    version: int
    create_time_ms: int
    update_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a caller sends: the key it claims, and the whole text, which is what is hashed."""

    api_key_id: str
    text: str = field(repr=False)


def new_token(api_key_id: str, *, random_bytes: Callable[[int], bytes]) -> Token:
    """A secret for a key: 192 random bits and a checksum, so that junk is told from a key without
    asking anybody.
    """
    body = f"{TOKEN_PREFIX}{api_key_id.removeprefix(ID_PREFIX)}_{random_bytes(_SECRET_BYTES).hex()}"
    return Token(api_key_id=api_key_id, text=f"{body}{_checksum(body)}")


def parse_token(text: str) -> Token | None:
    """What was sent as a key; None if no key looks like it."""
    if len(text) > TOKEN_LENGTH_MAX:
        return None
    match = _TOKEN.fullmatch(text)
    if match is None or _checksum(text[: -len(match[3])]) != match[3]:
        return None
    return Token(api_key_id=f"{ID_PREFIX}{match[1]}", text=text)


def works(key: ApiKey, *, now_ms: int) -> tuple[SecretHash, ...]:
    """The hashes of the secrets that are accepted now, of a key whatever its state."""
    until = key.previous_expire_time_ms
    if key.previous is not None and until is not None and now_ms < until:
        return (key.secret, key.previous)
    return (key.secret,)


def refuse(
    key: ApiKey, *, address: str, needs: Iterable[str] | None, now_ms: int
) -> Refusal | None:
    """Why a call with the right secret is not made. `needs` are the scopes that the method asks
    for; None: it is not open to keys.
    """
    if key.state is not KeyState.ACTIVE:
        return Refusal.REVOKED
    if key.expire_time_ms is not None and key.expire_time_ms <= now_ms:
        return Refusal.EXPIRED
    if key.allowed_networks and not _within(address, key.allowed_networks):
        return Refusal.ADDRESS
    if needs is None or not set(needs) <= set(key.scopes):
        return Refusal.SCOPE
    return None


def rotate(key: ApiKey, secret: SecretHash, *, overlap_ms: int, now_ms: int) -> ApiKey:
    """The key with a new secret; the one it had works on for the overlap."""
    return replace(
        key,
        secret=secret,
        previous=key.secret if overlap_ms else None,
        previous_expire_time_ms=now_ms + overlap_ms if overlap_ms else None,
        version=key.version + 1,
        update_time_ms=now_ms,
    )


def revoke(key: ApiKey, *, now_ms: int) -> ApiKey:
    """The key, ended; the same if it was."""
    if key.state is KeyState.REVOKED:
        return key
    return replace(
        key,
        state=KeyState.REVOKED,
        previous=None,
        previous_expire_time_ms=None,
        version=key.version + 1,
        update_time_ms=now_ms,
    )


def network_of(text: str) -> str | None:
    """A network or one address as it is written; None if it is neither, or has bits beyond its
    prefix.
    """
    try:
        return str(_network(text))
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """IPv4 that is written as IPv6 is IPv4, as of addresses: callers come by either."""
    found = ipaddress.ip_network(text)
    if isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= _MAPPED_BITS:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, found.prefixlen - _MAPPED_BITS))
    return found


def _within(address: str, networks: Iterable[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in _network(network) for network in networks)


def _checksum(text: str) -> str:
    return f"{crc32(text.encode()):08x}"
