"""How many open cards an account may have: as many as its programme says."""

from __future__ import annotations

from pathlib import Path

from accounts.account import Account
from accounts.programme import OPEN_CARDS_MAX
from accounts.transaction import Transaction
from runtime.clock import datetime_of
from runtime.errors import FailedPrecondition
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "room.sql")


async def require_room(transaction: Transaction, account: Account, *, now_ms: int) -> None:
    """Refuses another card where there are enough. Whoever else adds one to the account waits until
    the commit: two never take the last place.
    """
    connection = transaction.connection
    await connection.execute(_SQL["lock_cards"], account.id)
    now = datetime_of(now_ms)
    count = await connection.fetchval(_SQL["count_open_cards"], account.id, now.year, now.month)
    found = await connection.fetchval(_SQL["select_open_cards_max"], account.programme_id)
    most = OPEN_CARDS_MAX if found is None else int(found)
    if count >= most:
        raise FailedPrecondition(
            f"the account has {count} open cards, of at most {most}: close those that are not used"
            " any more, single-use cards among them",
            reason="TOO_MANY_CARDS",
            metadata={"account_id": account.id, "open_cards_max": str(most)},
        )
