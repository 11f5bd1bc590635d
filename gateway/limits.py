"""Who may call how often: the one window that a call counts in. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: Every limit is so many calls in any window of this length.
WINDOW_MS = 60_000
#: An IPv6 customer has at least this network.
_IPV6_CUSTOMER = 64


class Kind(StrEnum):
    """What a window counts; part of its key."""

    KEY = "key"
    CALLER = "caller"
    PUBLIC = "public"
    SIGN_IN = "sign-in"
    REVEAL = "reveal"
    REFRESH = "refresh"
    #: Refresh tokens that we never made.
    JUNK_TOKEN = "junk-token"  # noqa: S105 - a kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What Envoy says of a call. `subject` is empty of those who name nobody, `key_id` without an
    API key, `key_limit` where a key has no limit of its own.
    """

    method: str
    subject: str = ""
    key_id: str = ""
    key_limit: int | None = None
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The window that a call counts in."""

    kind: Kind
    #: Of whom: an API key, a caller, an address.
    whose: str
    per_minute: int

    @property
    def key(self) -> str:
        """The window's key in Valkey."""
        return f"limit:{self.kind}:{self.whose}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All limits, per minute; 0 is none. The settings say how high they are."""

    caller: int = 0
    public: int = 0
    sign_in: int = 0
    reveal: int = 0
    refresh: int = 0
    #: Callers with a limit of their own.
    principals: Mapping[str, int] = field(default_factory=dict)
    #: gRPC path → SIGN_IN, REVEAL or REFRESH, of the methods that count there.
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def limit_of(self, call: Call) -> Limit | None:
        """The window of a call; None if nothing limits it."""
        kind = self.kinds.get(call.method)
        if kind is Kind.SIGN_IN:
            return _limit(kind, customer_of(call.address), self.sign_in)
        if kind is Kind.REFRESH:
            return _limit(kind, customer_of(call.address), self.refresh)
        if kind is Kind.REVEAL:
            return _limit(kind, call.subject, self.reveal)
        if call.key_id:
            own = self.caller if call.key_limit is None else call.key_limit
            return _limit(Kind.KEY, call.key_id, own)
        if call.subject:
            own = self.principals.get(call.subject, self.caller)
            return _limit(Kind.CALLER, call.subject, own)
        return _limit(Kind.PUBLIC, customer_of(call.address), self.public)


def customer_of(address: str) -> str:
    """Whom an address stands for: of IPv6 its network of 64 bits, in which hosts choose freely."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _IPV6_CUSTOMER), strict=False))
    return str(found)


def _limit(kind: Kind, whose: str, per_minute: int) -> Limit | None:
    return Limit(kind=kind, whose=whose, per_minute=per_minute) if per_minute else None
