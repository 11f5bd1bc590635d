"""The verdict of a load test: every promise can break it, alone."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from authz.reconcile_flow import Books
from loadtest.load_answers import Answered, Answers
from loadtest.load_results import Results
from loadtest.load_run import LocustFailedError, Order, Report
from loadtest.load_samples import AUTHORIZE, Samples, Summary
from loadtest.load_verdict import Found, checks
from runtime.cli import load
from runtime.cli import main as cli
from runtime.cli.output import ExitCode

_SUMMARY = Summary(requests=1000, failures=9, measured=900, p50_ms=5, p95_ms=99.9, p99_ms=400)
_GOOD = Found(
    authorize=_SUMMARY,
    overall=_SUMMARY,
    approved=1,
    unanswered=0,
    errors=0,
    answers_differing=0,
    unsettled=0,
    books_differing=0,
)
#: What breaks each promise, at its edge.
BROKEN: dict[str, dict[str, Any]] = {
    "purchases were approved": {"approved": 0},
    "p95 of Authorize": {"authorize": replace(_SUMMARY, p95_ms=100.0)},
    "p95 of all requests": {"overall": replace(_SUMMARY, p95_ms=100.0)},
    "failed requests": {"overall": replace(_SUMMARY, failures=10)},
    "requests without an answer": {"unanswered": 1},
    "answers that made no sense": {"errors": 1},
    "entries not settled": {"unsettled": 1},
    "answers that the ledger has differently": {"answers_differing": 1},
    "differences in the books": {"books_differing": 1},
}


def _report(found: Found) -> Report:
    answered = Answered(account_id="acct", approved=True, authorized_minor=1, held_minor=1)
    results = Results(
        by_name={AUTHORIZE: found.authorize},
        overall=found.overall,
        failures={},
        answers=Answers(authorizations={"auth": answered}),
        errors=[],
        lag_ms={"p50": 1.0},
    )
    return Report(
        order=Order(seconds=8, users=8),
        results=results,
        accounts=1,
        differing=[],
        books=Books(accounts=1, entries=1, differences=found.books_differing),
        checks=checks(found),
    )


def _run(monkeypatch: pytest.MonkeyPatch, report: Report | Exception, *arguments: str) -> int:
    """`holdfast load`, with this as what has happened."""

    async def happened(*_: object) -> Report:
        await asyncio.sleep(0)
        if isinstance(report, Exception):
            raise report
        return report

    monkeypatch.setattr(load, "_load", happened)
    monkeypatch.setattr(sys, "argv", ["holdfast", "load", *arguments])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_every_promise_has_a_case() -> None:
    """The table above is complete, so that no promise is only for show."""
    assert [check.promise for check in checks(_GOOD)] == list(BROKEN)


def test_a_good_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: exit 0 at the edge of every promise, and the table says so."""
    assert _run(monkeypatch, _report(_GOOD)) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "BROKEN" not in shown
    assert all(promise in shown for promise in BROKEN)


@pytest.mark.parametrize("promise", BROKEN)
def test_one_broken_promise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], promise: str
) -> None:
    """Goal: exit 1, and exactly this promise is named as broken."""
    report = _report(replace(_GOOD, **BROKEN[promise]))
    assert _run(monkeypatch, report, "--json") == ExitCode.DIFFERENCES
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "fail"
    assert [check["promise"] for check in document["checks"] if not check["holds"]] == [promise]


def test_nothing_was_measured() -> None:
    """Goal: a run that ended within its warm-up promises nothing."""
    nothing = replace(_SUMMARY, measured=0, p50_ms=0, p95_ms=0, p99_ms=0)
    found = checks(replace(_GOOD, authorize=nothing))
    assert [check.promise for check in found if not check.holds] == ["purchases were approved"]


def test_a_looser_limit_is_one_of_time_only() -> None:
    """Goal: `--p95-ms` relaxes both percentiles and nothing else."""
    slow = replace(_SUMMARY, p95_ms=450.0)
    found = replace(_GOOD, authorize=slow, overall=slow)
    assert [check.holds for check in checks(found)].count(False) == 2
    assert all(check.holds for check in checks(found, p95_ms_limit=500.0))
    one_off = replace(found, answers_differing=1)
    assert not all(check.holds for check in checks(one_off, p95_ms_limit=500.0))


def test_locust_without_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: exit 1 with the reason; no results are never good ones."""
    code = _run(monkeypatch, LocustFailedError("Locust ended without results"), "--json")
    assert code == ExitCode.DIFFERENCES
    assert "without results" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_report_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: told before the mesh is started."""
    report = str(tmp_path / "none" / "report.html")
    assert _run(monkeypatch, _report(_GOOD), "--html", report) == ExitCode.USAGE
    assert "is no folder" in capsys.readouterr().err


def test_samples() -> None:
    """Goal: warm-up counts as sent and failed, never as time; texts are bounded, counts are not."""
    samples = Samples()
    samples.add("Authorize", 5_000, measured=False, error="slow")
    for number in range(100):
        samples.add("Authorize", number + 1, measured=True)
        samples.add("Capture", 1_000, error=number, measured=True)
    assert samples.by_name()["Authorize"] == Summary(
        requests=101, failures=1, measured=100, p50_ms=50, p95_ms=95, p99_ms=99
    )
    overall = samples.overall()
    assert (overall.requests, overall.failures, overall.measured) == (201, 101, 200)
    assert (overall.p50_ms, overall.p95_ms) == (100, 1_000)
    assert len(samples.texts) == 50
