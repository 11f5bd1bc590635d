"""`holdfast down`: stops a running supervisor."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.devstack import lock
from runtime.devstack.errors import NotRunningError
from runtime.devstack.home import lock_file

_PAUSE_S = 0.05


def run(
    home: HomeOption = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait for its end.")
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Stops the supervisor of this home with all its processes, and waits for their end."""
    output = Output(as_json=as_json)
    root = load_settings(home).home
    pid = lock.holder(lock_file(root))
    if pid is None:
        raise NotRunningError(f"nothing runs on {root}")
    began = time.monotonic()
    with output.progress.status(f"stopping process {pid}"):
        _terminate(root, pid)
        _wait(root, pid, timeout_s=timeout_s)
    seconds = time.monotonic() - began
    output.result(
        {"pid": pid, "stopped_after_s": round(seconds, 2)},
        shown=f"stopped process {pid} in {seconds:.1f} s",
    )


def _terminate(root: Path, pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor names the process; if it still holds the lock, it is the right one.
        if lock.holder(lock_file(root)) == pid:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except PermissionError:
        raise CliError(
            f"process {pid} belongs to another user",
            hint="run `holdfast down` as the user who started it",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    finally:
        os.close(descriptor)


def _wait(root: Path, pid: int, *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while lock.holder(lock_file(root)) == pid:
        if time.monotonic() > deadline:
            raise CliError(
                f"process {pid} has not ended after {timeout_s:.0f} s",
                hint=f"see {root}/logs, or end it with `kill -9 {pid}`: its processes end with it",
                exit_code=ExitCode.DIFFERENCES,
            )
        time.sleep(_PAUSE_S)
