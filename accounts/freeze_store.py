"""Who froze a card, in PostgreSQL; always in the transaction that has the card locked."""

from __future__ import annotations

from pathlib import Path

from accounts.transaction import Transaction
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "freezes.sql")


async def note(transaction: Transaction, card_id: str, authority: int) -> None:
    """Remembers who froze the card, if nobody with more say did."""
    await transaction.connection.execute(_SQL["note"], card_id, authority)


async def noted(transaction: Transaction, card_id: str) -> int | None:
    """Who froze the card; None if nobody wrote it down."""
    found: int | None = await transaction.connection.fetchval(_SQL["select"], card_id)
    return found


async def forget(transaction: Transaction, card_id: str) -> None:
    """Forgets who froze a card that is no longer frozen."""
    await transaction.connection.execute(_SQL["forget"], card_id)
