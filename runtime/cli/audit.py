"""`holdfast audit`: reads the audit log, and checks that nobody has changed it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from runtime.audit import log
from runtime.audit.entry import Written
from runtime.audit.heads import heads_in
from runtime.audit.verify import Chain, has_link, verify
from runtime.cli.audit_archive import archive_entries, part_line, parts_of
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.clock import datetime_of
from runtime.devstack import state
from runtime.pages import TOP
from runtime.postgres import connect_pool
from runtime.secrets import secret_text
from runtime.settings import Settings

T = TypeVar("T")

app = typer.Typer(
    help="Read the audit log, and check that nobody has changed it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("archive")(archive_entries)


@app.command("verify")
def verify_chains(
    *,
    heads: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="HASH", help="A head that was once logged: still there?"),
    ] = None,
    archives: Annotated[
        list[Path] | None,
        typer.Option("--archive", metavar="FILE", help="Check what `audit archive` wrote, too."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Checks every link of every chain; names the first row that is wrong. Exit 1 if there is one.

    An end that was cut off leaves a whole chain behind: so each chain is compared with what the
    logs of this home tell of it (`audit_sealed`). What other logs tell is for --head.
    """
    output = Output(as_json=as_json)
    settings, _ = state.running(load_settings(home))

    key = secret_text(settings, "audit-seal").encode()
    told = heads_in(settings.home / "logs")

    async def check(connection: Any) -> tuple[list[Chain], list[str]]:
        chains = await verify(connection, key=key, heads=told)
        return chains, [head for head in heads or () if not await has_link(connection, head)]

    parts = [part for path in archives or () for part in parts_of(path, key=key)]
    chains, missing = run_to_end(_connected(settings, check))
    intact = not missing and all(one.fault is None for one in chains)
    intact = intact and not any(part.fault for part in parts)
    output.result(
        {
            "intact": intact,
            "chains": [asdict(chain) for chain in chains],
            "missing_heads": missing,
            "archived": [asdict(part) for part in parts],
        },
        shown=Group(
            *map(part_line, parts),
            *map(_line, chains),
            *(Text(f"{head}: gone", "bold red") for head in missing),
        ),
    )
    if not intact:
        raise typer.Exit(ExitCode.DIFFERENCES)


@app.command("list")
def list_entries(
    *,
    service: Annotated[str, typer.Option(help="Only this service's.")] = "",
    actor: Annotated[str, typer.Option(help="Only what this caller did.")] = "",
    target: Annotated[str, typer.Option(help="Only what concerns this id.")] = "",
    trace: Annotated[str, typer.Option(help="Only the call with this x-request-id.")] = "",
    refused: Annotated[bool, typer.Option(help="Only refusals.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists entries, newest first."""
    output = Output(as_json=as_json)
    settings, _ = state.running(load_settings(home))
    filters = (service, actor, target, "", trace, refused)

    async def read(connection: Any) -> list[Written]:
        rows = await connection.fetch(log.SQL["list_entries"], TOP, 0, limit, *filters)
        return [log.written_of(row) for row in rows]

    found = run_to_end(_connected(settings, read))
    output.result({"entries": [_document(one) for one in found]}, shown=_table(found))


async def _connected(settings: Settings, work: Callable[[Any], Awaitable[T]]) -> T:
    """Gateway's login reads the entries of all services."""
    try:
        async with (
            await connect_pool(settings, "gateway", max_size=1) as pool,
            pool.acquire() as connection,
        ):
            return await work(connection)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise CliError(
            f"cannot read the audit log: {error or type(error).__name__}",
            hint="see `holdfast status`; PostgreSQL may be restarting",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None


def _line(chain: Chain) -> Text:
    if chain.fault is not None:
        where = f"link {chain.fault.number}, " if chain.fault.number else ""
        row = f"row {chain.fault.entry_id} of audit.entry: " if chain.fault.entry_id else ""
        return Text(f"{chain.service}: {where}{row}{chain.fault.what}", style="bold red")
    waiting = f", {chain.waiting} to be sealed" if chain.waiting else ""
    archived = f", {chain.archived} before them archived" if chain.archived else ""
    logged = f", {chain.logged} as the logs tell" if chain.logged else ""
    text = f"{chain.service}: {chain.links} links intact{logged}{archived}{waiting}"
    return Text(text, "bold green")


def _document(one: Written) -> dict[str, Any]:
    time = datetime_of(one.record_time_ms).isoformat()
    return {"id": one.id, "service": one.service, "record_time": time, **asdict(one.entry)}


def _table(found: list[Written]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("row", "time", "actor", "method", "on", "outcome"):
        table.add_column(heading, overflow="fold")
    for one in found:
        entry = one.entry
        table.add_row(
            str(one.id),
            f"{datetime_of(one.record_time_ms):%Y-%m-%d %H:%M:%S}",
            entry.actor,
            entry.method.rpartition(".")[2],
            " ".join(entry.targets),
            " ".join(filter(None, (entry.code, entry.reason))),
        )
    return table
