"""Pauses between restarts, and what of a log is shown."""

from __future__ import annotations

from pathlib import Path

from runtime.devstack.housekeeping import bound_logs
from runtime.devstack.process import Backoff, log_tail


def test_pauses_double_up_to_a_cap() -> None:
    """Goal: a process that keeps dying is tried less and less often, but never given up."""
    backoff = Backoff(initial_s=1.0, cap_s=5.0, stable_after_s=30.0)
    assert [backoff.pause_s(ran_for_s=0.1) for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_stable_run_begins_anew() -> None:
    """Goal: one crash a day is not punished like a crash loop."""
    backoff = Backoff(initial_s=1.0, cap_s=5.0, stable_after_s=30.0)
    for _ in range(4):
        backoff.pause_s(ran_for_s=0.1)
    assert backoff.pause_s(ran_for_s=30.0) == 1.0
    assert backoff.pause_s(ran_for_s=0.1) == 2.0


def test_log_tail_shows_the_last_lines(tmp_path: Path) -> None:
    """Goal: the end of a long log, whole lines, whatever its bytes are."""
    log = tmp_path / "a.log"
    assert log_tail(log) == ""
    log.write_bytes(b"\xff\n" + b"".join(b"line %d\n" % n for n in range(10_000)))
    shown = log_tail(log).splitlines()
    assert shown[-1] == "line 9999"
    assert len(shown) == 12


def test_logs_are_bounded_while_somebody_appends(tmp_path: Path) -> None:
    """Goal: a large log is moved aside, and its writer goes on at the beginning of the file."""
    log = tmp_path / "a.log"
    (tmp_path / "small.log").write_text("keep")
    with log.open("a") as writer:
        writer.write("x" * 100)
        writer.flush()
        assert bound_logs(tmp_path, bytes_max=50) == 1
        writer.write("after")
        writer.flush()
    assert log.read_text() == "after"
    assert (tmp_path / "a.log.1").read_text() == "x" * 100
    assert (tmp_path / "small.log").read_text() == "keep"
