"""What something unusual means to those who are told. No I/O, no clock, no grpc."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from runtime.events.catalogue import Event, is_text, money
from stats.anomaly import Finding, Kind

#: Nobody is told of what is longer ago: somebody began to count a ledger of years.
_TOLD_FOR = timedelta(days=2)
UNKNOWN = "UNKNOWN"


def event_of(
    anomaly_id: str, account_id: str, found: Finding, *, today: date, now_ms: int
) -> Event | None:
    """The event; None if it is too long ago."""
    if found.day < today - _TOLD_FOR:
        return None
    data: dict[str, Any] = {"anomaly_id": anomaly_id, "date": found.day.isoformat()}
    if found.kind is Kind.SPEND:
        data |= {
            "amount": money(found.spent_minor, found.currency),
            "usual_amount": money(found.usual_minor, found.currency),
        }
    elif found.kind is Kind.DECLINES:
        data |= {"declined_count": found.declined_count, "decided_count": found.decided_count}
    else:
        country = found.country_code
        data |= {
            "country_code": country if is_text(country) else UNKNOWN,
            "attempt_count": found.attempt_count,
        }
    name = f"account.{found.kind.lower()}_unusual"
    return Event(type=name, time_ms=now_ms, account_id=account_id, data=data)
