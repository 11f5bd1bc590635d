"""What an actor has begun is finished, also when Locust ends the actor in the middle of it.

Locust ends users that wait by killing their greenlet, and one that has just woken may already be
sending: the answer would be lost. So acts run in greenlets that Locust does not know. And what a
user raises Locust only logs: an answer that an actor can make no sense of has to be told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
from gevent.pool import Group

#: Locust's own log takes it.
logger = logging.getLogger(__name__)


class Acts:
    """The acts under way."""

    def __init__(self) -> None:
        self._group = Group()
        #: What acts have raised.
        self.errors: list[str] = []

    def do(self, act: Callable[[], None]) -> None:
        """Waits for the end of an act; it goes on if the one who waits is killed."""
        self._group.spawn(self._run, act).join()

    def finish(self, *, timeout_s: float) -> None:
        """Waits until nothing is under way, or time is up."""
        gevent.joinall(list(self._group), timeout=timeout_s)

    def _run(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            logger.exception("act failed")
            self.errors.append(f"{type(error).__name__}: {error}")
