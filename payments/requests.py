"""Requests that change something: who asked what under which id, and what was answered. Values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """Who asked what under which id; the fingerprint is the content's."""

    principal: str
    request_id: str
    method: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a request id was used for, and the answer."""

    method: str
    fingerprint: bytes
    response: bytes

    def answers(self, key: RequestKey) -> bool:
        """Whether it was the same request."""
        return (self.method, self.fingerprint) == (key.method, key.fingerprint)
