"""`holdfast rehydrate`: rebuilds the money Valkey from the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

import asyncpg
import typer
from redis.exceptions import RedisError
from rich.console import Group
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from authz.rehydrate import Options, RehydrateRefusedError, Rehydration, Report
from authz.rehydrate_journal import Unsettled
from authz.rehydrate_state import IncompleteLedgerError
from authz.rehydrate_store import gate_is_open, open_store
from authz.settings import AuthzSettings
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.devstack import lock, state
from runtime.devstack.home import lock_file
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.moved_clock import clock_of_home
from runtime.settings import PARTITIONS


def run(
    home: HomeOption = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Rebuild although Valkey agrees with the ledger.")
    ] = False,
    discard_unsettled: Annotated[
        bool,
        typer.Option(
            "--discard-unsettled",
            help="Give up entries that do not continue the ledger; each is listed.",
        ),
    ] = False,
    restart_partitions: Annotated[
        bool,
        typer.Option("--restart-partitions", help="Start stopped partitions again."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Settles what Valkey's journal still has, then rebuilds Valkey from the ledger.

    Calls are refused until it is done; nothing that is settled is lost. Whoever interrupts it
    leaves the gate closed, and runs it again. If nothing runs on this home, the servers are started
    for it.

    Exit 0: rebuilt. 1: refused, and why.
    """
    output = Output(as_json=as_json)
    given = load_settings(home)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
    )
    options = Options(
        force=force, discard_unsettled=discard_unsettled, restart_partitions=restart_partitions
    )
    try:
        with Progress(*columns, console=output.progress, transient=True) as progress:
            report = run_to_end(_rehydrate(given, options, progress))
    except RehydrateRefusedError as error:
        _refuse(error, output)
    except IncompleteLedgerError as error:
        raise CliError(
            f"the ledger is not complete: {error}",
            hint="restore PostgreSQL from a backup; the gate stays closed",
            exit_code=ExitCode.DIFFERENCES,
        ) from None
    except (RedisError, OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise CliError(
            f"a server failed: {error or type(error).__name__}",
            hint="see `holdfast status`; then run it again: it begins anew",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    else:
        output.result(asdict(report), shown=_shown(report))


async def _rehydrate(given: StackSettings, options: Options, progress: Progress) -> Report:
    task = progress.add_task("connecting", total=PARTITIONS)
    async with _servers(given, progress) as settings, open_store(settings) as store:
        return await Rehydration(
            store,
            settings,
            clock=clock_of_home(settings.home),
            options=options,
            healthy=lambda: gate_is_open(settings),
            on_step=lambda step: progress.update(task, description=step),
            on_partition=lambda _: progress.advance(task),
        ).run()


@asynccontextmanager
async def _servers(given: StackSettings, progress: Progress) -> AsyncIterator[AuthzSettings]:
    """Settings of the running installation; if none runs, PostgreSQL and Valkey are started."""
    if lock.holder(lock_file(given.home)) is not None:
        yield _authz(state.running(given)[0])
        return
    progress.console.print(f"nothing runs on {given.home}: starting its servers for this only")
    async with Devstack(given, plan=Plan()) as stack:
        yield _authz(stack.settings)


def _authz(settings: StackSettings) -> AuthzSettings:
    names = ("home", "run_dir", "postgres_dsn", "redis_url")
    return AuthzSettings(**{name: getattr(settings, name) for name in names}, instance="recovery")


def _refuse(error: RehydrateRefusedError, output: Output) -> None:
    if not output.as_json:
        if error.unsettled:
            output.progress.print(_unsettled(error.unsettled))
        raise CliError(str(error), hint=error.hint, exit_code=ExitCode.DIFFERENCES) from None
    document: dict[str, Any] = {"error": {"message": str(error), "hint": error.hint}}
    output.result(document | {"unsettled": [asdict(one) for one in error.unsettled]})
    raise typer.Exit(ExitCode.DIFFERENCES) from None


def _shown(report: Report) -> Group:
    rebuilt = report.rebuilt
    parts: list[Any] = []
    if report.discarded:
        parts += [Text("given up:", style="bold red"), _unsettled(report.discarded)]
    if report.restarted:
        names = ", ".join(str(partition) for partition in report.restarted)
        parts.append(Text(f"started again: partitions {names}", style="yellow"))
    parts += [
        Text(f"partition {partition} stays stopped: {because}", style="yellow")
        for partition, because in report.stopped.items()
    ]
    parts.append(
        Text(
            f"rebuilt in {report.seconds:.1f} s, epoch {report.epoch}: {rebuilt.accounts:,}"
            f" accounts, {rebuilt.cards:,} cards, {rebuilt.holds:,} authorizations,"
            f" {rebuilt.payments:,} payments, {rebuilt.records:,} answers,"
            f" {rebuilt.windows:,} windows of limits;"
            f" {report.settled:,} entries settled first",
            style="bold green",
        )
    )
    return Group(*parts)


def _unsettled(entries: Sequence[Unsettled]) -> Table:
    """Every entry: what is given up is told in full."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("partition", "entry", "type", "account", "amount", "request", "because"):
        table.add_column(heading, overflow="fold")
    for one in entries:
        amount = str(one.amount_minor) if one.type else ""
        table.add_row(
            *(str(one.partition), one.entry, one.type, one.account_id, amount, one.request_id),
            one.because,
        )
    return table
