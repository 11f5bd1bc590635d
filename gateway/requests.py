"""Requests that change something. Content may hold a password: its fingerprints are keyed."""

from __future__ import annotations

from runtime.key_ring import KeyRing
from runtime.request_records import RequestKey


def keyed(
    ring: KeyRing, content: bytes, *, principal: str, request_id: str, method: str
) -> RequestKey:
    """Who asked what under which id: the fingerprint is made with the current version of the key,
    those of the others are known.
    """
    current = ring.current.id
    macs = ring.macs(content)
    return RequestKey(
        principal=principal,
        request_id=request_id,
        method=method,
        fingerprint=macs[current],
        known=frozenset(macs.values()),
    )
