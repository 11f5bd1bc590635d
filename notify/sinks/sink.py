"""The seam: who takes all events there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from notify.payload import Told
from runtime.record import record


@record
class Numbered:
    """An event and its place among all of them."""

    number: int
    event: Told


class SinkUnavailable(Exception):
    """Some of a page may not be there. `word` names the failure, the message says more; neither
    quotes an event or a secret.
    """

    def __init__(self, word: str, because: str = "") -> None:
        super().__init__(because or word)
        self.word = word


class EventSink(Protocol):
    """Takes pages of events in the order of their numbers. Whoever hands them over keeps the
    position: a sink in PostgreSQL is called in the transaction that numbers events
    (`notify/intake.py`), one elsewhere has its position moved once it has a page
    (`notify/sinks/relay.py`).
    """

    async def take(self, connection: Any, events: Sequence[Numbered]) -> None:
        """Takes a page. Once this returns the page is there to stay, or will be with the commit of
        the connection's transaction. It may come again, from its beginning: its events are the same
        to the byte. Raises SinkUnavailable. An empty page asks whether all is well.
        """
        ...

    async def close(self) -> None:
        """Gives up what is under way."""
        ...
