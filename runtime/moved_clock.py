"""A clock that is moved ahead: a month of billing in a moment, in homes that are for nothing else.

Such a home has a file, `clock`, which says by how many milliseconds the time of its books is ahead
of the machine's. It is made with the home, before anything is in the books, and never taken away:
what is in them may lie ahead of the machine's clock for good. `holdfast up` refuses such a home
unless it is told `--movable-clock`, and refuses that for a home that has kept the machine's time.

The processes that keep books (authz, accounts, payments) and the commands that compare them go by
this clock. What Envoy, gateway or another machine checks stays with the machine's clock: tokens,
sessions, second factors, keys, certificates, the TTLs of Valkey. A process of any other home looks
for the file once, when it starts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from runtime.clock import Clock, SystemClock
from runtime.log import get_logger
from runtime.settings import Settings

#: How often the file is looked at. Who has moved the clock waits twice that for everybody.
LOOK_S = 0.1
#: Ten years: longer than any card or agreement here lasts.
AHEAD_MS_MAX = 10 * 366 * 86_400_000
_MARK = "clock"

logger = get_logger()


class ClockFileError(Exception):
    """The file says no time that a clock may be ahead by."""


class MovedClock:
    """The machine's clock and what the file adds to it; never less than before."""

    def __init__(
        self,
        path: Path,
        machine: Clock | None = None,
        *,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path = path
        self._machine = machine or SystemClock()
        self._monotonic = monotonic
        self._look_at = monotonic()
        self._seen: tuple[int, int] | None = None
        self._ahead_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        if (now := self._monotonic()) >= self._look_at:
            self._look_at = now + int(LOOK_S * 1e9)
            self._look()
        return self._machine.now_ms() + self._ahead_ms

    def _look(self) -> None:
        found = self._path.stat()
        seen = (found.st_mtime_ns, found.st_ino)
        if seen != self._seen:
            self._ahead_ms = max(self._ahead_ms, _read(self._path))
            self._seen = seen


def clock_of(settings: Settings) -> Clock:
    """The clock of a home's books, for processes."""
    clock = clock_of_home(settings.home)
    if isinstance(clock, MovedClock):
        logger.warning("clock_is_movable", ahead_ms=ahead_ms(settings.home))
    return clock


def clock_of_home(home: Path) -> Clock:
    """The same, for commands."""
    return MovedClock(_path(home)) if is_movable(home) else SystemClock()


def is_movable(home: Path) -> bool:
    """Whether a home's clock can be moved."""
    return _path(home).exists()


def make_movable(home: Path) -> None:
    """Makes the clock of a new home movable. The home's folder exists."""
    if not is_movable(home):
        _write(home, 0)


def ahead_ms(home: Path) -> int:
    """By how much a home's clock is ahead."""
    return _read(_path(home)) if is_movable(home) else 0


def move_ahead(home: Path, by_ms: int) -> int:
    """Moves a movable clock; returns by how much it is ahead now."""
    assert by_ms >= 0, "time does not go back"
    assert is_movable(home), "only where the home was made for it"
    found = ahead_ms(home) + by_ms
    if found > AHEAD_MS_MAX:
        raise ClockFileError(f"{found} ms are more than a clock may be ahead, {AHEAD_MS_MAX}")
    _write(home, found)
    return found


def _path(home: Path) -> Path:
    return home / _MARK


def _read(path: Path) -> int:
    text = path.read_text().strip()
    if not text.isdecimal() or int(text) > AHEAD_MS_MAX:
        raise ClockFileError(f"{path} must say milliseconds, at most {AHEAD_MS_MAX}")
    return int(text)


def _write(home: Path, value: int) -> None:
    """Whole or not at all, as another file: a reader never sees half of it."""
    partial = home / f".{_MARK}.{os.getpid()}"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{value}\n")
    partial.replace(_path(home))
