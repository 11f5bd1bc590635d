"""Who may see a card's number. No I/O of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runtime.errors import FailedPrecondition, NotFound, PermissionDenied
from runtime.identity import Identity

ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCard:
    """Whose card it is: its user's, or else its account's owner's. Nobody's if its user was removed
    from the account. Until when it is valid is said here: the vault may be ahead of a renewal that
    was never committed.
    """

    holder_id: str | None
    closed: bool
    expiry_month: int
    expiry_year: int


class CardReader(Protocol):
    """Knows the cards; the vault itself has numbers only."""

    async def held_card(self, card_id: str) -> HeldCard | None:
        """The card, if there is one."""
        ...


def may_reveal(
    card: HeldCard | None,
    card_id: str,
    identity: Identity,
    *,
    now_ms: int,
    mfa_age_s: int,
) -> HeldCard:
    """The card, unless the caller may not see its number now: then this raises.

    Somebody else's card is not found, like one that does not exist.
    """
    is_admin = ADMIN in identity.roles
    if card is None or not (is_admin or card.holder_id == identity.principal):
        raise NotFound("no such card", reason="CARD_NOT_FOUND", metadata={"card_id": card_id})
    if not is_admin:
        require_second_factor(identity, now_ms=now_ms, mfa_age_s=mfa_age_s)
    if card.closed:
        raise FailedPrecondition(
            "the card is closed", reason="CARD_CLOSED", metadata={"card_id": card_id}
        )
    return card


def require_second_factor(identity: Identity, *, now_ms: int, mfa_age_s: int) -> None:
    """Raises unless the caller has given the second factor just now."""
    if now_ms - identity.claims.mfa_time_s * 1000 > mfa_age_s * 1000:
        raise PermissionDenied(
            f"give your second factor again: it may be {mfa_age_s} seconds old",
            reason="SECOND_FACTOR_REQUIRED",
            metadata={"max_age_s": str(mfa_age_s)},
        )
