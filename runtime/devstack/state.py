"""What a supervisor tells others about itself: one small JSON file, replaced on every change."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runtime.devstack import lock
from runtime.devstack.home import Home, lock_file
from runtime.devstack.process import Process


class StateFile:
    """Writes `home/state.json`: pid, ports, folders and every process."""

    def __init__(self, home: Home, *, ports: Mapping[str, int]) -> None:
        self._home = home
        self._fixed = {
            "pid": os.getpid(),
            "started_at": time.time(),
            "home": str(home.root),
            "run_dir": str(home.run),
            "servers_dir": str(home.servers),
            "servers_user": home.user.name if home.user else None,
            "ports": dict(ports),
        }

    def write(self, processes: Iterable[Process]) -> None:
        """Replaces the file."""
        document = {
            **self._fixed,
            "processes": [
                {
                    "instance": process.spec.instance,
                    "state": str(process.state),
                    "pid": process.pid,
                    "restarts": process.restarts,
                    "last_exit": process.last_exit,
                    "listens": process.spec.listens,
                    "log": str(process.spec.log),
                }
                for process in processes
            ],
        }
        path = self._home.state_file
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps(document))
        partial.replace(path)

    def remove(self) -> None:
        """Deletes the file: nothing runs any more."""
        self._home.state_file.unlink(missing_ok=True)


def read(root: Path) -> dict[str, Any] | None:
    """State of the supervisor that holds the home at `root`; None when nobody does."""
    pid = lock.holder(lock_file(root))
    if pid is None:
        return None
    try:
        document: dict[str, Any] = json.loads((root / "state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {"pid": pid, "processes": [], "ports": {}}
    return document
