"""A mesh of one's own for a while: free ports, a temporary home, nothing left behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runtime import moved_clock
from runtime.devstack import home as homes
from runtime.devstack import osuser
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan

#: Others may pass through, and see nothing: started as root, the servers run as somebody else.
_PASSAGE = 0o711


def _whole_mesh(settings: StackSettings) -> Plan:
    return Plan.whole_mesh(settings, first_port=0)


@asynccontextmanager
async def temporary_mesh(
    plan: Callable[[StackSettings], Plan] = _whole_mesh,
    *,
    movable_clock: bool = False,
    **fields: Any,
) -> AsyncIterator[Devstack]:
    """A mesh on free ports, the whole one unless `plan` says otherwise; at the end its processes
    and everything it wrote are gone. `fields` are settings. `movable_clock`: see
    `runtime.moved_clock`.

    It starts servers of its own, whatever servers the environment names.
    """
    folder = _folder()
    settings = StackSettings(
        home=folder / "home",
        servers_dir=_servers_dir(folder),
        postgres_dsn=None,
        redis_url=None,
        cache_url=None,
        **fields,
    )
    if movable_clock:
        homes.make_root(settings.home)
        moved_clock.make_movable(settings.home)
    try:
        async with Devstack(settings, plan=plan(settings)) as stack:
            yield stack
    finally:
        # Also what lies outside of the folder: the run folder, when paths are too long for sockets.
        homes.remove(settings)
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
    folder.chmod(_PASSAGE)
    return folder


def _servers_dir(folder: Path) -> Path | None:
    """Beside the home, unless the servers' user cannot get there; None is the default place."""
    user = osuser.server_user(folder / "none")
    if user is not None and not osuser.reaches(user, folder.parent):
        return None
    return folder / "servers"
