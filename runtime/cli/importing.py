"""`holdfast import`: takes over what is known elsewhere, from CSV files."""

from __future__ import annotations

import typer

from runtime.cli.bulk_cards import import_cards
from runtime.cli.bulk_transfers import import_transfers
from runtime.cli.bulk_users import import_users

app = typer.Typer(
    help="Take over what is known elsewhere, from CSV files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Takes over what is known elsewhere."""


app.command("users")(import_users)
app.command("cards")(import_cards)
app.command("transfers")(import_transfers)
