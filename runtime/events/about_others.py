"""Types of events about reports and webhooks. No I/O, no clock, no grpc."""

from __future__ import annotations

from runtime.events.event_type import EventType

OTHERS: tuple[EventType, ...] = (
    EventType(
        name="report.ready",
        meaning="A scheduled report was made, and can be downloaded.",
        fields=("report_id", "start_date", "end_date"),
    ),
    EventType(
        name="webhook.disabled",
        meaning="An endpoint has taken nothing for five days, and is told nothing any more.",
        fields=("endpoint_id", "state"),
    ),
)
