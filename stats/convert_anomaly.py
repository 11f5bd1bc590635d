"""What is unusual, on the wire."""

from __future__ import annotations

from typing import Any

from holdfast.stats.v1 import anomaly_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import ms_of
from runtime.paging import Page, page_of
from runtime.validate import Violations, timestamp
from stats.anomaly import Finding, Kind


def list_anomalies(request: rpc.ListAnomaliesRequest) -> tuple[Page, str]:
    """Checks ListAnomalies; returns the page and the kind, '' for all."""
    violations = Violations()
    if request.account_id:
        violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.enum("kind", request.kind, frozenset(pb.Anomaly.Kind.values()))
    page = page_of(
        request.page_size,
        request.page_token,
        scope=f"anomalies|{request.account_id}|{request.kind}",
        violations=violations,
    )
    violations.raise_if_any()
    kind = pb.Anomaly.Kind.Name(request.kind).removeprefix("KIND_") if request.kind else ""
    return page, kind


def anomaly_id(account_id: str, found: Finding) -> str:
    """The id follows from what it is: found twice, there is one."""
    tag = ids.tag_of(account_id)
    return ids.derived(ids.ANOMALY, tag, account_id, found.day.isoformat(), found.kind)


def body(account_id: str, found: Finding) -> bytes:
    """What is kept of something unusual: the message without its id and time."""
    message = pb.Anomaly(
        account_id=account_id,
        kind=pb.Anomaly.Kind.Value(f"KIND_{found.kind}"),
        day=found.day.isoformat(),
        explanation=found.explanation,
        history_days=found.history_days,
        declined_count=found.declined_count,
        decided_count=found.decided_count,
        usual_decline_basis_points=found.usual_decline_basis_points,
        country_code=found.country_code,
        attempt_count=found.attempt_count,
    )
    if found.kind is Kind.SPEND:
        message.spent.CopyFrom(_money(found.spent_minor, found.currency))
        message.usual.CopyFrom(_money(found.usual_minor, found.currency))
        message.deviation.CopyFrom(_money(found.deviation_minor, found.currency))
    return message.SerializeToString(deterministic=True)


def anomaly(row: Any) -> pb.Anomaly:
    """Something unusual that is kept."""
    message = pb.Anomaly.FromString(row["body"])
    message.id = row["id"]
    message.create_time.CopyFrom(timestamp(ms_of(row["create_time"])))
    return message


def _money(amount_minor: int, currency: str) -> Money:
    return Money(currency_code=currency, amount_minor=amount_minor)
