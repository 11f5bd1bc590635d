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


#: What Holdfast does by itself, as the history says it.
BY_ITSELF = RequestKey(principal="system", request_id="", method="", fingerprint=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request was answered, and the key of the outbox rows that the answer waits for: an
    account, a programme or a company.
    """

    response: bytes
    outbox_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An answer that was given before, to this content."""

    method: str
    fingerprint: bytes
    answer: Answer
