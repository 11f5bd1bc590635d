"""Many new accounts and cards in PostgreSQL: each kind of row with one statement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accounts import rows
from accounts.account import Account
from accounts.card import Card
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "card_imports.sql")


async def insert(
    connection: Any,
    accounts: Sequence[Account],
    cards: Sequence[Card],
    changes: Sequence[tuple[Any, ...]],
) -> None:
    """Adds accounts, then cards, then the history's lines (the parameters of `insert_change`)."""
    for query, lines in (
        ("insert_accounts", [rows.account_values(one) for one in accounts]),
        ("insert_cards", [rows.card_values(one) for one in cards]),
        ("insert_changes", changes),
    ):
        if lines:
            await connection.execute(_SQL[query], *columns(lines))


def columns(lines: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    """Rows turned into columns, as `unnest` wants them."""
    return tuple(list(column) for column in zip(*lines, strict=True))
