"""One endpoint's queue in memory: what is next, and what must wait. No I/O, no clock, no grpc.

It is short: whatever else waits, waits in PostgreSQL. An endpoint that takes nothing is asked with
one event at a time, less and less often, so that many dead ones cost little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

#: Events of one endpoint that are in memory, and those that are under way.
HELD_MAX = 32
AT_ONCE = 8
#: The same of an endpoint that has failed so often in a row.
FAILURES = 3
HELD_MAX_FAILING = 1
#: How long such an endpoint is left alone; twice as long each time, up to the second.
PAUSE_MS = 1_000
PAUSE_MS_MAX = 30_000
#: An answer that takes so long is a late one.
SLOW_MS = 1_000


class Waiting(Protocol):
    """An event on its way."""

    @property
    def number(self) -> int:
        """Its place among all events."""
        ...

    @property
    def order_key(self) -> str:
        """Of those with the same one, one is under way at a time."""
        ...


Item = TypeVar("Item", bound=Waiting)


class Lane(Generic[Item]):
    """The queue of one endpoint: events are offered, started, finished and written."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._held: set[int] = set()
        self._keys: set[str] = set()
        self._failures = 0
        self._slow = False
        self._pauses = 0
        self._pause_until_ms = 0

    @property
    def is_slow(self) -> bool:
        """Whether the last answer was late, or none: it must not hold what quick ones need."""
        return self._slow or self._failures > 0

    @property
    def is_waiting(self) -> bool:
        """Whether there is an event that was not started."""
        return bool(self._waiting)

    def room(self, *, now_ms: int) -> int:
        """How many more may be offered."""
        if now_ms < self._pause_until_ms:
            return 0
        most = HELD_MAX_FAILING if self._failures >= FAILURES else HELD_MAX
        return max(most - len(self._held), 0)

    @property
    def held(self) -> frozenset[int]:
        """Numbers of all that is in memory, or not written yet."""
        return frozenset(self._held)

    def offer(self, items: Iterable[Item]) -> None:
        """Adds events, in the order in which they wait."""
        for one in items:
            if one.number not in self._held:
                self._held.add(one.number)
                self._waiting.append(one)

    def start(self, *, now_ms: int) -> Item | None:
        """The next event to be sent; None: there is none, or it must wait."""
        at_once = 1 if self._failures >= FAILURES else AT_ONCE
        if len(self._keys) >= at_once or now_ms < self._pause_until_ms:
            return None
        for position, one in enumerate(self._waiting):
            if one.order_key not in self._keys:
                del self._waiting[position]
                self._keys.add(one.order_key)
                return one
        return None

    def finish(self, item: Item, *, taken: bool, duration_ms: int, now_ms: int) -> None:
        """An event was sent, and taken or not."""
        self._keys.remove(item.order_key)
        self._slow = duration_ms >= SLOW_MS
        if taken:
            self._failures = self._pauses = self._pause_until_ms = 0
            return
        self._failures += 1
        # Those that were under way together fail together: one pause for all.
        if self._failures >= FAILURES and now_ms >= self._pause_until_ms:
            self._pause_until_ms = now_ms + min(PAUSE_MS << self._pauses, PAUSE_MS_MAX)
            self._pauses = min(self._pauses + 1, PAUSE_MS_MAX.bit_length())

    def written(self, number: int) -> None:
        """What became of an event is stored: if it is offered again, it is to be sent again."""
        self._held.remove(number)

    def clear(self) -> None:
        """Forgets what was not started."""
        self._held -= {one.number for one in self._waiting}
        self._waiting.clear()
