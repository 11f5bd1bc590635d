"""The files in which Envoy tells what it refused by itself, until gateway has it in the audit log.

Envoy appends lines to `current`. Once that is large, the supervisor renames it to `earlier`, and
Envoy begins another; gateway reads `earlier` first, to its end, and removes it. So there are two
files at most, and nothing that was told is lost but what is beyond `BYTES_MAX` unread.
"""

from __future__ import annotations

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from runtime.files import make_private_folder
from runtime.log import get_logger

#: What may wait unread in each file, some 600,000 refusals: a full disk would end everything else.
BYTES_MAX = 256 * 2**20
#: What is read at once. No line is longer: Envoy takes 16 KB of headers.
PART_BYTES = 128 * 1024
PART_LINES = 128

logger = get_logger()


class Place(NamedTuple):
    """Between two lines of a file, which is known by its first line, whatever it is called."""

    file: str = ""
    offset: int = 0


class Line(NamedTuple):
    """What Envoy told of one call."""

    text: bytes
    #: Where it begins.
    place: Place


class Part(NamedTuple):
    """Some lines."""

    lines: list[Line]
    #: Where the next begins.
    place: Place
    #: Nothing will ever follow.
    finished: bool


class RefusalFiles:
    """The files of one home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "refusals"
        self.current = self._folder / "told.jsonl"
        self.earlier = self._folder / "told.1.jsonl"
        self._lock: int | None = None

    def make(self) -> None:
        """Makes what Envoy writes to."""
        make_private_folder(self._folder)
        os.close(os.open(self.current, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    @property
    def half_turned(self) -> bool:
        """Envoy still writes to `earlier`, or does not run."""
        return self.earlier.exists() and not self.current.exists()

    def turn(self, at_least: int) -> bool:
        """Renames `current` if it has so many bytes and `earlier` has been read, or if they have to
        be bounded. True: Envoy has to be told.
        """
        size, unread = _size(self.current), _size(self.earlier)
        if size < (BYTES_MAX if unread else at_least):
            return False
        if unread:
            logger.error("refusals_dropped", bytes=unread)
        self.current.replace(self.earlier)
        return True

    def lock(self) -> bool:
        """Makes this process the only reader, until `unlock` or its end; False: another is."""
        if self._lock is not None:
            return True
        make_private_folder(self._folder)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def unlock(self) -> None:
        """Lets another process read."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self, place: Place) -> Part:
        """The next lines after a place, of the older file first. A place in a file that is gone is
        the beginning of the next.
        """
        # In this order: once there is another, Envoy has closed the earlier one.
        whole = self.current.exists()
        try:
            return _read(self.earlier, place, whole=whole)
        except FileNotFoundError:
            pass
        try:
            return _read(self.current, place, whole=False)
        except FileNotFoundError:
            return Part([], place, finished=False)

    def remove_earlier(self) -> None:
        """Once it is finished, and what it has is in the audit log."""
        self.earlier.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path, place: Place, *, whole: bool) -> Part:
    """`whole`: nobody writes there any more."""
    with path.open("rb") as file:
        first = file.readline(PART_BYTES)
        if not first.endswith(b"\n") and len(first) < PART_BYTES:
            return Part([], place, finished=whole)
        name = sha256(first).hexdigest()
        known = place.file == name and place.offset <= os.fstat(file.fileno()).st_size
        begin = place.offset if known else 0
        file.seek(begin)
        found = file.read(PART_BYTES)
    lines: list[Line] = []
    at = 0
    while len(lines) < PART_LINES and (end := found.find(b"\n", at) + 1):
        lines.append(Line(found[at:end], Place(name, begin + at)))
        at = end
    if not lines and len(found) == PART_BYTES:
        # Nothing of Envoy's; whatever follows is read.
        at = len(found)
    return Part(lines, Place(name, begin + at), finished=whole and at == 0)
