"""The lock of a home: held by one, seen by others, released by the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.devstack import lock
from runtime.devstack.errors import AlreadyRunningError
from runtime.devstack.lock import FileLock


def test_second_holder_is_refused_by_name(tmp_path: Path) -> None:
    """Goal: the refusal names the process; after release the lock is free."""
    path = tmp_path / "lock"
    assert lock.holder(path) is None
    first = FileLock(path)
    first.acquire()
    assert lock.holder(path) == os.getpid()
    with pytest.raises(AlreadyRunningError, match=str(os.getpid())) as refused:
        FileLock(path).acquire()
    assert refused.value.pid == os.getpid()
    first.release()
    assert lock.holder(path) is None
    FileLock(path).acquire()


def test_children_do_not_keep_the_lock(tmp_path: Path) -> None:
    """Goal: what the holder started does not hold on after it; the file alone means nothing."""
    path = tmp_path / "lock"
    held = FileLock(path)
    held.acquire()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        held.release()
        assert lock.holder(path) is None
        child.communicate(b"\n")
    assert path.read_text().strip() == str(os.getpid())
