"""Whether the session of an access token still lives: asked for every call at the edge.

Mutations ask Valkey each time, so that an ended session changes nothing any more. Reads may rely on
an answer for `READ_CACHE_MS`, so that what is read often costs nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from gateway.session_store import SessionStore
from gateway.sign_in import session_ended
from runtime.clock import Clock

#: How long an ended session may still read: well below the minute that is promised.
READ_CACHE_MS = 5_000
CACHE_MAX = 100_000


class SessionCheck:
    """Answers for the sessions of all users."""

    def __init__(self, sessions: SessionStore, clock: Clock, *, reads: Iterable[str] = ()) -> None:
        self._sessions = sessions
        #: gRPC paths of the methods that change nothing.
        self._reads = frozenset(reads)
        self._clock = clock
        #: Session to the time until which its reads need not ask, oldest first.
        self._lives: OrderedDict[str, int] = OrderedDict()

    async def check(self, session_id: str, method: str) -> None:
        """Refuses a call, by its gRPC path, whose token belongs to a session that has ended."""
        if not await self.lives(session_id, mutates=method not in self._reads):
            raise session_ended()

    async def lives(self, session_id: str, *, mutates: bool) -> bool:
        """Whether a call of this session may go on. Unavailable if nobody can tell."""
        now_ms = self._clock.now_ms()
        if not mutates and self._lives.get(session_id, 0) > now_ms:
            return True
        if not await self._sessions.lives(session_id):
            self._lives.pop(session_id, None)
            return False
        self._lives[session_id] = now_ms + READ_CACHE_MS
        self._lives.move_to_end(session_id)
        if len(self._lives) > CACHE_MAX:
            self._lives.popitem(last=False)
        return True
