from __future__ import annotations

from typing import Any

import pytest

from loadtest import bench, chart
from loadtest.compare import compare
from loadtest.generator import stride
from loadtest.mesh import BooksFound
from loadtest.percentiles import Latency, median
from loadtest.profile import Profile


def test_percentiles_are_values_that_occurred() -> None:
    """Nearest rank: of 1 to 1000 ms the percentiles are the numbers themselves."""
    found = Latency.of(number / 1000 for number in range(1000, 0, -1))
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (500, 950, 990)
    assert (found.p999_ms, found.max_ms) == (999, 1000)


def test_percentiles_of_few_and_of_none() -> None:
    assert Latency.of([0.002]) == Latency(p50_ms=2, p95_ms=2, p99_ms=2, p999_ms=2, max_ms=2)
    assert Latency.of([]).max_ms == 0
    assert median([3, 1, 2]) == 2
    assert median([]) == 0


@pytest.mark.parametrize("tails", [1, 2, 3, 7, 10, 1_000, 10_000, 99_991])
def test_every_account_is_used_before_one_is_used_again(tails: int) -> None:
    step = stride(tails)
    assert len({number * step % tails for number in range(tails)}) == tails


def document(
    *, rate: float = 10_000, hot: float = 9_000, authz_us: float = 40, speed: float = 1
) -> dict[str, Any]:
    """A benchmark on a machine that is `speed` times as fast."""

    def measured(per_s: float, **cpu_us: float) -> dict[str, Any]:
        used = {name: value / speed for name, value in cpu_us.items()}
        return {"max_rate": per_s * speed, "cpu_us_per_call": used}

    empty = measured(30_000, authz=30)
    empty["behind_envoy"] = measured(15_000, envoy=40, authz=30)
    found = {
        "books": [],
        "authorize": measured(
            rate, generator=9, envoy=45, authz=authz_us, valkey=26, settler=6, other=1
        ),
        "hot_account": measured(hot),
        "baseline": {"empty_grpc_aio": measured(5_000, authz=225), "empty_native": empty},
    }
    bench.relate(found)
    return found


def test_ratios_are_those_of_the_run() -> None:
    found = document()
    assert found["ratio_vs_empty_grpc_aio"] == 2
    assert found["hot_account"]["ratio"] == 0.9


def test_another_machine_is_no_change() -> None:
    """Goal: a machine of half the speed is no regression.

    Method: every rate halved and every CPU time doubled gives the same figures.
    """
    changes = compare(document(), document(speed=0.5))
    assert {change.name for change in changes} >= {"ratio_vs_empty_native", "cpu.whole"}
    assert all(change.worse == pytest.approx(0) for change in changes)


@pytest.mark.parametrize(
    ("now", "worse"),
    [
        (document(rate=8_600), set()),
        (
            document(rate=8_400, hot=8_400),
            {"ratio_vs_empty_grpc_aio", "ratio_vs_empty_native"},
        ),
        (document(hot=7_600), {"hot_account.ratio"}),
        (document(authz_us=45), set()),
        (document(authz_us=47), {"cpu.authz"}),
        (document(authz_us=65), {"cpu.authz", "cpu.whole"}),
        (document(rate=20_000, authz_us=20), {"hot_account.ratio"}),
    ],
)
def test_what_is_a_regression(now: dict[str, Any], worse: set[str]) -> None:
    """More than 15 % worse than then, in the direction that is worse for that figure."""
    found = {change.name for change in compare(document(), now) if change.is_regression}
    assert found == worse


def test_what_only_one_run_measured_is_not_compared() -> None:
    then = document()
    del then["baseline"], then["ratio_vs_empty_native"], then["ratio_vs_empty_grpc_aio"]
    assert [change.name for change in compare(then, document())] == ["hot_account.ratio"]


def found_books(**changes: int) -> BooksFound:
    good = {
        "approved": 10,
        "entries_approved": 10,
        "declined": 2,
        "entries_declined": 2,
        "unknown": 0,
        "accounts": 1,
        "entries": 14,
        "differences": 0,
        "unsettled": 0,
    }
    return BooksFound(**good | changes)


@pytest.mark.parametrize(
    ("books", "balance"),
    [
        (found_books(), True),
        (found_books(differences=1), False),
        (found_books(unsettled=1), False),
        # An approval that is not in the ledger, and an entry that nobody was told of.
        (found_books(entries_approved=9), False),
        (found_books(entries_approved=11), False),
        (found_books(entries_declined=1), False),
        # What timed out may have been decided, but no more than that.
        (found_books(entries_approved=11, unknown=1), True),
        (found_books(entries_approved=12, unknown=1), False),
        (found_books(entries_approved=11, entries_declined=1, unknown=5), False),
    ],
)
def test_when_books_balance(books: BooksFound, balance: bool) -> None:
    assert books.balance is balance


def test_a_profile_counts_a_function_once_per_stack() -> None:
    """Recursion does not count twice, and the innermost function owns the sample."""
    profile = Profile()
    profile.add(["main (a.py:1);f (a.py:2);f (a.py:2) 3", "main (a.py:1) 1"])
    assert profile.samples == 4
    assert profile.own == {"f (a.py:2)": 3, "main (a.py:1)": 1}
    assert profile.total == {"f (a.py:2)": 3, "main (a.py:1)": 4}


def test_the_chart_has_a_curve_of_everything_that_was_measured() -> None:
    points = [{"rate": 100.0, "p50_ms": 1.0, "p99_ms": 2.0}]
    found = document()
    assert chart.curves(found) == {}
    found["authorize"]["at_rate"] = points
    found["baseline"]["empty_native"]["behind_envoy"]["at_rate"] = points
    assert set(chart.curves(found)) == {"authorize", "empty_native"}
