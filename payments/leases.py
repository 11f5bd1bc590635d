"""Rows that are due, each taken for a while: whoever dies with one lets another have it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from runtime.clock import Clock
from runtime.slots import Slots

#: How often to look for what is due.
INTERVAL_S = 1.0
#: A row is taken for this long: longer than its step may take.
LEASE_MS = 120_000
STEP_TIMEOUT_S = 60.0

One = TypeVar("One")
Taken_co = TypeVar("Taken_co", covariant=True)


class Claim(Protocol[Taken_co]):
    """Takes at most so many rows that are due."""

    async def __call__(self, *, now_ms: int, until_ms: int, limit: int) -> Sequence[Taken_co]:
        """Nobody else takes them until then."""
        ...


def leased(
    claim: Claim[One],
    work: Callable[[One], Coroutine[Any, Any, None]],
    clock: Clock,
    *,
    count: int,
    failed: str,
) -> Slots[One]:
    """Slots that work on claimed rows."""

    async def take(limit: int) -> Sequence[One]:
        now_ms = clock.now_ms()
        return await claim(now_ms=now_ms, until_ms=now_ms + LEASE_MS, limit=limit)

    return Slots(take, work, count=count, failed=failed, interval_s=INTERVAL_S)
