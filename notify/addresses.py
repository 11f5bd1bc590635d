"""Where webhooks may go: not into our own network. No I/O, no clock, no grpc."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import SplitResult, urlsplit

URL_LENGTH_MAX = 2_048

#: What ends like this is read as an address by some: `127.1`, `0x7f000001`, `2130706433`.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: IPv6 that leads to IPv4 behind a translator, or through a tunnel: 6to4, Teredo, NAT64.
_DISGUISES = tuple(
    ip_network(text) for text in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48")
)


def is_allowed(text: str, allowed: Sequence[Network]) -> bool:
    """Whether an address is anybody's on the internet, or one of those that the operator allows."""
    try:
        found: Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found.version == network.version and found in network for network in allowed):
        return True
    if any(found.version == network.version and found in network for network in _DISGUISES):
        return False
    return found.is_global and not (
        found.is_multicast or found.is_reserved or found.is_loopback or found.is_link_local
    )


def fault_of_url(url: str, allowed: Sequence[Network]) -> str:
    """Why a webhook cannot go there, as far as the URL tells; empty if it may. Names are looked up
    anew for each delivery, and what they lead to is checked then.
    """
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return f"must be a URL of at most {URL_LENGTH_MAX} printable ASCII characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "must be a URL"
    host = parts.hostname or ""
    if not host or port == 0 or "\\" in url:
        return "must be a URL with a host"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "must have no login and no fragment"
    literal = _is_literal(host)
    if not literal and _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return "must have a name, or an address in its usual form"
    if literal and not is_allowed(host, allowed):
        return "must not lead to an address of a private network"
    if parts.scheme != "https" and not _is_plain_and_allowed(parts, allowed):
        return "must begin with https://"
    return ""


def _is_plain_and_allowed(parts: SplitResult, allowed: Sequence[Network]) -> bool:
    """Without TLS only to addresses that the operator allows by number."""
    host = parts.hostname or ""
    return (
        parts.scheme == "http"
        and _is_literal(host)
        and any(
            ip_address(host).version == network.version and ip_address(host) in network
            for network in allowed
        )
    )


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
