"""`holdfast bench`: how fast this machine authorizes, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.output import CliError, ExitCode, Output
from runtime.cli.running import run_to_end


def run(  # noqa: PLR0917  typer calls it
    scenarios: Annotated[
        list[str] | None,
        typer.Option("--scenario", metavar="NAME", help="Only this one; may be repeated."),
    ] = None,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="Length of one run.")] = 6,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Authorizer processes.")] = 2,
    accounts: Annotated[int, typer.Option("--accounts", min=1, help="Accounts in use.")] = 10_000,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs of each kind.")] = 3,
    profile: Annotated[
        str,
        typer.Option(metavar="INSTANCE", help="Sample this process (authz-0) and show functions."),
    ] = "",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything here.")
    ] = None,
) -> None:
    """Starts a mesh of its own, loads it as a card network does, checks that the books balance
    after each run, and removes it again.
    """
    output = Output(as_json=False)
    try:
        from loadtest import bench  # noqa: PLC0415  needs more than running Holdfast does
        from loadtest.session import Options  # noqa: PLC0415
    except ImportError as error:
        raise CliError(
            f"{error.name} is not installed",
            hint="`make setup` installs what measuring needs",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    names = scenarios or list(bench.SCENARIOS)
    if unknown := set(names) - set(bench.SCENARIOS):
        raise CliError(
            f"no scenario {', '.join(sorted(unknown))}",
            hint=f"there are {', '.join(bench.SCENARIOS)}",
        )
    options = Options(
        seconds=seconds, workers=workers, accounts=accounts, runs=runs, profile=profile
    )
    document = run_to_end(
        bench.run(names, options, say=lambda text: output.progress.print(text, soft_wrap=True))
    )
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=2) + "\n")
