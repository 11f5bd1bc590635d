"""Secrets of webhook endpoints, sealed for the one whose they are."""

from __future__ import annotations

from notify.endpoint import Endpoint
from runtime.key_ring import KeyRing

#: The ring that seals them.
RING = "notify-webhooks"


class Secrets:
    """Seals and opens."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def sealed(self, endpoint_id: str, secret: bytes) -> bytes:
        """A secret as it is stored."""
        return self._ring.seal(secret, context=endpoint_id.encode())

    def keys(self, endpoint: Endpoint, *, now_ms: int) -> tuple[bytes, ...]:
        """What bodies are signed with now, the current one first."""
        found = [self._ring.open(endpoint.secret, context=endpoint.id.encode())]
        until_ms = endpoint.previous_expire_time_ms
        if endpoint.previous_secret is not None and until_ms is not None and now_ms < until_ms:
            found.append(self._ring.open(endpoint.previous_secret, context=endpoint.id.encode()))
        return tuple(found)
