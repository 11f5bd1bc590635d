"""Once per request id: who asked what under which id, and what was answered.

A service keeps this in the table `request_record` of its own schema: the transaction that makes the
change claims the request id first and stores the answer last. So a repetition, also one at the same
time, finds either nothing or the answer; a change that fails leaves its id unused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from runtime.clock import Clock, datetime_of
from runtime.errors import RequestIdReused
from runtime.identity import current_identity
from runtime.queries import load_queries
from runtime.request_id import content_of, request_id_of
from runtime.tasks import work_for_ever
from runtime.validate import Violations

#: Rows that `forget_requests` forgets at a time.
FORGET_BATCH = 1_000
#: How often to look for those whose lifetime is over.
FORGET_INTERVAL_S = 600.0
_HOUR_MS = 3_600_000

_SQL = load_queries(Path(__file__).with_name("sql") / "request_records.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """Who asked what under which id; the fingerprint is the content's. A keyed one outlives its
    key: `known` are those that other keys make of the same content.
    """

    principal: str
    request_id: str
    method: str
    fingerprint: bytes
    known: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a request id was used for, and the answer."""

    method: str
    fingerprint: bytes
    response: bytes

    def require(self, key: RequestKey) -> None:
        """Refuses a request id that was used for something else."""
        same = self.fingerprint == key.fingerprint or self.fingerprint in key.known
        if self.method != key.method or not same:
            raise RequestIdReused(key.request_id)


def key_of(request: Any, context: Any, violations: Violations) -> RequestKey:
    """Settles the request id and fingerprints the content."""
    request_id = request_id_of(request.request_id, context.invocation_metadata(), violations)
    return RequestKey(
        principal=current_identity().principal,
        request_id=request_id,
        method=request.DESCRIPTOR.name.removesuffix("Request"),
        fingerprint=sha256(content_of(request)).digest(),
    )


async def take(connection: Any, key: RequestKey, now: datetime) -> bool:
    """Takes the request id in the caller's transaction; False if it was used before. Waits for a
    concurrent use.
    """
    row = (key.principal, key.request_id, key.method, key.fingerprint, now)
    return bool(await connection.fetchval(_SQL["claim_request"], *row))


async def claim(connection: Any, key: RequestKey, now: datetime) -> Stored | None:
    """Takes the request id, or returns what it was used for."""
    if await take(connection, key, now):
        return None
    found = await stored(connection, key)
    assert found is not None, "a request id that is used is remembered longer than a call lasts"
    return found


async def stored(connection: Any, key: RequestKey) -> Stored | None:
    """What a request id was used for."""
    row = await connection.fetchrow(_SQL["select_request"], key.principal, key.request_id)
    return Stored(**dict(row)) if row else None


async def answer(connection: Any, key: RequestKey, response: bytes) -> None:
    """Stores the answer to the claimed request id."""
    await connection.execute(_SQL["answer_request"], key.principal, key.request_id, response)


async def forget_requests(connection: Any, *, before_ms: int) -> int:
    """Forgets answers given before an instant, one batch of them; returns how many."""
    tag = await connection.execute(_SQL["delete_requests"], datetime_of(before_ms), FORGET_BATCH)
    return int(tag.rpartition(" ")[2])


async def forget_for_ever(connection: Any, clock: Clock, *, lifetime_h: int) -> None:
    """Forgets request ids whose lifetime is over; no failure ends it."""

    async def look() -> bool:
        before_ms = clock.now_ms() - lifetime_h * _HOUR_MS
        return await forget_requests(connection, before_ms=before_ms) == FORGET_BATCH

    await work_for_ever(look, failed="forget_requests_failed", interval_s=FORGET_INTERVAL_S)
