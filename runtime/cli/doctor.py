"""`holdfast doctor`: looks at the machine and the installation, and says what to do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import ExitCode, JsonOption, Output
from runtime.clock import SystemClock, datetime_of
from runtime.devstack import checks, checks_servers, state
from runtime.devstack.checks import Check, Verdict
from runtime.devstack.errors import NotRunningError
from runtime.devstack.settings import StackSettings

_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def run(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Checks programs, folders, ports, disk, memory, certificates and servers. Exit 1 on a fail."""
    output = Output(as_json=as_json)
    settings = load_settings(home)
    with output.progress.status("looking"):
        found = asyncio.run(_look(settings))
    counts = Counter(check.verdict for check in found)
    document = {
        "checks": [asdict(check) for check in found],
        "counts": {str(verdict): counts[verdict] for verdict in Verdict},
    }
    output.result(document, shown=_table(found))
    if counts[Verdict.FAIL]:
        raise typer.Exit(ExitCode.DIFFERENCES)


async def _look(settings: StackSettings) -> list[Check]:
    try:
        running, _ = state.running(settings)
    except NotRunningError:
        running = None
    now = datetime_of(SystemClock().now_ms())
    # An installation that is up has its ports, ready or not.
    up = state.read(settings.home) is not None
    found = list(checks.machine(settings, running=up, now=now))
    found += [check async for check in checks_servers.given(settings)]
    if running is not None:
        found += [check async for check in checks_servers.running(running, given_settings=settings)]
    return found


def _table(found: Sequence[Check]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in found:
        text = Text(check.found)
        if check.hint:
            text.append(f"\n→ {check.hint}", style="bold")
        table.add_row(Text(str(check.verdict), style=_STYLES[check.verdict]), check.name, text)
    return table
