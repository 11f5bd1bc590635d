"""What users are told of how they sign in: written beside the change, handed to notify surely."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from gateway.credential import Credential
from gateway.credential_store import CredentialStore
from gateway.resets import LIFETIME_MS, digest_of
from gateway.rings import Rings
from runtime.clock import Clock
from runtime.outbox import Message, Row

#: Topics of the outbox.
TOPIC = "notice"
RESET_TOPIC = "password-reset"
_LIFETIME_MS = 7 * 24 * 3_600_000


class Told(StrEnum):
    """Of what; the names are the contract's."""

    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105 - a topic
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - a topic
    SECOND_FACTOR_CHANGED = "SECOND_FACTOR_CHANGED"
    NEW_SIGN_IN = "NEW_SIGN_IN"
    API_KEY_MADE = "API_KEY_MADE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that a user is told."""

    #: Delivering twice tells once.
    id: str
    told: Told
    user_id: str
    expire_ms: int
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Somebody wants to reset the password of an address."""

    id: str
    email: str = field(repr=False)
    token: str = field(repr=False)
    make_ms: int


class Notices:
    """Makes messages for the outbox: what they say is sealed."""

    def __init__(self, rings: Rings, clock: Clock) -> None:
        self._rings = rings
        self._clock = clock

    def message(self, user_id: str, told: Told) -> Message:
        """Has a user told."""
        notice = Notice(
            id=uuid.uuid4().hex,
            told=told,
            user_id=user_id,
            expire_ms=self._clock.now_ms() + _LIFETIME_MS,
        )
        return self._sealed(TOPIC, f"notice:{user_id}", asdict(notice))

    def reset(self, *, email: str, token: str) -> Message:
        """Has whoever registered with an address sent a token, if anybody has."""
        key = self._rings.emails.mac(email.encode())[1].hex()
        wanted = Wanted(id=uuid.uuid4().hex, email=email, token=token, make_ms=self._clock.now_ms())
        return self._sealed(RESET_TOPIC, f"reset:{key}", asdict(wanted))

    def _sealed(self, topic: str, key: str, content: object) -> Message:
        text = json.dumps(content).encode()
        return Message(
            topic=topic, key=key, payload=self._rings.users.seal(text, context=_context(topic, key))
        )


def deliverer(
    rings: Rings,
    credentials: CredentialStore,
    clock: Clock,
    *,
    profiles: Callable[[Row], Awaitable[None]],
    tell: Callable[[Notice], Awaitable[None]],
) -> Callable[[Row], Awaitable[None]]:
    """Delivers what waits in the outbox: notices to `tell`, profiles to `profiles`."""

    async def reset(row: Row) -> None:
        wanted = Wanted(**_opened(rings, row))
        expire_ms = wanted.make_ms + LIFETIME_MS
        if expire_ms <= clock.now_ms():
            return
        hashes = rings.emails.macs(wanted.email.encode()).values()
        found = await credentials.find_email(hashes)
        if found is None or not _may_reset(found, wanted):
            return
        await credentials.put_reset(found, digest_of(wanted.token), expire_ms=expire_ms)
        await tell(
            Notice(
                id=wanted.id,
                told=Told.PASSWORD_RESET,
                user_id=found.user_id,
                expire_ms=expire_ms,
                token=wanted.token,
            )
        )

    async def deliver(row: Row) -> None:
        if row.topic == RESET_TOPIC:
            await reset(row)
        elif row.topic == TOPIC:
            content = _opened(rings, row)
            notice = Notice(**{**content, "told": Told(content["told"])})
            if notice.expire_ms > clock.now_ms():
                await tell(notice)
        else:
            await profiles(row)

    return deliver


def _may_reset(found: Credential, wanted: Wanted) -> bool:
    """Who has a password, and has not changed since: what is delivered twice brings no token back
    that was used.
    """
    return (
        found.may_sign_in
        and found.password_hash is not None
        and (found.update_ms <= wanted.make_ms)
    )


def _opened(rings: Rings, row: Row) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        rings.users.open(row.payload, context=_context(row.topic, row.key))
    )
    return content


def _context(topic: str, key: str) -> bytes:
    return f"gateway.outbox.{topic}:{key}".encode()
