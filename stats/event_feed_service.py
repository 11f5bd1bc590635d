"""EventFeedService: hands events to notify."""

from __future__ import annotations

from typing import Any

from holdfast.stats.v1 import event_feed_service_pb2 as pb
from holdfast.stats.v1.event_feed_service_pb2_grpc import EventFeedServiceServicer
from runtime.events.feed import feed_page, messages
from runtime.events.outbox import EventOutbox


class EventFeedService(EventFeedServiceServicer):
    """Reads the events that were written beside what was found."""

    def __init__(self, events: EventOutbox) -> None:
        self._events = events

    async def FollowEvents(
        self, request: pb.FollowEventsRequest, context: Any
    ) -> pb.FollowEventsResponse:
        """Returns what happened after a place."""
        del context
        limit = feed_page(after=request.after, page_size=request.page_size)
        found = await self._events.after(request.after, limit=limit)
        return pb.FollowEventsResponse(events=messages(found), more=len(found) == limit)
