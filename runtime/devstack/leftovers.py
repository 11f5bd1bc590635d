"""Processes that outlived their supervisor: found by their folders, waited for, then ended.

Children die with their supervisor, but not at once: PostgreSQL takes a moment. A new start on the
same folders must not meet them.
"""

from __future__ import annotations

import asyncio

import psutil

from runtime.devstack.home import Home

_WAIT_S = 10.0
_PAUSE_S = 0.05
_MARKER = "HOLDFAST_RUN_DIR"


def find(home: Home) -> list[psutil.Process]:
    """Every other process that works in this home's data or run folder.

    PostgreSQL's processes overwrite their environment, so their working folder counts as well.
    """
    data = {str(home.server(name)) for name in ("postgres", "valkey-money", "valkey-cache")}
    ours = psutil.Process().pid
    found = []
    for process in psutil.process_iter():
        if process.pid == ours:
            continue
        try:
            folder = process.cwd()
            marker = process.environ().get(_MARKER, "")
        except (psutil.Error, OSError):
            continue
        if marker == str(home.run) or any(
            folder == path or folder.startswith(f"{path}/") for path in data
        ):
            found.append(process)
    return found


async def clear(home: Home) -> int:
    """Waits until no such process is left, kills what stays. Returns how many there were."""
    first = find(home)
    if not first:
        return 0
    left = first
    deadline = asyncio.get_running_loop().time() + _WAIT_S
    while left and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_PAUSE_S)
        left = [process for process in left if process.is_running()]
    for process in left:
        process.kill()
    # PostgreSQL's children follow their postmaster; ours are found again by their folder.
    async with asyncio.timeout(_WAIT_S):
        while find(home):  # noqa: ASYNC110  other processes' ends are no event of ours
            await asyncio.sleep(_PAUSE_S)
    return len(first)
