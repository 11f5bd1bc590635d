"""Time as an argument. Nothing else in Holdfast reads the wall clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; tests use `ManualClock`."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return self._now_ms

    def advance(self, ms: int) -> None:
        """Moves the clock; negative values move it back."""
        self._now_ms += ms


def datetime_of(ms: int) -> datetime:
    """The UTC datetime of a millisecond timestamp."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def ms_of(value: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC of a datetime with a timezone."""
    assert value.tzinfo is not None, "a datetime without a timezone names no instant"
    return round(value.timestamp() * 1000)
