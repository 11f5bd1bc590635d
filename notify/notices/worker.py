"""Sends notices that are due. Several processes may: each takes others than the rest.

What was taken is due again after a while: who dies in between has it sent by somebody else. So a
notice is sent at least once, and twice only if a sender dies between a carrier's answer and its
own note of it; a mail has the same id then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from notify.notices.carrying import Carrier, Message, NotCarried, Refused
from notify.notices.kind import Channel, Kind
from notify.notices.notice import (
    ATTEMPTS_MAX,
    Drop,
    Notice,
    NoticeState,
    Reason,
    Wait,
    after_failure,
    decide,
)
from notify.notices.preferences import Preferences
from notify.notices.store import NoticeStore
from notify.notices.unsubscribing import Subscription, Tokens
from notify.notices.wording import words
from runtime.clock import Clock
from runtime.key_ring import KeyRing
from runtime.log import get_logger
from runtime.metrics import NOTIFICATIONS

#: The ring that seals what only the user may read, until it is sent.
RING = "notify-notices"
#: How long a notice is taken: longer than any carrier takes.
LEASE_MS = 120_000
#: Notices that are taken together.
BATCH = 16
#: How often is looked for what is due, and after a failure.
LOOK_S = 0.5
PAUSE_S = 2.0

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How a user is reached; empty: not at all."""

    name: str = field(default="", repr=False)
    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)


#: Asks accounts for somebody; None: nobody is there. Raises NotCarried.
Contacts = Callable[[str], Awaitable[Contact | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where links of mails lead."""

    site: str
    api: str

    def reset(self, token: str) -> str:
        """Where a password is reset."""
        return f"{self.site}/reset-password?token={quote(token)}"

    def unsubscribe(self, token: str) -> str:
        """What mail programs post to by themselves; whoever only opens it changes nothing."""
        return f"{self.api}/v1/notifications:unsubscribe?token={quote(token)}"

    def leave(self, token: str) -> str:
        """What people open."""
        return f"{self.site}/unsubscribe?token={quote(token)}"

    def report(self, report_id: str) -> str:
        """The edge's own page, where a report is downloaded by who signs in."""
        return f"{self.api}/reports#{quote(report_id)}"


class NoticeWorker:
    """Sends what is due."""

    def __init__(
        self,
        store: NoticeStore,
        carriers: Mapping[Channel, Carrier],
        contacts: Contacts,
        clock: Clock,
        *,
        tokens: Tokens,
        ring: KeyRing,
        links: Links,
    ) -> None:
        self._store = store
        self._carriers = carriers
        self._contacts = contacts
        self._clock = clock
        self._tokens = tokens
        self._ring = ring
        self._links = links

    async def run(self) -> None:
        """For ever; no failure ends it."""
        while True:
            pause_s = LOOK_S
            try:
                pause_s = 0 if await self.step() == BATCH else LOOK_S
            except Exception:
                logger.exception("notifications_failed")
                pause_s = PAUSE_S
            await asyncio.sleep(pause_s)

    async def step(self) -> int:
        """Takes what is due, as much as goes together, and sends it; returns how many."""
        now_ms = self._clock.now_ms()
        taken = await self._store.claim(now_ms=now_ms, until_ms=now_ms + LEASE_MS, limit=BATCH)
        if taken:
            wanted = await self._store.preferences_of({one.user_id for one in taken})
            await asyncio.gather(*(self._settle(one, wanted[one.user_id]) for one in taken))
        return len(taken)

    async def _settle(self, notice: Notice, preferences: Preferences) -> None:
        """One notice; nothing that goes wrong with it touches another."""
        try:
            await self._send(notice, preferences)
        except NotCarried as error:
            await self._failed(notice, str(error))
        except Refused as error:
            self._tell("notification_refused", notice, str(error))
            await self._finish(notice, NoticeState.FAILED, Reason.REFUSED)
        except Exception:
            logger.exception("notification_failed", notification_id=notice.id)
            await self._failed(notice, "ERROR")

    async def _send(self, notice: Notice, preferences: Preferences) -> None:
        now_ms = self._clock.now_ms()
        decided = decide(notice, preferences, now_ms=now_ms)
        if isinstance(decided, Wait):
            # It was not tried.
            await self._store.postpone(
                notice, until_ms=decided.until_ms, attempts=notice.attempts - 1
            )
            return
        if isinstance(decided, Drop):
            await self._finish(notice, NoticeState.SUPPRESSED, decided.reason)
            return
        if notice.attempts > ATTEMPTS_MAX:
            # Whoever tried it has died each time.
            await self._finish(notice, NoticeState.FAILED, Reason.GAVE_UP)
            return
        contact = await self._contacts(notice.user_id)
        to = _address(notice, contact)
        if contact is None or not to:
            await self._finish(notice, NoticeState.SUPPRESSED, Reason.NO_CONTACT)
            return
        message = self._message(notice, contact, to, now_ms=now_ms)
        await self._carriers[notice.channel].carry(message)
        await self._finish(notice, NoticeState.SENT)

    def _message(self, notice: Notice, contact: Contact, to: str, *, now_ms: int) -> Message:
        secret = link = leave = unsubscribe = ""
        if notice.secret is not None:
            secret = self._ring.open(notice.secret, context=notice.id.encode()).decode()
        if notice.kind is Kind.PASSWORD_RESET:
            link = self._links.reset(secret)
        if notice.topic == "report.ready":
            link = self._links.report(notice.data["report_id"])
        token = self._tokens.token(
            Subscription(user_id=notice.user_id, kind=notice.kind, channel=notice.channel)
        )
        if token:
            unsubscribe, leave = self._links.unsubscribe(token), self._links.leave(token)
        return Message(
            id=notice.id,
            kind=notice.kind,
            user_id=notice.user_id,
            to=to,
            words=words(notice, name=contact.name, token=secret, link=link, unsubscribe=leave),
            unsubscribe=unsubscribe,
            time_ms=now_ms,
        )

    async def _failed(self, notice: Notice, because: str) -> None:
        again_ms = after_failure(notice.attempts, now_ms=self._clock.now_ms())
        if again_ms is None:
            self._tell("notification_given_up", notice, because)
            await self._finish(notice, NoticeState.FAILED, Reason.GAVE_UP)
            return
        self._tell("notification_delayed", notice, because)
        NOTIFICATIONS.labels(str(notice.channel), "DELAYED").inc()
        await self._store.postpone(notice, until_ms=again_ms, attempts=notice.attempts)

    async def _finish(self, notice: Notice, state: NoticeState, reason: str = "") -> None:
        NOTIFICATIONS.labels(str(notice.channel), str(state)).inc()
        await self._store.finish(notice, state, reason, now_ms=self._clock.now_ms())

    def _tell(self, what: str, notice: Notice, because: str) -> None:
        """Ids and words of ours only: whoever is written to is nobody's business."""
        logger.warning(
            what,
            notification_id=notice.id,
            kind=str(notice.kind),
            channel=str(notice.channel),
            attempts=notice.attempts,
            because=because,
        )


def _address(notice: Notice, contact: Contact | None) -> str:
    if contact is None:
        return ""
    match notice.channel:
        case Channel.EMAIL:
            return contact.email
        case Channel.SMS:
            return contact.phone
    return notice.user_id
