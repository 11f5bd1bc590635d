"""Where a process's time goes: py-spy samples it from outside while a run lasts."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

_PY_SPY = Path(sys.executable).with_name("py-spy")
_SAMPLES_PER_S = 250
_SHOWN = 30


@dataclass(slots=True)
class Profile:
    """Samples by function: in the function itself, and in it or what it called."""

    samples: int = 0
    own: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)

    def add(self, lines: Iterable[str]) -> None:
        """Adds stacks as py-spy writes them raw: `outer;…;inner count`."""
        for line in lines:
            stack, _, count = line.rpartition(" ")
            frames = stack.split(";")
            self.samples += int(count)
            self.own[frames[-1]] += int(count)
            for frame in set(frames):
                self.total[frame] += int(count)

    def lines(self) -> list[str]:
        """The functions that take most, in percent of all samples."""
        whole = max(self.samples, 1) / 100
        shown = [f"{self.samples:,} samples; own %, total %, function:"]
        shown += [
            f"{count / whole:6.1f} {self.total[name] / whole:6.1f}  {name}"
            for name, count in self.own.most_common(_SHOWN)
        ]
        return shown


@asynccontextmanager
async def sampled(pid: int | None, profile: Profile) -> AsyncIterator[None]:
    """Samples what holds the GIL until the block ends: threads that wait for calls would look
    busy. No pid: does nothing.
    """
    if pid is None:
        yield
        return
    with TemporaryDirectory(prefix="holdfast-load-") as folder:
        path = Path(folder) / "stacks"
        process = await asyncio.create_subprocess_exec(
            *(str(_PY_SPY), "record", "--pid", str(pid), "--output", str(path)),
            *("--format", "raw", "--rate", str(_SAMPLES_PER_S), "--function", "--gil"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            if process.returncode is None:
                # It writes what it has on an interrupt.
                process.send_signal(2)
            await process.wait()
        if path.exists():
            profile.add(path.read_text().splitlines())
