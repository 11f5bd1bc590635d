"""Cards: what they are and the states they pass through. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from accounts.machine import IllegalTransition, Machine, Step

#: Cards are valid until the end of the month of issue, this many years later.
VALID_YEARS = 4


class CardKind(StrEnum):
    """Kind of card; the names are the contract's."""

    VIRTUAL = "VIRTUAL"
    PHYSICAL = "PHYSICAL"
    SINGLE_USE = "SINGLE_USE"


class CardState(StrEnum):
    """State of a card; the names are the contract's."""

    INACTIVE = "INACTIVE"
    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"


class Transition(StrEnum):
    """What may be done to a card."""

    FREEZE = "FREEZE"
    UNFREEZE = "UNFREEZE"
    CLOSE = "CLOSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A payment card at one version."""

    id: str
    account_id: str
    root_card_id: str
    kind: CardKind
    state: CardState
    last4: str
    expiry_month: int
    expiry_year: int
    version: int
    create_time_ms: int
    update_time_ms: int
    #: Spend controls, as the contract serializes them; empty: nothing is restricted.
    controls: bytes = b""
    #: Whose card it is; empty: nobody in particular.
    user_id: str = ""
    #: First digits of its number, which itself is in the vault.
    bin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCard:
    """Issues a card on an account."""

    account_id: str
    kind: CardKind
    user_id: str = ""


#: Plastic travels by mail: it stays inactive until its holder has it.
INITIAL_STATES = {
    CardKind.VIRTUAL: CardState.ACTIVE,
    CardKind.PHYSICAL: CardState.INACTIVE,
    CardKind.SINGLE_USE: CardState.ACTIVE,
}

_INACTIVE, _ACTIVE, _FROZEN, _CLOSED = CardState

#: Unfreezing never activates: an inactive card has not reached its holder.
CARDS = Machine(
    "card",
    {
        Transition.FREEZE: Step(_FROZEN, frozenset({_ACTIVE})),
        Transition.UNFREEZE: Step(_ACTIVE, frozenset({_FROZEN})),
        Transition.CLOSE: Step(_CLOSED, frozenset({_INACTIVE, _ACTIVE, _FROZEN})),
    },
)


def issue_card(command: IssueCard, *, card_id: str, now_ms: int) -> Card:
    """A new card at version 1, the first of its line; it has no number yet (`with_number`)."""
    issued = datetime.fromtimestamp(now_ms / 1000, UTC)
    return Card(
        id=card_id,
        account_id=command.account_id,
        root_card_id=card_id,
        kind=command.kind,
        state=INITIAL_STATES[command.kind],
        last4="",
        expiry_month=issued.month,
        expiry_year=issued.year + VALID_YEARS,
        version=1,
        create_time_ms=now_ms,
        update_time_ms=now_ms,
        user_id=command.user_id,
    )


def with_number(card: Card, *, bin_digits: str, last4: str) -> Card:
    """A card that was not stored yet, with what may be known of its number."""
    return replace(card, bin=bin_digits, last4=last4)


def move(card: Card, transition: Transition, *, now_ms: int) -> Card | IllegalTransition:
    """The card in its new state; the same object if it is there already."""
    state = CARDS.move(card.state, transition)
    if isinstance(state, IllegalTransition):
        return state
    if state is card.state:
        return card
    return replace(card, state=state, version=card.version + 1, update_time_ms=now_ms)


def set_controls(card: Card, controls: bytes, *, now_ms: int) -> Card:
    """The card with these controls; the same object if it has them."""
    if controls == card.controls:
        return card
    return replace(card, controls=controls, version=card.version + 1, update_time_ms=now_ms)
