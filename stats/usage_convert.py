"""Usage of the API on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from holdfast.stats.v1 import api_usage_service_pb2 as pb
from runtime import ids
from runtime.validate import Violations
from stats.convert import day_fields
from stats.usage_fold import end_us
from stats.usage_store import UsageQuery

#: Days of one answer, without and with callers.
DAYS_MAX, CALLER_DAYS_MAX = 400, 92
TOP_DEFAULT, TOP_MAX = 50, 500
_TEXT_MAX = 256

_GROUPINGS = frozenset(pb.ApiUsageGrouping.values())
_ORDERS = frozenset(pb.ApiUsageOrder.values())
_TIMES = {pb.API_USAGE_GROUPING_DAY: "DAY", pb.API_USAGE_GROUPING_WEEK: "WEEK"}
_OF_CALLERS = frozenset({pb.API_USAGE_GROUPING_CALLER, pb.API_USAGE_GROUPING_API_KEY})


def query_of(request: pb.GetApiUsageRequest, *, of_callers: bool) -> UsageQuery:
    """Checks GetApiUsage. `of_callers`: who asks may see some callers only."""
    violations = Violations()
    first, last = day_fields(request, violations)
    groups = _groups(request, violations)
    for name in ("method", "caller"):
        violations.text(name, getattr(request, name), limit=_TEXT_MAX)
    violations.id("api_key_id", request.api_key_id, ids.API_KEY, required=False)
    violations.enum("order", request.order, _ORDERS)
    if not 0 <= request.top <= TOP_MAX:
        violations.add("top", f"must be 1 to {TOP_MAX}")
    of_callers |= bool(request.caller or request.api_key_id or _OF_CALLERS & set(groups))
    if first and last:
        _check_span(first, last, CALLER_DAYS_MAX if of_callers else DAYS_MAX, violations)
    violations.raise_if_any()
    assert first is not None, "checked"
    assert last is not None, "checked"
    by_time = next((_TIMES[one] for one in groups if one in _TIMES), "")
    order = request.order or (
        pb.API_USAGE_ORDER_TIME if by_time and len(groups) == 1 else pb.API_USAGE_ORDER_CALLS
    )
    return UsageQuery(
        first=first,
        last=last,
        everybody=not of_callers,
        callers=(request.caller,) if request.caller else None,
        method=request.method,
        api_key_id=request.api_key_id,
        by_time=by_time,
        by_method=pb.API_USAGE_GROUPING_METHOD in groups,
        by_caller=pb.API_USAGE_GROUPING_CALLER in groups,
        by_api_key=pb.API_USAGE_GROUPING_API_KEY in groups,
        order=pb.ApiUsageOrder.Name(order).removeprefix("API_USAGE_ORDER_"),
        top=request.top or TOP_DEFAULT,
    )


def usage(row: Any) -> pb.ApiUsage:
    """A group. No percentile is above the longest duration."""
    longest_us: int = row["longest_us"]
    return pb.ApiUsage(
        start_date=row["start_date"].isoformat() if row["start_date"] else "",
        method=row["method"],
        caller=row["caller"],
        api_key_id=row["api_key_id"],
        calls=row["calls"],
        errors=row["errors"],
        refused=row["refused"],
        failed=row["failed"],
        request_bytes=row["request_bytes"],
        response_bytes=row["response_bytes"],
        duration_p50_us=min(end_us(row["p50"]), longest_us),
        duration_p95_us=min(end_us(row["p95"]), longest_us),
        duration_p99_us=min(end_us(row["p99"]), longest_us),
        duration_max_us=longest_us,
        duration_average_us=row["duration_us"] // row["calls"],
    )


def _groups(
    request: pb.GetApiUsageRequest, violations: Violations
) -> Sequence[pb.ApiUsageGrouping.ValueType]:
    groups = list(request.group_by) or [pb.API_USAGE_GROUPING_METHOD]
    for number, one in enumerate(groups):
        violations.enum(f"group_by[{number}]", one, _GROUPINGS, required=True)
    if len(set(groups)) < len(groups):
        violations.add("group_by", "must name nothing twice")
    if _TIMES.keys() <= set(groups):
        violations.add("group_by", "must name days or weeks, not both")
    return groups


def _check_span(first: date, last: date, days_max: int, violations: Violations) -> None:
    if last < first:
        violations.add("end_date", "must not be before start_date")
    elif (last - first).days >= days_max:
        violations.add("end_date", f"is too far: at most {days_max} days are summed up at once")
