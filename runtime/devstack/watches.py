"""Watches of files: Envoy follows its certificates with them, and aborts when there are none left.

Linux counts them per user, over all programs; other meshes and editors have their share.
"""

from __future__ import annotations

import ctypes
import errno
import os

from runtime.devstack.errors import DevstackError

#: inotify instances of one Envoy of ours.
NEEDED = 16

_HINT = "stop other meshes, or raise it: sysctl fs.inotify.max_user_instances=1024"


class NoWatchesError(DevstackError):
    """Not enough inotify instances are left for this user."""


def free(most: int) -> int:
    """How many inotify instances this user can have now, counted up to `most`."""
    library = ctypes.CDLL(None, use_errno=True)
    made: list[int] = []
    try:
        while len(made) < most:
            descriptor = library.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                # Other errors are of systems that do not count: Envoy may have its own way there.
                return len(made) if ctypes.get_errno() == errno.EMFILE else most
            made.append(descriptor)
    finally:
        for descriptor in made:
            os.close(descriptor)
    return most


def require() -> None:
    """Raises NoWatchesError unless an Envoy can have its watches."""
    found = free(NEEDED)
    if found < NEEDED:
        raise NoWatchesError(
            f"this user has {found} inotify instances left, and Envoy needs {NEEDED}", hint=_HINT
        )
