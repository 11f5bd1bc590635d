"""Requests that change something, and what they were answered. Values."""

from __future__ import annotations

from dataclasses import dataclass

from runtime import request_records
from runtime.request_records import RequestKey

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
class Stored(request_records.Stored):
    """An answer that was given before, to this content."""

    outbox_key: str

    @property
    def answer(self) -> Answer:
        """What was answered."""
        return Answer(response=self.response, outbox_key=self.outbox_key)
