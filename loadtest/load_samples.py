"""How long requests took, and which failed; a summary of both. Pure.

Locust rounds the times that it keeps; a promise of 100 ms is checked on what was measured.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from runtime.latency import percentile

AUTHORIZE = "Authorize"
#: Different texts of failures that are kept; all failures are counted.
_TEXTS_MAX = 50
#: Of milliseconds.
_DECIMALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One kind of request, or all of them."""

    #: Requests sent, and those of them that failed, from the first moment on.
    requests: int
    failures: int
    #: Of those sent after the warm-up, the failed ones included.
    measured: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(slots=True, kw_only=True)
class Samples:
    """Every request of a load test."""

    _times_ms: dict[str, array[float]] = field(default_factory=lambda: defaultdict(_doubles))
    _requests: Counter[str] = field(default_factory=Counter)
    _failures: Counter[str] = field(default_factory=Counter)
    #: What failed, and how often: `<name>: <text>`.
    texts: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, time_ms: float, *, error: object = None, measured: bool) -> None:
        """One request. Without `measured` its time does not count, its failure does."""
        self._requests[name] += 1
        if measured:
            self._times_ms[name].append(time_ms)
        if error is None:
            return
        self._failures[name] += 1
        text = f"{name}: {error}"
        if text in self.texts or len(self.texts) < _TEXTS_MAX:
            self.texts[text] += 1

    def by_name(self) -> dict[str, Summary]:
        """A summary of each kind of request."""
        return {
            name: _summary(
                self._requests[name], self._failures[name], self._times_ms.get(name, _doubles())
            )
            for name in sorted(self._requests)
        }

    def overall(self) -> Summary:
        """A summary of all requests."""
        times_ms = _doubles()
        for one in self._times_ms.values():
            times_ms.extend(one)
        return _summary(self._requests.total(), self._failures.total(), times_ms)


def _doubles() -> array[float]:
    return array("d")


def _summary(requests: int, failures: int, times_ms: array[float]) -> Summary:
    return Summary(
        requests=requests,
        failures=failures,
        measured=len(times_ms),
        p50_ms=round(percentile(times_ms, 50), _DECIMALS),
        p95_ms=round(percentile(times_ms, 95), _DECIMALS),
        p99_ms=round(percentile(times_ms, 99), _DECIMALS),
    )
