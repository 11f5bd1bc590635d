"""`holdfast status`: what a running supervisor says about its processes."""

from __future__ import annotations

import typer

from runtime.cli import processes
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import ExitCode, JsonOption, Output
from runtime.devstack import state
from runtime.devstack.errors import NotRunningError


def run(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Shows every process: state, pid, restarts, where it listens. Exit 1 if one is not ready."""
    output = Output(as_json=as_json)
    root = load_settings(home).home
    document = state.read(root)
    if document is None:
        raise NotRunningError(f"nothing runs on {root}", hint="start it with `holdfast up`")
    complete = "run_dir" in document
    output.result(
        state.without_logins(document),
        shown=processes.shown(document)
        if complete
        else f"process {document['pid']} is only just starting",
    )
    if not document["ready"] or any(p["state"] != "ready" for p in document["processes"]):
        raise typer.Exit(ExitCode.DIFFERENCES)
