"""Requests that change something: who asked what under which id. Values."""

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
    """An answer that was given before, to this content."""

    method: str
    fingerprint: bytes
    response: bytes
