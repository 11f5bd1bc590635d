"""Where events come from: the ledger, and what other services have written beside their changes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from holdfast.accounts.v1 import event_feed_service_pb2 as accounts
from holdfast.accounts.v1.event_feed_service_pb2_grpc import EventFeedServiceStub
from holdfast.authz.v1 import decline_reason_pb2, ledger_pb2
from holdfast.payments.v1 import event_feed_service_pb2 as payments
from holdfast.payments.v1.event_feed_service_pb2_grpc import (
    EventFeedServiceStub as PaymentsStub,
)
from holdfast.stats.v1 import event_feed_service_pb2 as stats
from holdfast.stats.v1.event_feed_service_pb2_grpc import EventFeedServiceStub as StatsStub
from holdfast.type.v1.feed_event_pb2 import FeedEvent
from notify.event import Incoming
from notify.from_ledger import LedgerEntry, event_of
from notify.intake import Intake
from runtime import ids
from runtime.account_owners import owners_of
from runtime.batches import batches
from runtime.events.catalogue import Event
from runtime.follower import follow_for_ever
from runtime.queries import load_queries
from runtime.validate import milliseconds

if TYPE_CHECKING:
    import asyncpg

#: Events of one transaction.
PAGE = 500
#: How often a feed is asked when there was nothing new, unless it is said otherwise.
POLL_S = 0.25
#: The same of stats: what it tells, it has found a good while after the purchases.
STATS_POLL_S = 1.0
CALL_TIMEOUT_S = 5.0
#: Companies of one call.
COMPANIES_PAGE = 500

_SQL = load_queries(Path(__file__).with_name("sql") / "intake.sql")
_LEDGER = "ledger"
#: Events without account or owner of ours are everybody's.
_NO_TAG = "00"

#: Asks for what follows a number; returns it, and whether there may be more.
Ask = Callable[[int], Awaitable[tuple[Sequence[FeedEvent], bool]]]


class AccountsFeed:
    """What accounts tells."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = EventFeedServiceStub(channel)

    async def events_after(self, number: int) -> tuple[Sequence[FeedEvent], bool]:
        """What happened there."""
        request = accounts.FollowEventsRequest(after=number, page_size=PAGE)
        answer = await self._stub.FollowEvents(request, timeout=CALL_TIMEOUT_S)
        return answer.events, answer.more

    async def owners_of(self, account_ids: Collection[str]) -> dict[str, str]:
        """Who owns accounts."""
        return await owners_of(self._stub, account_ids)

    async def managers_of(self, company_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Who manages companies, as far as they are known."""
        found: dict[str, tuple[str, ...]] = {}
        for some in batches(sorted(company_ids), COMPANIES_PAGE):
            request = accounts.ResolveManagersRequest(company_ids=some)
            answer = await self._stub.ResolveManagers(request, timeout=CALL_TIMEOUT_S)
            for one in answer.managers:
                found[one.company_id] = (*found.get(one.company_id, ()), one.user_id)
        return found

    async def has_dismissed(self, company_id: str, user_id: str) -> bool:
        """Whether a company has removed a user from its managers."""
        request = accounts.CheckManagerRequest(company_id=company_id, user_id=user_id)
        answer = await self._stub.CheckManager(request, timeout=CALL_TIMEOUT_S)
        return bool(answer.dismissed)


class PaymentsFeed:
    """What payments tells."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = PaymentsStub(channel)

    async def events_after(self, number: int) -> tuple[Sequence[FeedEvent], bool]:
        """What happened there."""
        request = payments.FollowEventsRequest(after=number, page_size=PAGE)
        answer = await self._stub.FollowEvents(request, timeout=CALL_TIMEOUT_S)
        return answer.events, answer.more


class StatsFeed:
    """What stats tells."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = StatsStub(channel)

    async def events_after(self, number: int) -> tuple[Sequence[FeedEvent], bool]:
        """What was found there."""
        request = stats.FollowEventsRequest(after=number, page_size=PAGE)
        answer = await self._stub.FollowEvents(request, timeout=CALL_TIMEOUT_S)
        return answer.events, answer.more


class Feed:
    """Follows one service. Several processes may; they take turns."""

    def __init__(
        self, pool: asyncpg.Pool, intake: Intake, *, source: str, ask: Ask, poll_s: float = POLL_S
    ) -> None:
        self._pool = pool
        self._intake = intake
        self._source = source
        self._ask = ask
        self._poll_s = poll_s

    async def run(self) -> None:
        """For ever; no failure ends it."""
        await follow_for_ever(
            self.step,
            poll_s=self._poll_s,
            unknown="feed_unknown",
            failed="feed_failed",
            source=self._source,
        )

    async def step(self) -> bool:
        """Takes one page in; True if there may be more. Nothing is locked while it is asked for:
        most of the time nothing is there.
        """
        number = await self._position(self._pool)
        events, more = await self._ask(number)
        if not events:
            return False
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["take_feed_turn"], self._source)
            if await self._position(connection) != number:
                # Somebody else was faster: these were taken in.
                return True
            incoming = [_incoming(self._source, one) for one in events]
            await self._intake.take(connection, incoming)
            await connection.execute(_SQL["move_feed_position"], self._source, events[-1].number)
        return more

    async def _position(self, where: Any) -> int:
        number: int | None = await where.fetchval(_SQL["select_feed_position"], self._source)
        return number or 0


def ledger_taker(intake: Intake) -> Callable[[Any, Sequence[ledger_pb2.Entry]], Awaitable[None]]:
    """Takes pages of the ledger in, for `runtime.follower`."""

    async def take(connection: Any, entries: Sequence[ledger_pb2.Entry]) -> None:
        found = [(one, event_of(_entry(one))) for one in entries]
        incoming = [
            Incoming(id=_event_id(event, _LEDGER, one.id), event=event)
            for one, event in found
            if event is not None
        ]
        if incoming:
            await intake.take(connection, incoming)

    return take


def _incoming(source: str, told: FeedEvent) -> Incoming:
    event = Event(
        type=told.type,
        time_ms=milliseconds(told.create_time),
        account_id=told.account_id,
        owner_id=told.owner_id,
        user_id=told.user_id,
        data=json.loads(told.data),
    )
    return Incoming(id=_event_id(event, source, str(told.number), str(event.time_ms)), event=event)


def _event_id(event: Event, *parts: str) -> str:
    """Follows from where the event stands in its source."""
    whose = event.account_id or event.owner_id
    return ids.derived(ids.EVENT, ids.tag_of(whose) if whose else _NO_TAG, *parts)


def _entry(entry: ledger_pb2.Entry) -> LedgerEntry:
    available_minor = (
        entry.credit_limit.amount_minor
        - entry.posted.amount_minor
        - entry.held.amount_minor
        - entry.unreleased.amount_minor
    )
    reason = decline_reason_pb2.DeclineReason.Name(entry.decline_reason)
    return LedgerEntry(
        id=entry.id,
        type=ledger_pb2.Entry.Type.Name(entry.type).removeprefix("TYPE_"),
        account_id=entry.account_id,
        card_id=entry.card_id,
        user_id=entry.user_id,
        company_id=entry.company_id,
        authorization_id=entry.authorization_id,
        payment_id=entry.payment_id,
        related_entry_id=entry.related_entry_id,
        amount_minor=entry.amount.amount_minor,
        requested_minor=entry.requested.amount_minor,
        available_minor=available_minor,
        currency_code=entry.posted.currency_code or entry.amount.currency_code,
        decline_reason=reason.removeprefix("DECLINE_REASON_"),
        merchant_id=entry.merchant.id,
        category_code=entry.merchant.category_code,
        country_code=entry.merchant.country_code,
        record_time_ms=milliseconds(entry.record_time),
    )
