"""What an actor has begun is finished, also when Locust ends the actor in the middle of it.

Locust ends users that wait by killing their greenlet, and one that has just woken may already be
sending. The answer would be lost; so acts run in greenlets that Locust does not know.
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.pool import Group


class Acts:
    """The acts under way."""

    def __init__(self) -> None:
        self._group = Group()

    def do(self, act: Callable[[], None]) -> None:
        """Waits for the end of an act; it goes on if the one who waits is killed."""
        self._group.spawn(act).get()

    def finish(self, *, timeout_s: float) -> None:
        """Waits until nothing is under way, or time is up."""
        gevent.joinall(list(self._group), timeout=timeout_s)
