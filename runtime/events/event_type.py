"""A type of events, as the lists of them state it. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.events.fields import FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One type: `<about>.<what happened>`."""

    name: str
    meaning: str
    #: Fields that are always there.
    fields: tuple[str, ...]
    #: Fields that may be there.
    optional: tuple[str, ...] = ()

    @property
    def example(self) -> dict[str, Any]:
        """Data of such an event, with every field."""
        return {name: FIELDS[name].example for name in (*self.fields, *self.optional)}


def types(
    about: str,
    fields: tuple[str, ...],
    meanings: Mapping[str, str],
    *,
    optional: tuple[str, ...] = (),
) -> list[EventType]:
    """Types that have the same fields."""
    return [
        EventType(name=f"{about}.{what}", meaning=meaning, fields=fields, optional=optional)
        for what, meaning in meanings.items()
    ]
