"""Who may lift a freeze: whoever set it, or somebody with more say over the account."""

from __future__ import annotations

from enum import IntEnum

from accounts import convert, freeze_store
from accounts.account import Account
from accounts.caller import calling_user, is_manager, is_staff
from accounts.card import Card, CardState, Transition, move
from accounts.machine import IllegalTransition
from accounts.transaction import Transaction
from runtime.errors import PermissionDenied
from runtime.identity import current_identity


class Authority(IntEnum):
    """Who froze a card; more is more. Stored."""

    #: Somebody who uses the card.
    USER = 1
    #: Whose account it is, or a manager of the company whose it is.
    OWNER = 2
    #: The bank.
    ISSUER = 3


#: Of cards whose freezing nobody wrote down.
UNKNOWN = Authority.OWNER


def authority_over(account: Account) -> Authority:
    """The caller's; the interceptor has made sure that the card concerns them."""
    user_id = calling_user()
    if is_staff() or not user_id:
        return Authority.ISSUER
    company_id = current_identity().claims.company_id if is_manager() else ""
    owns = account.owner_id in {user_id, company_id}
    return Authority.OWNER if owns else Authority.USER


async def freeze(transaction: Transaction, found: tuple[Card, Account], *, now_ms: int) -> Card:
    """The card frozen. Of several who freeze it, the one with the most say counts."""
    card, account = found
    changed = _moved(card, Transition.FREEZE, now_ms=now_ms)
    if changed is not card:
        await freeze_store.forget(transaction, card.id)
        await transaction.update_card(changed)
    await freeze_store.note(transaction, card.id, authority_over(account))
    return changed


async def unfreeze(transaction: Transaction, found: tuple[Card, Account], *, now_ms: int) -> Card:
    """The card active again. Refuses who has less say than whoever froze it."""
    card, account = found
    changed = _moved(card, Transition.UNFREEZE, now_ms=now_ms)
    if changed is card:
        return card
    by = await frozen_by(transaction, card)
    assert by is not None, "it is frozen"
    if authority_over(account) < by:
        raise PermissionDenied(
            f"the {by.name.lower()} froze the card and has to lift it",
            reason="FROZEN_BY_OTHERS",
            metadata={"card_id": card.id, "frozen_by": by.name},
        )
    await freeze_store.forget(transaction, card.id)
    await transaction.update_card(changed)
    return changed


async def frozen_by(transaction: Transaction, card: Card) -> Authority | None:
    """Who froze a locked card, if nobody has lifted it: also of one that was frozen when it was
    reported lost or stolen, and of plastic that came in place of a frozen card.
    """
    if card.state is CardState.ACTIVE:
        return None
    by = await freeze_store.noted(transaction, card.id)
    if by is None:
        return UNKNOWN if card.state is CardState.FROZEN else None
    return Authority(by)


async def hand_on(transaction: Transaction, by: Authority | None, replacement: Card) -> None:
    """What takes a frozen card's place is frozen by the same; plastic once it is activated."""
    if by is not None:
        await freeze_store.note(transaction, replacement.id, by)


def _moved(card: Card, transition: Transition, *, now_ms: int) -> Card:
    changed = move(card, transition, now_ms=now_ms)
    if isinstance(changed, IllegalTransition):
        raise convert.refusal(changed)
    return changed
