"""What webhooks carry. No I/O, no clock, no grpc."""

from __future__ import annotations

import json
from datetime import datetime

from runtime.record import record


@record
class Told:
    """An event as it is told to an endpoint."""

    id: str
    type: str
    sequence: int
    account_id: str
    owner_id: str
    user_id: str
    #: JSON.
    data: str
    create_time: datetime
    test: bool = False

    @property
    def key(self) -> str:
        """What its sequence counts for, and what has an order: its account, or its owner."""
        return self.account_id or self.owner_id


def body_of(event: Told) -> bytes:
    """The body; `data` goes as it is kept, so that it stays the same for ever."""
    head = {
        "id": event.id,
        "type": event.type,
        "timestamp": time_text(event.create_time),
        "sequence": event.sequence,
        "account_id": event.account_id,
        "owner_id": event.owner_id,
        "user_id": event.user_id,
        **({"test": True} if event.test else {}),
    }
    text = json.dumps(head, separators=(",", ":"))
    return f'{text[:-1]},"data":{event.data}}}'.encode()


def time_text(instant: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"
