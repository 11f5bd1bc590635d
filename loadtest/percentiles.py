"""Percentiles of many latencies, sorted once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: In thousandths, so that ranks are exact.
_PERMILLE = (500, 950, 990, 999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Latencies in milliseconds; 0 of none."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Latency:
        """By nearest rank: the smallest value that so many percent do not exceed."""
        ordered = sorted(seconds)
        p50, p95, p99, p999 = (_ms(at(ordered, permille)) for permille in _PERMILLE)
        highest = _ms(ordered[-1]) if ordered else 0.0
        return cls(p50_ms=p50, p95_ms=p95, p99_ms=p99, p999_ms=p999, max_ms=highest)


def at(ordered: list[float], permille: int) -> float:
    """The value of sorted ones that so many thousandths do not exceed; 0 of none."""
    return ordered[max(-(-permille * len(ordered) // 1000), 1) - 1] if ordered else 0.0


def median(values: Iterable[float]) -> float:
    """The middle value, the lower one of two; 0 of none."""
    return at(sorted(values), 500)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
