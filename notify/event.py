"""Events as they are kept. Values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from runtime.events.catalogue import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """An event on its way in; its id follows from where it comes from."""

    id: str
    event: Event
    #: It did not happen: somebody tries something out.
    test: bool = False

    @property
    def key(self) -> str:
        """What its sequence counts for: its account, or its owner."""
        return self.event.account_id or self.event.owner_id


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    """An event as it is told."""

    number: int
    id: str
    type: str
    sequence: int
    account_id: str
    owner_id: str
    user_id: str
    #: JSON.
    data: str
    create_time_ms: int
    test: bool

    def fields(self) -> dict[str, Any]:
        """The data."""
        found: dict[str, Any] = json.loads(self.data)
        return found
