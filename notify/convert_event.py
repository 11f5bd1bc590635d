"""Events on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from holdfast.notify.v1 import event_pb2
from holdfast.notify.v1 import event_service_pb2 as pb
from notify.event import Incoming, KeptEvent
from notify.event_store import Wanted
from runtime import ids
from runtime.errors import NotFound
from runtime.events.catalogue import CATALOGUE
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, milliseconds, timestamp

#: Types of one list.
TYPES_MAX = 20


def get(request: pb.GetEventRequest) -> str:
    """Checks GetEventRequest."""
    violations = Violations()
    violations.id("event_id", request.event_id, ids.EVENT)
    violations.raise_if_any()
    return request.event_id


def wanted(request: pb.ListEventsRequest, *, principal: str) -> tuple[Page, Wanted]:
    """Checks ListEventsRequest."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT, required=False)
    violations.id("owner_id", request.owner_id, ids.USER, ids.COMPANY, required=False)
    types = expanded("types", request.types, violations)
    violations.timestamp("start_time", request)
    violations.timestamp("end_time", request)
    if request.from_now and not request.oldest_first:
        violations.add("from_now", "is for oldest_first only")
    # A token belongs to one list: with these filters, of this caller.
    filters = pb.ListEventsRequest()
    filters.CopyFrom(request)
    filters.ClearField("page_size")
    filters.ClearField("page_token")
    scope = f"events {principal} {filters.SerializeToString(deterministic=True).hex()}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    start_ms = milliseconds(request.start_time) if request.HasField("start_time") else None
    end_ms = milliseconds(request.end_time) if request.HasField("end_time") else None
    found = Wanted(
        account_id=request.account_id,
        owner_id=request.owner_id,
        types=types,
        start_ms=start_ms,
        end_ms=end_ms,
    )
    return page, found


def trigger(request: pb.TriggerEventRequest, context: Any) -> RequestKey:
    """Checks TriggerEventRequest."""
    violations = Violations()
    key = key_of(request, context, violations)
    if request.type not in CATALOGUE:
        violations.add("type", "is no type of docs/EVENTS.md" if request.type else "is required")
    violations.id("owner_id", request.owner_id, ids.USER, ids.COMPANY)
    violations.id("account_id", request.account_id, ids.ACCOUNT, required=False)
    violations.raise_if_any()
    return key


def expanded(field: str, types: Sequence[str], violations: Violations) -> tuple[str, ...]:
    """The types that are meant: `card.*` stands for all about cards."""
    if len(types) > TYPES_MAX:
        violations.add(field, f"must be at most {TYPES_MAX}")
    found: dict[str, None] = {}
    for number, one in enumerate(types[:TYPES_MAX]):
        names = [name for name in CATALOGUE if _is_meant(name, one)]
        if not names:
            violations.add(f"{field}[{number}]", "is no type of docs/EVENTS.md")
        found |= dict.fromkeys(names)
    return tuple(found)


def message(event: KeptEvent) -> event_pb2.Event:
    """The event on the wire."""
    data = Struct()
    json_format.ParseDict(event.fields(), data)
    return event_pb2.Event(
        id=event.id,
        type=event.type,
        sequence=event.sequence,
        create_time=timestamp(event.create_time_ms),
        account_id=event.account_id,
        owner_id=event.owner_id,
        user_id=event.user_id,
        data=data,
        test=event.test,
    )


def triggered(incoming: Incoming) -> event_pb2.Event:
    """An event that is about to be told."""
    event, data = incoming.event, Struct()
    json_format.ParseDict(dict(event.data), data)
    return event_pb2.Event(
        id=incoming.id,
        type=event.type,
        create_time=timestamp(event.time_ms),
        account_id=event.account_id,
        owner_id=event.owner_id,
        data=data,
        test=True,
    )


def not_found(event_id: str) -> NotFound:
    """The error for an event that is not there, or another's."""
    return NotFound("no such event", reason="EVENT_NOT_FOUND", metadata={"event_id": event_id})


def _is_meant(name: str, pattern: str) -> bool:
    return name == pattern or (pattern.endswith(".*") and name.startswith(pattern[:-1]))
