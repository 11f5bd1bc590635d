"""What every scenario is given: how long to measure, whom to tell, and the document it fills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtest.drive import Run
from loadtest.errors import BooksError
from loadtest.mesh import Mesh
from loadtest.percentiles import median
from loadtest.profile import Profile, sampled

#: Calls under way at the same time when the most that is possible is asked for: as many as
#: are answered in time, so that nothing is shed.
DEPTH = 64
#: The same with few callers.
DEPTH_FEW = 32

#: With this many calls per card two workers have met 19 of 20 cards.
WARMUP_CALLS_PER_CARD = 5
#: A warm-up ends in any case after this many times `Options.warmup_s`.
WARMUP_ROUNDS_MAX = 10
#: Sends one run of purchases: `Mesh.purchase` or `Mesh.purchase_json`.
Purchase = Callable[..., Awaitable[Run]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How thoroughly to measure."""

    #: Length of one run.
    seconds: int = 6
    warmup_s: int = 2
    runs: int = 3
    #: Length of one run at a share of the maximum.
    sweep_seconds: int = 4
    #: Shares of the maximum rate at which latency is measured.
    shares_percent: tuple[int, ...] = (25, 50, 75, 90)
    baseline_runs: int = 1
    #: Accounts of the scenarios that are not about their number.
    accounts_few: int = 1_000
    #: Numbers of accounts of the scenario `scale`.
    scale: tuple[int, ...] = (10_000, 100_000)
    overload_s: int = 30
    workers: int = 2
    accounts: int = 10_000
    #: Rows of each file of the scenario `import`.
    rows: int = 100_000
    #: Rate of the scenario `webhooks`.
    events_per_s: int = 1_000
    #: An instance (`authz-0`) whose time is sampled while runs at the maximum last.
    profile: str = ""


@dataclass(slots=True, kw_only=True)
class Session:
    """One benchmark."""

    options: Options
    #: Shows one line of progress.
    say: Callable[[str], None]
    #: What was measured, as `--json` writes it.
    document: dict[str, Any] = field(default_factory=lambda: {"books_balance": True, "books": []})

    async def check_books(self, mesh: Mesh, scenario: str) -> None:
        """Reconciles; BooksError ends the benchmark: rates of a wrong mesh mean nothing."""
        differences: list[str] = []
        found = await mesh.books(on_difference=lambda one: differences.append(str(one)))
        self.document["books"].append(
            {"scenario": scenario, **asdict(found), "balance": found.balance}
        )
        if not found.balance:
            self.document["books_balance"] = False
            raise BooksError(f"{scenario}: {found} {differences[:3]}")
        self.say(
            f"{scenario}: books balance: {found.accounts:,} accounts, {found.entries:,} entries,"
            f" {found.approved:,} approvals answered and in the ledger, 0 differences"
        )

    async def maximum(
        self,
        mesh: Mesh,
        cards: Sequence[str],
        scenario: str,
        *,
        purchase: Purchase = Mesh.purchase,
        depth: int = DEPTH,
    ) -> list[Run]:
        """Closed loop: warm-up, then the runs, the books checked after each."""
        options = self.options
        await self._warm_up(mesh, cards, purchase=purchase, depth=depth)
        runs = []
        profile = Profile()
        for _ in range(options.runs):
            async with sampled(mesh.pid(options.profile), profile):
                run = await purchase(mesh, cards, depth=depth, seconds=options.seconds)
            self.say(f"{scenario}, {depth} in flight: {line(run)}")
            await self.check_books(mesh, scenario)
            runs.append(run)
        if options.profile:
            for shown in profile.lines():
                self.say(shown)
        return runs

    async def _warm_up(
        self, mesh: Mesh, cards: Sequence[str], *, purchase: Purchase, depth: int
    ) -> None:
        """Until each worker has most likely met every card, as one that has run for a while has."""
        seconds = self.options.warmup_s
        wanted, decided = WARMUP_CALLS_PER_CARD * len(cards), 0.0
        for _ in range(WARMUP_ROUNDS_MAX):
            run = await purchase(mesh, cards, depth=depth, seconds=seconds)
            decided += run.rate_per_s * seconds
            if decided >= wanted:
                return


def line(run: Run) -> str:
    """One run for people."""
    latency = run.latency
    used = run.cpu_us_per_call()
    named = "  ".join(f"{name} {used[name]:.0f}" for name in used if used[name] >= 1)
    errors = f"   {run.errors:,} errors" if run.errors else ""
    return (
        f"{run.rate_per_s:,.0f}/s   p50 {latency.p50_ms:.1f}  p99 {latency.p99_ms:.1f}"
        f"  max {latency.max_ms:.0f} ms   CPU µs per call: {named}{errors}"
    )


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Several runs of the same kind as one: medians, and what each was."""
    used = [run.cpu_us_per_call() for run in runs]
    latencies = [asdict(run.latency) for run in runs]
    return {
        "max_rate": round(median(run.rate_per_s for run in runs), 1),
        "errors": sum(run.errors for run in runs),
        **{name: median(one[name] for one in latencies) for name in latencies[0]},
        "cpu_us_per_call": {name: median(one[name] for one in used) for name in used[0]},
        "runs": [
            {"rate": round(run.rate_per_s, 1), "errors": run.errors, **asdict(run.latency)}
            for run in runs
        ],
    }


def point(offered: int, run: Run) -> dict[str, Any]:
    """One open-loop run at an offered rate."""
    return {
        "rate": offered,
        "reached": round(run.rate_per_s, 1),
        "errors": run.errors,
        **asdict(run.latency),
    }
