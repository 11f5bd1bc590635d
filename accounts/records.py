"""Rows to records and back, where columns and fields have the same names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from runtime.clock import datetime_of, ms_of

T = TypeVar("T")


def of_row(record: Callable[..., T], row: Any, **made: Callable[[Any], object]) -> T:
    """A record from its row: times as milliseconds, NULL as an empty text, and the fields `made`
    by a function of their own.
    """
    fields: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, datetime):
            fields[f"{name}_ms"] = ms_of(value)
        elif name in made:
            fields[name] = made[name](value)
        else:
            fields[name] = "" if value is None else value
    return record(**fields)


def values(record: Any, *names: str) -> list[Any]:
    """What a statement is given: named fields, times as instants, an empty reference as NULL."""
    found: list[Any] = []
    for name in names:
        value = getattr(record, name)
        if name.endswith("_time_ms"):
            value = datetime_of(value)
        elif name.endswith("_id") and value == "":
            value = None
        found.append(value)
    return found
