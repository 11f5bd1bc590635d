"""The sliding windows on the second Valkey: exact, whoever asks and from however many processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.limit_connection import LimitConnection
from gateway.limits import WINDOW_MS, Limit
from gateway.scripts import TAKE_REQUEST, Status
from gateway.session_store import session_key
from runtime.clock import Clock


class Asked(NamedTuple):
    """A request that wants to be let through."""

    limit: Limit
    #: What the caller's token names; nothing is counted once that session has ended.
    session_id: str = ""


class Taken(NamedTuple):
    """What became of one request."""

    #: False: the limit is used up.
    allowed: bool
    remaining: int
    #: Until one more request may be made.
    wait_ms: int
    #: Whether the session lives that was asked about.
    lives: bool = False


class Limiter:
    """Counts requests, exactly: in no window are more let through than its limit."""

    def __init__(self, connection: LimitConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def take(self, asked: Sequence[Asked]) -> list[Taken]:
        """Counts each request in turn unless its limit is used up; all travel together. Blocks.
        Unavailable without Valkey.
        """
        now_ms, window_ms = str(self._clock.now_ms()), str(WINDOW_MS)
        answers = self._connection.run(
            [_command(one, now_ms=now_ms, window_ms=window_ms) for one in asked]
        )
        return [
            Taken(
                # Who is refused for a session that has ended is told so by the check of sessions.
                status != Status.OVER_LIMIT,
                int(remaining),
                int(wait_ms),
                bool(one.session_id) and status != Status.NO_SESSION,
            )
            for one, (status, remaining, wait_ms) in zip(asked, answers, strict=True)
        ]


def _command(asked: Asked, *, now_ms: str, window_ms: str) -> tuple[str, ...]:
    limit, session_id = asked
    arguments = (now_ms, str(limit.per_minute), window_ms)
    if session_id:
        keys: tuple[str, ...] = ("2", limit.key, session_key(session_id))
    else:
        keys = ("1", limit.key)
    return ("EVALSHA", TAKE_REQUEST.sha, *keys, *arguments)
