"""Cards of people who are suspended: none is used while that lasts, nor changed otherwise."""

from __future__ import annotations

from dataclasses import replace

from accounts.card import Card, set_holder_suspended
from accounts.transaction import Transaction
from accounts.user_store import is_suspended


async def lock_held(transaction: Transaction, user_id: str) -> list[str]:
    """Locks the accounts on which a user has cards, or may get some: accounts come before users."""
    found = await transaction.held_accounts(user_id)
    # In the order of their ids: two who lock several accounts never wait for each other.
    for account_id in found:
        await transaction.account(account_id)
    return found


async def set_suspended(
    transaction: Transaction, user_id: str, suspended: bool, *, locked: list[str], now_ms: int
) -> None:
    """Stops all cards of a locked user, or has them go on. `locked`: what `lock_held` found. The
    authorizer is told under the user's id, which whoever answers waits for.
    """
    for account_id in await transaction.held_accounts(user_id):
        if account_id not in locked:
            # Got between the two locks. From now on, who is suspended gets no other.
            await transaction.account(account_id)
        for card in await transaction.cards_held(account_id, user_id):
            changed = set_holder_suspended(card, suspended, now_ms=now_ms)
            if changed is not card:
                await transaction.update_card(changed, key=user_id)


async def of_holder(transaction: Transaction, card: Card, owner_id: str) -> Card:
    """A new card as its holder may use it, who stays as they are until the commit."""
    suspended = await is_suspended(transaction.connection, card.user_id or owner_id)
    return replace(card, holder_suspended=suspended)
