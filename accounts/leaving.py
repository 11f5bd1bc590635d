"""People who leave an account that they shared: their cards end with it."""

from __future__ import annotations

from accounts.account_user import AccountUser, UserState, remove_user
from accounts.card import Card, Transition, move
from accounts.machine import IllegalTransition
from accounts.transaction import Transaction


async def leave(
    transaction: Transaction, user: AccountUser, *, now_ms: int, key: str = ""
) -> AccountUser | IllegalTransition:
    """Ends the sharing of a locked account by a locked user, and closes the user's cards. `key`:
    see `Transaction.update_card`.
    """
    changed = remove_user(user, now_ms=now_ms)
    if isinstance(changed, IllegalTransition) or changed is user:
        return changed
    await _close_cards(transaction, user.account_id, user.user_id, now_ms=now_ms, key=key)
    await transaction.update_account_user(changed, key=key)
    return changed


async def leave_all(
    transaction: Transaction, user_id: str, *, now_ms: int, key: str, owner_id: str = ""
) -> None:
    """Ends all that a user has of others' accounts; of one owner's unless `owner_id` is empty. The
    authorizer is told under `key`, which whoever answers waits for.
    """
    # In the order of their ids: two who lock several accounts never wait for each other.
    for account_id in await transaction.shared_accounts(user_id, owner_id=owner_id):
        # Locked for a change: nobody gives the user a card in the meantime.
        await transaction.account(account_id)
        user = await transaction.steady_account_user(account_id, user_id)
        if user.state is UserState.ACTIVE:
            user = await transaction.account_user(account_id, user_id)
            await leave(transaction, user, now_ms=now_ms, key=key)
        else:
            await _close_cards(transaction, account_id, user_id, now_ms=now_ms, key=key)


async def _close_cards(
    transaction: Transaction, account_id: str, user_id: str, *, now_ms: int, key: str
) -> None:
    for card in await transaction.cards_of(account_id, user_id):
        closed = move(card, Transition.CLOSE, now_ms=now_ms)
        if isinstance(closed, Card) and closed is not card:
            await transaction.update_card(closed, key=key)
