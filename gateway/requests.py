"""Requests that change something: who asked what under which id. Content may hold a password: its
fingerprints are keyed.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.key_ring import KeyRing


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """Who asked what under which id. `fingerprints` are the content's, one with each version of the
    key, the current one first: that one is stored.
    """

    principal: str
    request_id: str
    method: str
    fingerprints: tuple[bytes, ...]


def fingerprints(ring: KeyRing, content: bytes) -> tuple[bytes, ...]:
    """Of content, as `RequestKey` has them."""
    current = ring.current.id
    macs = ring.macs(content)
    return (macs.pop(current), *macs.values())
