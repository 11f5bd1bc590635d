"""What a supervisor tells others about itself: one small JSON file, replaced on every change."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runtime.devstack import lock
from runtime.devstack.errors import NotRunningError
from runtime.devstack.home import Home, lock_file
from runtime.devstack.process import Process
from runtime.devstack.settings import StackSettings

_URLS = ("postgres_dsn", "redis_url", "cache_url")


class StateFile:
    """Writes `home/state.json` (0600): pid, ports, folders, URLs and every process."""

    def __init__(self, home: Home, *, settings: StackSettings, ports: Mapping[str, int]) -> None:
        self._path = home.state_file
        self._fixed = {
            "pid": os.getpid(),
            "started_at": time.time(),
            "home": str(home.root),
            "run_dir": str(home.run),
            "servers_dir": str(home.servers),
            "servers_user": home.user.name if home.user else None,
            "postgres_dsn": settings.postgres_dsn,
            "redis_url": settings.redis_url,
            "cache_url": settings.cache_url,
            "authz_workers": settings.authz_workers,
            "ports": dict(ports),
        }

    def write(self, processes: Iterable[Process], *, ready: bool) -> None:
        """Replaces the file. `ready`: the start is complete (a process may be restarting)."""
        document = {
            **self._fixed,
            "ready": ready,
            "processes": [_of(process) for process in processes],
        }
        partial = self._path.with_suffix(".new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file)
        partial.replace(self._path)

    def remove(self) -> None:
        """Deletes the file: nothing runs any more."""
        self._path.unlink(missing_ok=True)


def _of(process: Process) -> dict[str, Any]:
    return {
        "instance": process.spec.instance,
        "state": str(process.state),
        "pid": process.pid,
        "restarts": process.restarts,
        "last_exit": process.last_exit,
        "listens": process.spec.listens,
        "log": str(process.spec.log),
    }


def read(root: Path) -> dict[str, Any] | None:
    """State of the supervisor that holds the home at `root`; None when nobody does.

    While it is only just starting there is its pid and nothing else.
    """
    pid = lock.holder(lock_file(root))
    if pid is None:
        return None
    try:
        document: dict[str, Any] = json.loads((root / "state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        document = {}
    if document.get("pid") != pid:
        # What a killed predecessor wrote.
        document = {}
    return {"pid": pid, "ready": False, "processes": [], "ports": {}} | document


def without_logins(document: dict[str, Any]) -> dict[str, Any]:
    """The same state, fit to be shown: the URLs of servers that others run may carry passwords."""
    urls = {name: _without_login(document[name]) for name in _URLS if name in document}
    return document | urls


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def running(settings: StackSettings) -> tuple[StackSettings, dict[str, int]]:
    """Settings and Envoy's ports of the running installation, for commands that talk to it.

    NotRunningError unless its start is complete.
    """
    document = read(settings.home)
    if document is None or not document["ready"]:
        raise NotRunningError(
            f"nothing runs on {settings.home}"
            if document is None
            else f"the supervisor of {settings.home} (process {document['pid']}) is still starting",
            hint="start it with `holdfast up`, or name another home with --home",
        )
    fields = (*_URLS, "authz_workers")
    found = {"run_dir": Path(document["run_dir"]), **{name: document[name] for name in fields}}
    return settings.model_copy(update=found), document["ports"]
