"""EventFeedService: hands events to notify."""

from __future__ import annotations

from typing import Any

from holdfast.payments.v1 import event_feed_service_pb2 as pb
from holdfast.payments.v1.event_feed_service_pb2_grpc import EventFeedServiceServicer
from runtime.events.feed import follow
from runtime.events.outbox import EventOutbox


class EventFeedService(EventFeedServiceServicer):
    """Reads the events that were written beside changes."""

    def __init__(self, events: EventOutbox) -> None:
        self._events = events

    async def FollowEvents(
        self, request: pb.FollowEventsRequest, context: Any
    ) -> pb.FollowEventsResponse:
        """Returns what happened after a place."""
        del context
        return await follow(self._events, request, pb.FollowEventsResponse)
