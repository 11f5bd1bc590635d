"""UsageService: convert, load, convert."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from gateway.usage_store import UsageStore
from holdfast.gateway.v1 import usage_service_pb2 as pb
from holdfast.gateway.v1.usage_service_pb2_grpc import UsageServiceServicer
from runtime import ids
from runtime.clock import datetime_of, ms_of
from runtime.paging import Position, page_of
from runtime.validate import Violations, milliseconds, timestamp

#: Longest time that is summed up.
SUM_DAYS_MAX = 31
#: Requests that a follower gets at once.
FOLLOW_PAGE = 1_000
_DAY_MS = 86_400_000
_TEXT_MAX = 256
#: Of a row's id, whatever stands in a token.
_PLACE_DIGITS_MAX = 18
_START = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


class UsageService(UsageServiceServicer):
    """Reads the usage log. `merchant_of`: the merchant that a user works for; empty: none."""

    def __init__(self, store: UsageStore, merchant_of: Callable[[str], Awaitable[str]]) -> None:
        self._store = store
        self._merchant_of = merchant_of

    async def ListUsage(self, request: pb.ListUsageRequest, context: Any) -> pb.ListUsageResponse:
        """Lists requests, newest first."""
        del context
        violations = Violations()
        for name in ("caller", "method", "trace_id"):
            violations.text(name, getattr(request, name), limit=_TEXT_MAX)
        violations.timestamp("start_time", request)
        scope = f"usage {request.caller} {request.method} {request.trace_id}"
        page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
        place = page.after.id if page.after is not None else "0"
        if not (place.isascii() and place.isdigit() and len(place) <= _PLACE_DIGITS_MAX):
            violations.add("page_token", "is not a next_page_token of this list")
        violations.raise_if_any()
        since = _time(request.start_time) if request.HasField("start_time") else _START
        found = await self._store.usage(
            page,
            since=since,
            caller=request.caller,
            method=request.method,
            trace_id=request.trace_id,
        )
        rows, more = page.cut(found)
        last = Position(ms_of(rows[-1]["start_time"]), str(rows[-1]["id"])) if more else None
        return pb.ListUsageResponse(
            records=[_record(row) for row in rows],
            next_page_token=page.token_after(last) if last else "",
        )

    async def GetUsage(self, request: pb.GetUsageRequest, context: Any) -> pb.GetUsageResponse:
        """Returns totals by method."""
        del context
        violations = Violations()
        violations.text("caller", request.caller, limit=_TEXT_MAX)
        for name in ("start_time", "end_time"):
            if not request.HasField(name):
                violations.add(name, "is required")
            violations.timestamp(name, request)
        violations.raise_if_any()
        length_ms = milliseconds(request.end_time) - milliseconds(request.start_time)
        if not 0 < length_ms <= SUM_DAYS_MAX * _DAY_MS:
            violations.add("end_time", f"must be later, by at most {SUM_DAYS_MAX} days")
        violations.raise_if_any()
        start, end = _time(request.start_time), _time(request.end_time)
        rows = await self._store.sums(start, end, caller=request.caller)
        return pb.GetUsageResponse(methods=[pb.MethodUsage(**dict(row)) for row in rows])

    async def FollowUsage(
        self, request: pb.FollowUsageRequest, context: Any
    ) -> pb.FollowUsageResponse:
        """Lists requests as they were written."""
        del context
        violations = Violations()
        if request.after < 0:
            violations.add("after", "must not be negative")
        violations.raise_if_any()
        rows = await self._store.after(request.after, limit=FOLLOW_PAGE + 1)
        shown = rows[:FOLLOW_PAGE]
        return pb.FollowUsageResponse(
            records=[_record(row) for row in shown],
            reached=shown[-1]["id"] if shown else request.after,
            more=len(rows) > len(shown),
        )

    async def FindMerchant(
        self, request: pb.FindMerchantRequest, context: Any
    ) -> pb.FindMerchantResponse:
        """Says for whom a user works."""
        del context
        violations = Violations()
        violations.id("user_id", request.user_id, ids.USER)
        violations.raise_if_any()
        return pb.FindMerchantResponse(merchant_id=await self._merchant_of(request.user_id))


def _time(value: Any) -> datetime:
    return datetime_of(milliseconds(value))


def _record(row: Any) -> pb.UsageRecord:
    fields = {name: value for name, value in dict(row).items() if name not in ("id", "start_time")}
    return pb.UsageRecord(start_time=timestamp(ms_of(row["start_time"])), **fields)
