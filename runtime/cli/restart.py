"""`holdfast restart`: new processes in the place of old ones, while calls go on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.devstack import control, state
from runtime.devstack.settings import StackSettings


def run(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="A process (authz-0), a service (authz), or all services: all."
        ),
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restarts processes of the running installation, one after the other.

    A service's new process serves before the old one is told to go, so no call fails. Envoy,
    PostgreSQL and the Valkeys have one process each: they are away for a moment, and it is told
    for how long. `all` leaves them alone.
    """
    output = Output(as_json=as_json)
    settings, _ = state.running(load_settings(home))
    with output.progress.status(f"restarting {', '.join(names)}"):
        steps = run_to_end(_restart(settings, names, output))
    output.result({"restarted": steps})


async def _restart(
    settings: StackSettings, names: list[str], output: Output
) -> list[dict[str, Any]]:
    steps = []
    async for step in control.ask(settings.run_path, {"restart": names}):
        steps.append(step)
        gap = f", away for {step['gap_s']:.1f} s" if step["gap_s"] else ""
        output.progress.print(
            f"{step['instance']}: process {step['pid']} after {step['seconds']:.1f} s{gap}"
        )
    return steps
