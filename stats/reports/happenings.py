"""What is told of reports. No I/O, no clock, no grpc."""

from __future__ import annotations

from runtime.events.catalogue import Event
from stats.reports.report import Report


def report_ready(report: Report, *, now_ms: int) -> Event:
    """A scheduled report can be downloaded."""
    return Event(
        type="report.ready",
        time_ms=now_ms,
        owner_id=report.owner_id,
        user_id=report.principal,
        data={
            "report_id": report.id,
            "start_date": report.start.isoformat(),
            "end_date": report.end.isoformat(),
        },
    )
