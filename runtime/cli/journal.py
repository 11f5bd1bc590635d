"""`holdfast journal`: what happened to an account, entry by entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import asyncpg
import typer
from redis.exceptions import RedisError
from rich.table import Table
from rich.text import Text

from authz.journal import JournalEntry, read_journal
from runtime import ids
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.clock import datetime_of
from runtime.devstack import state
from runtime.money import format_minor

#: Room for the longest type of an entry.
_ENTRY_WIDTH_MIN = 24

app = typer.Typer(
    help="Show what happened to an account.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Shows what happened to an account."""


@app.command("show")
def show(
    account_id: Annotated[str, typer.Argument(metavar="ACCOUNT_ID", help="acct_…")],
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="Only the last so many entries.")
    ] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows an account's entries, newest last, settled or not, with lines and balances after."""
    output = Output(as_json=as_json)
    if not ids.is_id(account_id, ids.ACCOUNT):
        raise CliError(f"{account_id!r} is no account id: acct_ and 34 hex digits")
    settings, _ = state.running(load_settings(home))
    try:
        entries = run_to_end(read_journal(settings, account_id, limit=limit))
    except (RedisError, OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise CliError(
            f"cannot read the journal: {error or type(error).__name__}",
            hint="see `holdfast status`; a server may be restarting",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    if not entries:
        raise CliError(f"no entry of {account_id}", exit_code=ExitCode.DIFFERENCES)
    output.result(
        {"account_id": account_id, "entries": [asdict(one) for one in entries]},
        shown=_table(entries),
    )


def _table(entries: Sequence[JournalEntry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("seq", justify="right", no_wrap=True)
    table.add_column("entry", overflow="fold", min_width=_ENTRY_WIDTH_MIN)
    for heading in ("amount", "posted", "held", "available"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in entries:
        table.add_row(*_cells(one), style="" if one.settled else "yellow")
    return table


def _cells(one: JournalEntry) -> tuple[str | Text, ...]:
    def money(amount_minor: int) -> str:
        return format_minor(amount_minor, one.currency).partition(" ")[0]

    words = [one.type, one.reason, "" if one.settled else "not settled"]
    text = Text(", ".join(word for word in words if word))
    details = [f"{datetime_of(one.recorded_at_ms):%Y-%m-%d %H:%M:%S}"]
    details.append(one.authorization_id or one.payment_id or one.card_id)
    details += [f"{line.ledger_account} {money(line.amount_minor)}" for line in one.lines]
    text.append("".join(f"\n{detail}" for detail in details if detail), style="dim")
    balances = (one.posted_minor, one.held_minor, one.available_minor)
    return (
        str(one.seq),
        text,
        f"{money(one.amount_minor)} {one.currency}" if one.amount_minor else "",
        *(money(amount) for amount in balances),
    )
