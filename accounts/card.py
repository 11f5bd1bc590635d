"""Cards: what they are and the states they pass through. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from accounts.machine import IllegalTransition, Machine, Step

#: Cards are valid until the end of the month of issue, this many years later.
VALID_YEARS = 4


class CardKind(StrEnum):
    """Kind of card; the names are the contract's."""

    VIRTUAL = "VIRTUAL"
    PHYSICAL = "PHYSICAL"
    SINGLE_USE = "SINGLE_USE"
    MERCHANT_LOCKED = "MERCHANT_LOCKED"


class CardState(StrEnum):
    """State of a card; the names are the contract's."""

    INACTIVE = "INACTIVE"
    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"
    LOST = "LOST"
    STOLEN = "STOLEN"


class Transition(StrEnum):
    """What may be done to a card."""

    FREEZE = "FREEZE"
    UNFREEZE = "UNFREEZE"
    CLOSE = "CLOSE"
    ACTIVATE = "ACTIVATE"
    REPORT_LOST = "REPORT_LOST"
    REPORT_STOLEN = "REPORT_STOLEN"


class ShippingState(StrEnum):
    """Where plastic is; the names are the contract's."""

    UNSPECIFIED = "UNSPECIFIED"
    ORDERED = "ORDERED"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    RETURNED = "RETURNED"


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
    nickname: str = ""
    shipping: ShippingState = ShippingState.UNSPECIFIED
    carrier: str = ""
    tracking_number: str = ""
    #: Of plastic: its holder has it.
    received: bool = False
    replaces_card_id: str = ""
    replaced_by_card_id: str = ""
    #: What checks against fraud remember up to then is forgotten; 0: nothing is.
    suspicion_clear_time_ms: int = 0
    #: Whoever has it was suspended: it cannot be used, whatever its state, while that lasts.
    holder_suspended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCard:
    """Issues a card on an account."""

    account_id: str
    kind: CardKind
    user_id: str = ""
    nickname: str = ""
    #: As the contract serializes them.
    controls: bytes = b""


_INACTIVE, _ACTIVE, _FROZEN, _CLOSED, _LOST, _STOLEN = CardState
#: States that a card can be used again from.
LIVING = frozenset({_INACTIVE, _ACTIVE, _FROZEN})

#: Unfreezing never activates: an inactive card has not reached its holder. What was lost can turn
#: out to be stolen, never the other way round.
CARDS = Machine(
    "card",
    {
        Transition.FREEZE: Step(_FROZEN, frozenset({_ACTIVE})),
        Transition.UNFREEZE: Step(_ACTIVE, frozenset({_FROZEN})),
        Transition.CLOSE: Step(_CLOSED, LIVING, done=frozenset({_LOST, _STOLEN})),
        Transition.ACTIVATE: Step(_ACTIVE, frozenset({_INACTIVE})),
        Transition.REPORT_LOST: Step(_LOST, LIVING),
        Transition.REPORT_STOLEN: Step(_STOLEN, LIVING | {_LOST}),
    },
)


def issue_card(command: IssueCard, *, card_id: str, now_ms: int) -> Card:
    """A new card at version 1, the first of its line; it has no number yet (`with_number`)."""
    expiry = expiry_of(now_ms)
    return made(
        Card(
            id=card_id,
            account_id=command.account_id,
            root_card_id=card_id,
            kind=command.kind,
            state=_ACTIVE,
            last4="",
            expiry_month=expiry.month,
            expiry_year=expiry.year,
            version=1,
            create_time_ms=now_ms,
            update_time_ms=now_ms,
            controls=command.controls,
            user_id=command.user_id,
            nickname=command.nickname,
        )
    )


def made(card: Card) -> Card:
    """A new card as it leaves us: plastic travels by mail, and is inactive until its holder has
    it; what has a number only is active at once.
    """
    if card.kind is not CardKind.PHYSICAL:
        return card
    return replace(card, state=_INACTIVE, shipping=ShippingState.ORDERED)


class Expiry(NamedTuple):
    """The last month in which a card is valid."""

    year: int
    month: int


def expiry_of(now_ms: int) -> Expiry:
    """The expiry of a card that is made now."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return Expiry(now.year + VALID_YEARS, now.month)


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


def set_holder_suspended(card: Card, suspended: bool, *, now_ms: int) -> Card:
    """The card of somebody who is suspended, or no longer; the same object if it is that already.
    Its state is not touched, so that what was frozen stays so.
    """
    if suspended is card.holder_suspended:
        return card
    return replace(
        card, holder_suspended=suspended, version=card.version + 1, update_time_ms=now_ms
    )
