"""Sessions and attempts on the second Valkey. It may forget them: then people sign in again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from gateway.endings import Ending
from gateway.scripts import (
    BEGIN_SESSION,
    FORGIVE_ATTEMPTS,
    REFRESH_SESSION,
    TAKE_ATTEMPT,
    Status,
)
from gateway.session import LIFE_MS, REPEAT_MS, SESSIONS_MAX, Session
from runtime.errors import NotFound
from runtime.identity import current_identity
from runtime.pipe import Pipe

#: Attempts that need no wait, then waits from 1 s to 5 min, each twice the one before. First
#: those on one user; passwords are told apart by where they come from, and have the second in an
#: hour, too, from all addresses that the user has not signed in from.
USER_ATTEMPTS = 5
ANYWHERE_ATTEMPTS = 50
ADDRESS_ATTEMPTS = 30
WAIT_MS_MIN = 1_000
WAIT_MS_MAX = 300_000
FORGET_MS = 3_600_000
#: The same of codes: whoever knows the password has but six digits to guess, of which three are
#: right at a time. Not much more often than once an hour, then, or a year would be enough.
CODE_WAIT_MS_MAX = 3_600_000
CODE_FORGET_MS = 86_400_000
#: How long an address is known that somebody has signed in from.
KNOWN_MS = 90 * 86_400_000
#: How long a repeated Login is known.
LOGIN_REPEAT_MS = 600_000

_FIELDS = (
    *("user_id", "roles", "company_id", "client", "address", "create_ms", "use_ms", "mfa_ms"),
    "version",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One use of a refresh token: digests of the token shown and of the next one, and the next one
    sealed for a repetition.
    """

    shown: str
    next: str
    request_id: str
    sealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Whom somebody tries to be, and where that comes from."""

    user: str
    address: str
    #: Keyed hash of both, if attempts on a user are told apart by where they come from; '': they
    #: are not. What is kept for long names no address.
    origin: str = ""
    #: Whether it is a code of a second factor that is tried.
    of_code: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of take_attempt.lua."""
        return (
            f"attempts:user:{self.user}:{self.origin}",
            f"attempts:anywhere:{self.user}",
            f"attempts:address:{self.address}",
            f"signed-in:{self.origin}",
        )


def session_key(session_id: str) -> str:
    """Hash of one session. Public: whoever checks that a session lives asks for this key."""
    return f"session:{session_id}"


class SessionStore:
    """Reads and writes sessions. Every method raises Unavailable without Valkey."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def begin(self, session: Session, *, digest: str, login: str) -> None:
        """Writes a new session. `login` names the request: its repetition ends this session."""
        previous = await self._pipe.command(
            "SET", f"login:{login}", session.id, "GET", "PX", str(LOGIN_REPEAT_MS)
        )
        if previous:
            await self.end(session.user_id, previous)
        fields = {name: _text(getattr(session, name)) for name in _FIELDS} | {"refresh": digest}
        await self._pipe.run(
            BEGIN_SESSION,
            (session_key(session.id), _sessions_key(session.user_id)),
            (
                *(session.id, str(session.create_ms), str(session.idle_ms), str(LIFE_MS)),
                json.dumps([text for pair in fields.items() for text in pair]),
            ),
        )
        for old in await self._ids(session.user_id, first=0, last=-SESSIONS_MAX - 1):
            await self.end(session.user_id, old)

    async def lives(self, session_id: str) -> bool:
        """Whether a session has not ended."""
        return bool(await self._pipe.command("EXISTS", session_key(session_id)))

    async def find(self, session_id: str) -> Session | None:
        """A session that has not ended."""
        values = await self._pipe.command("HMGET", session_key(session_id), *_FIELDS)
        if values[0] is None:
            return None
        found = dict(zip(_FIELDS, values, strict=True))
        return Session(
            id=session_id,
            user_id=found["user_id"],
            roles=tuple(found["roles"].split()),
            company_id=found["company_id"],
            client=found["client"],
            address=found["address"],
            create_ms=int(found["create_ms"]),
            use_ms=int(found["use_ms"]),
            mfa_ms=int(found["mfa_ms"]),
            # None: it was begun by a process that knew no versions.
            version=int(found["version"] or 0),
        )

    async def of_caller(self, session_id: str) -> Session:
        """A session of whoever calls; NotFound also for those of others."""
        found = await self.find(session_id)
        if found is None or found.user_id != current_identity().principal:
            raise NotFound(f"session {session_id} does not exist or has ended")
        return found

    async def of_user(self, user_id: str) -> list[Session]:
        """The sessions of a user, newest first; those that have ended are forgotten."""
        sessions = []
        for session_id in reversed(await self._ids(user_id, first=0, last=-1)):
            session = await self.find(session_id)
            if session is None:
                await self._pipe.command("ZREM", _sessions_key(user_id), session_id)
            else:
                sessions.append(session)
        return sessions

    async def refresh(self, session: Session, exchange: Exchange) -> tuple[Status, str]:
        """Exchanges a token; the second value is the sealed next one of a repetition."""
        answer = await self._pipe.run(
            REFRESH_SESSION,
            (session_key(session.id),),
            (
                *(exchange.shown, exchange.next, exchange.request_id, exchange.sealed),
                *(str(session.use_ms), str(session.idle_ms), str(REPEAT_MS)),
                *(_text(session.roles), session.company_id),
            ),
        )
        return Status(answer[0]), answer[1] if len(answer) > 1 else ""

    async def set_mfa(self, session_id: str, *, now_ms: int) -> None:
        """Notes that the user has shown a second factor. FXX: only in a session that lives."""
        fields = ("FXX", "FIELDS", "1", "mfa_ms", str(now_ms))
        await self._pipe.command("HSETEX", session_key(session_id), *fields)

    async def end(self, user_id: str, session_id: str) -> None:
        """Ends a session, if it is the user's."""
        if await self._pipe.command("HGET", session_key(session_id), "user_id") == user_id:
            await self._pipe.command("DEL", session_key(session_id))
        await self._pipe.command("ZREM", _sessions_key(user_id), session_id)

    async def end_all(self, user_id: str, *, but: str = "") -> None:
        """Ends the sessions of a user. Their list outlives each of them, also when memory is short:
        what would expire first is evicted first.
        """
        for session_id in await self._ids(user_id, first=0, last=-1):
            if session_id != but:
                await self.end(user_id, session_id)

    async def end_before(self, ending: Ending) -> None:
        """Ends the sessions that rest on what has changed; those that began since go on."""
        for session in await self.of_user(ending.user_id):
            if session.version < ending.version and session.id != ending.but:
                await self.end(ending.user_id, session.id)

    async def take_attempt(self, attempt: Attempt, *, now_ms: int) -> int:
        """Counts an attempt to sign in; returns how long it must wait, ms: 0 admits it."""
        longest_ms, forget_ms = WAIT_MS_MAX, FORGET_MS
        if attempt.of_code:
            longest_ms, forget_ms = CODE_WAIT_MS_MAX, CODE_FORGET_MS
        answer = await self._pipe.run(
            TAKE_ATTEMPT,
            attempt.keys,
            tuple(
                str(value)
                for value in (
                    *(now_ms, USER_ATTEMPTS, ANYWHERE_ATTEMPTS, ADDRESS_ATTEMPTS),
                    *(WAIT_MS_MIN, longest_ms, forget_ms),
                )
            ),
        )
        return 0 if answer[0] == Status.ADMITTED else int(answer[1])

    async def forgive(self, attempt: Attempt) -> None:
        """Forgets the failures of a user who has signed in, and notes from where."""
        known_ms = KNOWN_MS if attempt.origin else 0
        await self._pipe.run(FORGIVE_ATTEMPTS, attempt.keys, (str(known_ms),))

    async def is_new_place(self, user_id: str, attempt: Attempt) -> bool:
        """Whether a user who has signed in before never did from there, as far as it is known: the
        first sign-in is no news, nor is the first one after this store was lost.
        """
        known = await self._pipe.command("EXISTS", attempt.keys[-1])
        before = await self._pipe.command(
            "SET", f"signed-in-ever:{user_id}", "1", "GET", "PX", str(KNOWN_MS)
        )
        return before is not None and not known

    async def _ids(self, user_id: str, *, first: int, last: int) -> list[str]:
        found: list[str] = await self._pipe.command(
            "ZRANGE", _sessions_key(user_id), str(first), str(last)
        )
        return found


def _sessions_key(user_id: str) -> str:
    return f"sessions:{user_id}"


def _text(value: str | int | tuple[str, ...]) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
