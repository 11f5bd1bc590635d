"""`holdfast reconcile`: compares Valkey with the ledger, and the ledger with itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from redis.exceptions import RedisError
from rich.console import Group
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from authz.reconcile import Difference
from authz.reconcile_flow import Books, Reconciler
from authz.reconcile_store import open_store
from runtime.cli import reconcile_payments
from runtime.cli.differences import difference_writer
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.reconcile_configuration import reconcile_configuration
from runtime.cli.running import run_to_end
from runtime.devstack import state
from runtime.moved_clock import clock_of_home
from runtime.settings import PARTITIONS, Settings

#: Differences that are shown; `--csv` has them all.
SHOWN_MAX = 100


def run(
    home: HomeOption = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every difference here.")
    ] = None,
    settle_timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait for the settler.")
    ] = 30.0,
    only_payments: Annotated[
        bool,
        typer.Option("--payments", help="Compare payments with the ledger and their processors."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compares every account in Valkey with the ledger, the ledger with itself, and what the
    authorizer was told of accounts, cards, users and rules with what accounts has decided.

    Works while business goes on: each account is compared as of one and the same entry. Exit 1 if
    anything differs.
    """
    output = Output(as_json=as_json)
    settings, _ = state.running(load_settings(home))
    if only_payments:
        reconcile_payments.run(settings, output, csv_file)
        return
    kept: list[Difference] = []
    with ExitStack() as stack:
        write = difference_writer(csv_file, stack, Difference)

        def tell(difference: Difference) -> None:
            write(difference)
            if len(kept) < SHOWN_MAX:
                kept.append(difference)

        progress = stack.enter_context(Progress(console=output.progress, transient=True))
        task = progress.add_task("comparing partitions", total=PARTITIONS)
        try:
            books = run_to_end(
                reconcile(
                    settings,
                    settle_timeout_s=settle_timeout_s,
                    on_difference=tell,
                    on_partition=lambda _: progress.advance(task),
                )
            )
        except (RedisError, OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise CliError(
                f"cannot read the books: {error or type(error).__name__}",
                hint="see `holdfast status`; a server may be restarting",
                exit_code=ExitCode.ENVIRONMENT,
            ) from None
    document = {**asdict(books), "shown": [asdict(difference) for difference in kept]}
    output.result(document, shown=shown(books, kept))
    if books.differences:
        raise typer.Exit(ExitCode.DIFFERENCES)


async def reconcile(
    settings: Settings,
    *,
    settle_timeout_s: float,
    on_difference: Callable[[Difference], None],
    on_partition: Callable[[int], None] = lambda _: None,
) -> Books:
    """Reconciles the running installation with these settings."""
    async with open_store(settings) as store:
        books = await Reconciler(
            store,
            clock=clock_of_home(settings.home),
            settle_timeout_s=settle_timeout_s,
            on_difference=on_difference,
            on_partition=on_partition,
        ).run()
    more = await reconcile_configuration(settings, on_difference=on_difference)
    return replace(books, differences=books.differences + more)


def shown(books: Books, kept: list[Difference]) -> Group:
    """What people see: the differences, if any, and the line that says it all."""
    line = Text(books.line(), style="bold red" if books.differences else "bold green")
    if not kept:
        return Group(line)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("what", "field", "found", "expected", "compared"):
        table.add_column(heading, overflow="fold")
    for one in kept:
        table.add_row(one.subject, one.field, one.found, one.expected, one.compared)
    more = books.differences - len(kept)
    rest = [Text(f"… and {more} more; --csv FILE writes them all")] if more else []
    return Group(table, *rest, line)
