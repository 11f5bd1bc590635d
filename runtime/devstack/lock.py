"""One supervisor per home, by a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from runtime.devstack.errors import AlreadyRunningError

# `holder` looks by taking the lock for a moment: `acquire` tries again before it believes.
_ATTEMPTS = 5
_PAUSE_S = 0.05


class FileLock:
    """Exclusive while held. The file stays and contains the pid of its last holder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Takes the lock; AlreadyRunningError names the process that has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for attempt in range(_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt < _ATTEMPTS - 1:
                    time.sleep(_PAUSE_S)
        else:
            pid = _pid(descriptor)
            os.close(descriptor)
            raise AlreadyRunningError(
                f"{self._path.parent} is in use by process {pid}",
                pid=pid,
                hint="stop it with `holdfast down`, or choose another home with --home",
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Gives the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder(path: Path) -> int | None:
    """Pid of the process that holds the lock at `path`; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(descriptor)
    finally:
        os.close(descriptor)
    return None


def _pid(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else 0
