"""Percentiles by nearest rank."""

from __future__ import annotations

import pytest

from runtime.latency import percentile, summary_ms


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0),
        ([7], 1, 7),
        ([7], 100, 7),
        ([4, 1, 3, 2], 50, 2),
        ([4, 1, 3, 2], 51, 3),
        (list(range(1, 101)), 99, 99),
        (list(range(1, 101)), 100, 100),
    ],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    """Goal: the smallest value that so many percent do not exceed."""
    assert percentile(values, percent) == expected


def test_summary_is_in_milliseconds() -> None:
    """Goal: seconds in, milliseconds out."""
    assert summary_ms([0.001, 0.002]) == {"p50": 1.0, "p95": 2.0, "p99": 2.0}
