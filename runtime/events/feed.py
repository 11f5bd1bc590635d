"""Events on their way between a service and notify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from holdfast.type.v1.feed_event_pb2 import FeedEvent
from runtime.clock import ms_of
from runtime.events.outbox import EventOutbox, Numbered
from runtime.paging import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from runtime.validate import Violations, timestamp

Answer = TypeVar("Answer", bound=Message)


def feed_page(*, after: int, page_size: int) -> int:
    """How many events are asked for; refuses what cannot be meant."""
    violations = Violations()
    violations.page_size(page_size)
    if after < 0:
        violations.add("after", "must not be negative")
    violations.raise_if_any()
    return min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


async def follow(events: EventOutbox, request: Any, answer: type[Answer]) -> Answer:
    """Answers `FollowEvents` of any service: what happened after a place."""
    limit = feed_page(after=request.after, page_size=request.page_size)
    found = await events.after(request.after, limit=limit)
    return answer(events=messages(found), more=len(found) == limit)


def messages(events: Sequence[Numbered]) -> list[FeedEvent]:
    """The events on the wire."""
    return [
        FeedEvent(
            number=one.number,
            type=one.type,
            account_id=one.account_id,
            owner_id=one.owner_id,
            user_id=one.user_id,
            data=one.data,
            create_time=timestamp(ms_of(one.create_time)),
        )
        for one in events
    ]
