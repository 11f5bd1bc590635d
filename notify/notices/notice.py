"""What a user is told, and whether it is sent now. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from notify.notices.kind import RULES, Channel, Kind
from notify.notices.preferences import Preferences
from runtime import ids
from runtime.record import record

#: What waits after each attempt that failed; after the last one it is given up.
RETRY_MS = (10_000, 60_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000)
ATTEMPTS_MAX = len(RETRY_MS) + 1


class NoticeState(StrEnum):
    """How far it is; the names are the contract's."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    SUPPRESSED = "SUPPRESSED"


class Reason(StrEnum):
    """Why it was not sent."""

    GAVE_UP = "GAVE_UP"
    REFUSED = "REFUSED"
    RATE_CAPPED = "RATE_CAPPED"
    UNSUBSCRIBED = "UNSUBSCRIBED"
    NO_CONTACT = "NO_CONTACT"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to one user by one channel."""

    id: str
    #: The event, or what else it is told once of.
    source_id: str
    kind: Kind
    channel: Channel
    user_id: str
    #: Which template says it.
    topic: str
    account_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    #: Sealed; only until it is sent.
    secret: bytes | None = field(default=None, repr=False)
    state: NoticeState = NoticeState.PENDING
    reason: str = ""
    attempts: int = 0
    due_time_ms: int
    expire_time_ms: int
    create_time_ms: int
    finish_time_ms: int | None = None


@record
class Send:
    """It is sent now."""


@record
class Wait:
    """It is sent later."""

    until_ms: int


@record
class Drop:
    """It is not sent."""

    reason: Reason


def decide(notice: Notice, preferences: Preferences, *, now_ms: int) -> Send | Wait | Drop:
    """What becomes of a notice that is due."""
    if now_ms >= notice.expire_time_ms:
        return Drop(reason=Reason.EXPIRED)
    if notice.channel not in preferences.channels(notice.kind):
        return Drop(reason=Reason.UNSUBSCRIBED)
    quiet = preferences.quiet_hours
    if quiet is not None and not RULES[notice.kind].urgent:
        until_ms = quiet.until_ms(now_ms)
        if until_ms is not None:
            return Wait(until_ms=until_ms)
    return Send()


def after_failure(attempts: int, *, now_ms: int) -> int | None:
    """When it is tried again; None: never."""
    return now_ms + RETRY_MS[attempts - 1] if attempts < ATTEMPTS_MAX else None


def notice_id(source_id: str, kind: Kind, channel: Channel, user_id: str) -> str:
    """The id that follows from what it is about: whoever makes it twice makes one."""
    return ids.derived(ids.NOTIFICATION, ids.tag_of(user_id), source_id, kind, channel)
