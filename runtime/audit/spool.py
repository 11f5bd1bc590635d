"""Audit entries that PostgreSQL has not taken yet, in a file on this machine's disk.

Each process has a file of its own and holds a lock on it; a file without a lock was left behind by
a process that died, and whoever comes by next writes what it has. An entry has an id, so that
writing it again does nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from runtime.audit.entry import AuditEntry
from runtime.files import make_private_folder

_SUFFIX = ".jsonl"


class Pending(NamedTuple):
    """An entry on its way to the table."""

    write_id: UUID
    #: When it was made.
    time_ms: int
    entry: AuditEntry


class SpoolFile:
    """An open file, locked."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        # A thread appends while the event loop empties it.
        self._lock = threading.Lock()

    def append(self, pending: Iterable[Pending]) -> None:
        """Returns when they are on disk."""
        text = "".join(_line(one) for one in pending).encode()
        with self._lock:
            size = os.fstat(self._descriptor).st_size
            try:
                # A process that dies in between leaves a part of a line, of which nobody was told.
                while text:
                    text = text[os.write(self._descriptor, text) :]
                os.fdatasync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, size)
                raise

    def read(self) -> tuple[list[Pending], int]:
        """What it has, and how many bytes that is."""
        found = self.path.read_bytes()
        whole = found[: found.rfind(b"\n") + 1]
        return [one for line in whole.splitlines() if (one := _parsed(line))], len(found)

    def empty(self, *, size: int) -> bool:
        """Forgets what was read; False if more has come since."""
        with self._lock:
            if os.fstat(self._descriptor).st_size != size:
                return False
            os.ftruncate(self._descriptor, 0)
            return True

    def remove(self) -> None:
        """Deletes it; who holds it lets it go as well."""
        self.path.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Leaves it to whoever comes next."""
        os.close(self._descriptor)


class Spool:
    """The files of one service: `folder` is the same for all of its processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: SpoolFile | None = None

    @property
    def own(self) -> SpoolFile:
        """The process's file, made when it is first needed."""
        if self._own is None:
            make_private_folder(self._folder)
            while (made := _made(self._folder / f"{uuid4().hex}{_SUFFIX}")) is None:
                pass
            _sync(self._folder)
            self._own = made
        return self._own

    def close(self) -> None:
        """Removes this process's file if there is nothing in it, or leaves it to others."""
        if self._own is not None:
            if self._own.read()[1] == 0:
                self._own.remove()
            self._own.let_go()
            self._own = None

    @contextmanager
    def left_behind(self) -> Iterator[list[SpoolFile]]:
        """Files of processes that are gone, each for whoever is first."""
        mine = self._own.path if self._own else None
        paths = sorted(self._folder.glob(f"*{_SUFFIX}")) if self._folder.is_dir() else []
        files = [one for path in paths if path != mine and (one := _open(path, 0))]
        try:
            yield files
        finally:
            for file in files:
                file.let_go()


def _made(path: Path) -> SpoolFile | None:
    """A new file, locked; None if somebody has taken it for one that was left behind."""
    file = _open(path, os.O_CREAT)
    if file is not None and not path.exists():
        file.let_go()
        return None
    return file


def _open(path: Path, flags: int) -> SpoolFile | None:
    """Opens and locks a file; None if somebody has it, or it has just gone."""
    try:
        descriptor = os.open(path, flags | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return SpoolFile(path, descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(pending: Pending) -> str:
    document = {
        "write_id": pending.write_id.hex,
        "time_ms": pending.time_ms,
        "entry": asdict(pending.entry),
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _parsed(line: bytes) -> Pending | None:
    """None for a part of a line, which a process that died has left."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    entry = found["entry"]
    lists = {"roles": tuple(entry["roles"]), "targets": tuple(entry["targets"])}
    return Pending(
        write_id=UUID(found["write_id"]),
        time_ms=found["time_ms"],
        entry=AuditEntry(**entry | lists),
    )
