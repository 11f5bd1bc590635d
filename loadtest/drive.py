"""Runs the generator in a process of its own, and looks at the mesh's processes meanwhile."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from loadtest.errors import GeneratorFailedError
from loadtest.job import Calls, Job
from loadtest.outcome import Outcome
from loadtest.percentiles import Latency
from loadtest.processes import Processes, used_between

_CHECKOUT = Path(__file__).resolve().parents[1]
DECIDED = (Outcome.APPROVED, Outcome.DECLINED, Outcome.OK)
#: No run is longer, its answers waited for.
RUN_SECONDS_MAX = 600


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the generator, as it was measured."""

    job: Job
    calls: Calls
    #: From the first call to the last answer.
    seconds: float
    generator_cpu_s: float
    #: CPU seconds by group of processes while the run lasted (those that settle it: until it was
    #: settled); empty if nobody looked.
    cpu_s: dict[str, float]

    @cached_property
    def counts(self) -> Counter[int]:
        """Ended calls by outcome."""
        return Counter(self.calls.outcomes)

    @property
    def decided(self) -> int:
        """Calls that were answered with a decision."""
        return sum(self.counts[outcome] for outcome in DECIDED)

    @property
    def errors(self) -> int:
        """All others."""
        return len(self.calls.outcomes) - self.decided

    @property
    def rate_per_s(self) -> float:
        """Decisions per second."""
        return self.decided / self.seconds if self.seconds else 0.0

    @cached_property
    def latency(self) -> Latency:
        """Latency of the decided calls."""
        pairs = zip(self.calls.seconds, self.calls.outcomes, strict=True)
        return Latency.of(seconds for seconds, outcome in pairs if outcome in DECIDED)

    def cpu_us_per_call(self) -> dict[str, float]:
        """CPU microseconds per decision: of the generator, and of each group."""
        calls = max(self.decided, 1)
        used = {"generator": self.generator_cpu_s, **self.cpu_s}
        return {name: round(seconds * 1e6 / calls, 1) for name, seconds in used.items()}


async def drive(job: Job, tails: bytes, *, watched: Processes | None = None) -> Run:
    """Runs one job to its end."""
    with tempfile.TemporaryDirectory(prefix="holdfast-load-") as name:
        folder = Path(name)
        job.write(folder, tails)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtest.generator", str(folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_CHECKOUT,
        )
        try:
            async with asyncio.timeout(RUN_SECONDS_MAX):
                await _line(process)
                before = watched.cpu_s() if watched else {}
                assert process.stdin is not None, "a pipe was asked for"
                process.stdin.write(b"go\n")
                report = await _line(process)
                after = watched.cpu_s() if watched else {}
                await _line(process)
                await process.wait()
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        return Run(
            job=job,
            calls=Calls.read(folder),
            seconds=report["seconds"],
            generator_cpu_s=report["cpu_s"],
            cpu_s=used_between(before, after),
        )


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None, "a pipe was asked for"
    line = await process.stdout.readline()
    if not line:
        raise GeneratorFailedError("the load generator ended; its error is above")
    report: dict[str, Any] = json.loads(line)
    return report
