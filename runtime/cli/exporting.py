"""`holdfast export`: writes what is known to CSV files."""

from __future__ import annotations

import typer

from runtime.cli.bulk_cards import export_cards
from runtime.cli.bulk_users import export_users

app = typer.Typer(
    help="Write what is known to CSV files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Writes what is known."""


app.command("users")(export_users)
app.command("cards")(export_cards)
