"""Percentiles of latencies. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all values do not exceed (nearest rank); 0 of none."""
    assert 0 < percent <= 100, "a percentile is above 0 and at most 100"  # noqa: PLR2004
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(ceil(percent / 100 * len(ordered)), 1) - 1]


def summary_ms(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 of latencies in seconds, in milliseconds."""
    return {f"p{percent}": round(percentile(values, percent) * 1000, 2) for percent in (50, 95, 99)}
