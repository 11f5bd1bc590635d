"""When a load test is good: the promises, each with what was found. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.load_samples import Summary

#: The promise on latency, in milliseconds, unless asked otherwise.
P95_MS_LIMIT = 100.0
#: Requests that may fail, of all; a decline is an answer, no failure.
ERROR_SHARE_LIMIT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a load test has found."""

    authorize: Summary
    overall: Summary
    approved: int
    #: Requests that never got a definite answer, although they were repeated.
    unanswered: int
    #: Acts that failed on what was answered.
    errors: int
    #: Answers that the ledger does not have, or has differently, and the reverse.
    answers_differing: int
    #: Entries that were not settled in time.
    unsettled: int
    #: What `holdfast reconcile` counts.
    books_differing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise."""

    promise: str
    found: str
    limit: str
    holds: bool


def checks(found: Found, *, p95_ms_limit: float = P95_MS_LIMIT) -> list[Check]:
    """Every promise, in the order in which people read them."""
    overall = found.overall
    error_share = overall.failures / overall.requests if overall.requests else 0.0
    return [
        # Nothing approved, nothing measured: the promises below would hold of nothing.
        Check(
            promise="purchases were approved",
            found=f"{found.approved:,}",
            limit="> 0",
            holds=found.approved > 0 and found.authorize.measured > 0,
        ),
        _p95("p95 of Authorize", found.authorize, p95_ms_limit),
        _p95("p95 of all requests", overall, p95_ms_limit),
        Check(
            promise="failed requests",
            found=f"{error_share:.3%}",
            limit=f"< {ERROR_SHARE_LIMIT:.0%}",
            holds=error_share < ERROR_SHARE_LIMIT,
        ),
        _none("requests without an answer", found.unanswered),
        _none("answers that made no sense", found.errors),
        _none("entries not settled", found.unsettled),
        _none("answers that the ledger has differently", found.answers_differing),
        _none("differences in the books", found.books_differing),
    ]


def _p95(promise: str, summary: Summary, limit_ms: float) -> Check:
    return Check(
        promise=promise,
        found=f"{summary.p95_ms:.1f} ms",
        limit=f"< {limit_ms:g} ms",
        holds=summary.p95_ms < limit_ms,
    )


def _none(promise: str, count: int) -> Check:
    return Check(promise=promise, found=f"{count:,}", limit="0", holds=count == 0)
