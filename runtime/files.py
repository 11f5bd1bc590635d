"""Files that others watch or that hold secrets: private from the first byte, replaced by rename."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkstemp


def make_private_folder(path: Path) -> None:
    """Makes a folder only its owner can enter (0700), whatever the umask is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(exist_ok=True)
    path.chmod(0o700)


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Replaces a file by rename: readers see the old content or the new, never a part."""
    descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
