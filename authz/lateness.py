"""What posts on an account or card that has ended: nothing refuses it, and somebody looks at it."""

from __future__ import annotations

from enum import StrEnum

from authz.snapshot import AccountState, CardState

#: Nobody uses such a card again.
_ENDED = frozenset({CardState.CLOSED, CardState.LOST, CardState.STOLEN})


class Late(StrEnum):
    """Why an entry is to be reviewed; the names are the contract's."""

    NOT = ""
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    CARD_CLOSED = "CARD_CLOSED"


def lateness(account: AccountState, card: CardState | None = None) -> Late:
    """Why something that posts now is late. Without a card, e.g. of a refund, only the account
    counts: money that comes back to a living account needs no card.
    """
    if account is AccountState.CLOSED:
        return Late.ACCOUNT_CLOSED
    return Late.CARD_CLOSED if card in _ENDED else Late.NOT
