"""EventService: what happened, to those who may know."""

from __future__ import annotations

from typing import Any

from holdfast.notify.v1 import event_service_pb2 as pb
from holdfast.notify.v1.event_service_pb2_grpc import EventServiceServicer
from notify import convert_event as convert
from notify.event import Incoming
from notify.event_store import EventStore, Seen, last_number
from notify.intake import Intake
from notify.mutations import Mutations
from notify.webhook_store import WebhookTransaction
from runtime import ids
from runtime.clock import Clock
from runtime.events.catalogue import CATALOGUE, Event
from runtime.identity import Identity, current_identity
from runtime.ownership import owners
from runtime.paging import Position


class EventService(EventServiceServicer):
    """Lists events, and tells some that did not happen."""

    def __init__(
        self, store: EventStore, mutations: Mutations, intake: Intake, clock: Clock
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._intake = intake
        self._clock = clock

    async def GetEvent(self, request: pb.GetEventRequest, context: Any) -> pb.GetEventResponse:
        """Returns one event."""
        del context
        event_id = convert.get(request)
        event = await self._store.event(event_id)
        seen = seen_by(current_identity())
        if event is None or not (
            seen is None
            or event.owner_id in seen.owner_ids
            or (seen.user_id and event.user_id == seen.user_id)
        ):
            raise convert.not_found(event_id)
        return pb.GetEventResponse(event=convert.message(event))

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Any
    ) -> pb.ListEventsResponse:
        """Lists events."""
        del context
        identity = current_identity()
        page, wanted = convert.wanted(request, principal=identity.principal)
        # Read before the page: whatever it has up to there and is not shown is not wanted, so that
        # who asks again and again does not look through it each time.
        head = await self._store.last_number() if request.oldest_first else 0
        if request.from_now and page.after is None:
            return pb.ListEventsResponse(next_page_token=page.token_after(Position(head, "")))
        found = await self._store.events(
            page, wanted, seen=seen_by(identity), oldest_first=request.oldest_first
        )
        events, more = page.cut(found)
        token = ""
        if more or request.oldest_first:
            reached = last_number(events, page)
            token = page.token_after(Position(reached if more else max(reached, head), ""))
        return pb.ListEventsResponse(
            events=[convert.message(one) for one in events], next_page_token=token
        )

    async def TriggerEvent(
        self, request: pb.TriggerEventRequest, context: Any
    ) -> pb.TriggerEventResponse:
        """Tells an event that did not happen."""
        key, now_ms = convert.trigger(request, context), self._clock.now_ms()
        event = Event(
            type=request.type,
            time_ms=now_ms,
            account_id=request.account_id,
            owner_id=request.owner_id,
            data=CATALOGUE[request.type].example,
        )
        tag = ids.tag_of(request.owner_id)
        event_id = ids.derived(ids.EVENT, tag, "test", key.principal, key.request_id, str(now_ms))

        async def effect(transaction: WebhookTransaction) -> pb.TriggerEventResponse:
            incoming = Incoming(id=event_id, event=event, test=True)
            await self._intake.take(transaction.connection, [incoming])
            answer = pb.TriggerEventResponse(event=convert.triggered(incoming))
            await transaction.record(after=answer)
            return answer

        answer, _ = await self._mutations.once(
            key, effect, pb.TriggerEventResponse, context, now_ms=now_ms
        )
        return answer


def seen_by(identity: Identity) -> Seen | None:
    """Whose events the caller may see; None: all."""
    if identity.sees_everything:
        return None
    about = identity.principal if "cardholder" in identity.roles else ""
    return Seen(owner_ids=owners(identity), user_id=about)
