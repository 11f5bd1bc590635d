"""`holdfast bench`: how fast this machine authorizes, and what it costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from runtime.cli.output import CliError, ExitCode, Output
from runtime.cli.running import run_to_end

#: What `--quick` compares with unless told otherwise.
_COMMITTED = Path(__file__).resolve().parents[2] / "loadtest" / "baseline.json"


def run(  # noqa: PLR0917  typer calls it
    scenarios: Annotated[
        list[str] | None,
        typer.Option("--scenario", metavar="NAME", help="Only this one; may be repeated."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A minute and a half, compared with --against.")
    ] = False,
    seconds: Annotated[int | None, typer.Option(min=1, help="Length of one run.")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Runs of each kind.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Authorizer processes.")] = None,
    accounts: Annotated[int | None, typer.Option(min=1, help="Accounts in use.")] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="People, and cards, of the scenario import.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="INSTANCE", help="Sample this process (authz-0); show functions."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with this result; exit 1 if 15 % worse."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result here.")
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw latency against rate here, as PNG and as SVG."),
    ] = None,
) -> None:
    """Starts a mesh of its own, loads it as a card network does, checks that the books balance
    after each run, and removes it again.
    """
    output = Output(as_json=False)
    given = {
        "seconds": seconds,
        "runs": runs,
        "workers": workers,
        "accounts": accounts,
        "rows": rows,
        "profile": profile,
    }
    named = {name: value for name, value in given.items() if value is not None}
    if against is None and quick:
        against = _COMMITTED if _COMMITTED.exists() else None
        if against is None:
            output.progress.print(f"there is no {_COMMITTED}: nothing to compare with", style="red")
    try:
        then = _read(against) if against else {}
        document = _measure(output, tuple(scenarios or ()), quick=quick, named=named)
        if json_file is not None:
            json_file.write_text(json.dumps(document, indent=2) + "\n")
        if chart is not None:
            from loadtest import chart as charts  # noqa: PLC0415  slow to import

            charts.draw(document, chart)
        _compare(output, then, document)
    except CliError as error:
        # Here --json names a file: what is shown is for people.
        output.error(error)
        raise typer.Exit(error.exit_code) from None


def _measure(
    output: Output, scenarios: tuple[str, ...], *, quick: bool, named: dict[str, Any]
) -> dict[str, Any]:
    """Runs the scenarios and shows what was measured."""
    try:
        from loadtest import bench, report  # noqa: PLC0415  needs more than running Holdfast does
        from loadtest.errors import BenchFailedError  # noqa: PLC0415
    except ImportError as error:
        raise CliError(
            f"{error.name} is not installed",
            hint="`make setup` installs what measuring needs",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    names = scenarios or (bench.QUICK if quick else bench.DEFAULT)
    if unknown := set(names) - set(bench.SCENARIOS):
        raise CliError(
            f"no scenario {', '.join(sorted(unknown))}",
            hint=f"there are {', '.join(bench.SCENARIOS)}",
        )
    options = replace(bench.QUICK_OPTIONS if quick else bench.FULL_OPTIONS, **named)
    with output.progress.status("") as status:
        work = bench.run(
            names,
            options,
            say=lambda text: output.progress.print(text, soft_wrap=True),
            begin=lambda name: status.update(f"measuring: {name}"),
        )
        try:
            document = run_to_end(work)
        except BenchFailedError as error:
            raise CliError(str(error), exit_code=ExitCode.DIFFERENCES) from None
    output.result(document, shown=report.shown(document))
    return document


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CliError(f"cannot read {path}: {error}") from None
    return document


def _compare(output: Output, then: dict[str, Any], now: dict[str, Any]) -> None:
    """Shows what changed; exit 1 if something is worse than noise explains."""
    if not then:
        return
    from loadtest.compare import TOLERANCE, compare  # noqa: PLC0415

    changes = compare(then, now)
    for change in changes:
        style = "bold red" if change.is_regression else "green"
        output.progress.print(change.line(), style=style)
    if any(change.is_regression for change in changes):
        raise CliError(
            f"worse by more than {TOLERANCE:.0%} than the result it was compared with",
            hint="repeat it on a machine with nothing else to do before you believe it",
            exit_code=ExitCode.DIFFERENCES,
        )
