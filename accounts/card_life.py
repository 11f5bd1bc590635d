"""What happens to cards beside transitions: plastic in the mail, replacements, renewals. No I/O, no
clock, no grpc.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from accounts.card import (
    CARDS,
    LIVING,
    VALID_YEARS,
    Card,
    CardKind,
    CardState,
    Expiry,
    ShippingState,
    Transition,
    expiry_of,
    made,
)
from accounts.machine import IllegalTransition, Machine, Step

#: Days before its expiry from which a card can be renewed.
RENEWAL_DAYS_MAX = 90
#: How often the details of a card may be given wrongly before nobody but an administrator can
#: activate it.
ACTIVATION_TRIES_MAX = 5


class ShippingTransition(StrEnum):
    """What may happen to plastic in the mail."""

    SHIP = "SHIP"
    DELIVER = "DELIVER"
    RETURN = "RETURN"


_NOT_PLASTIC, _ORDERED, _SHIPPED, _DELIVERED, _RETURNED = ShippingState

SHIPPING = Machine(
    "card in the mail",
    {
        ShippingTransition.SHIP: Step(_SHIPPED, frozenset({_ORDERED, _RETURNED})),
        ShippingTransition.DELIVER: Step(_DELIVERED, frozenset({_SHIPPED})),
        ShippingTransition.RETURN: Step(_RETURNED, frozenset({_SHIPPED, _DELIVERED})),
    },
)


class ReplacementReason(StrEnum):
    """Why a card is replaced; the names are the contract's."""

    LOST = "LOST"
    STOLEN = "STOLEN"
    DAMAGED = "DAMAGED"
    COMPROMISED = "COMPROMISED"


#: What becomes of the card that is replaced.
_REPLACED = {
    ReplacementReason.LOST: Transition.REPORT_LOST,
    ReplacementReason.STOLEN: Transition.REPORT_STOLEN,
    ReplacementReason.DAMAGED: Transition.CLOSE,
    ReplacementReason.COMPROMISED: Transition.CLOSE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What is printed on a card, as its holder reads it."""

    last4: str
    expiry: Expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateShipping:
    """What a carrier tells; None and '': as it is."""

    transition: ShippingTransition
    carrier: str = ""
    tracking_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNotShipped:
    """Refusal: nobody can have the plastic yet."""

    state: ShippingState
    allowed: tuple[ShippingState, ...] = (_SHIPPED, _DELIVERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongDetails:
    """Refusal: this is not what is printed on the card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNotInState:
    """Refusal: cards take this change in the states `allowed` only."""

    state: CardState
    allowed: tuple[CardState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyReplaced:
    """Refusal: a card is replaced once; its replacement can be."""

    replaced_by_card_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalNotDue:
    """Refusal: the card is valid for long."""

    due_time_ms: int


def activate(
    card: Card, details: Details | None, *, now_ms: int, frozen: bool = False
) -> Card | IllegalTransition | CardNotShipped | WrongDetails:
    """The card in use; without details, by an administrator. The same object if nothing changes.
    `frozen`: it came in place of a frozen one.
    """
    state = CARDS.move(card.state, Transition.ACTIVATE)
    if isinstance(state, IllegalTransition):
        return state
    received = card.kind is CardKind.PHYSICAL
    if state is card.state and card.received == received:
        return card
    if details is not None:
        if card.shipping not in (_SHIPPED, _DELIVERED):
            return CardNotShipped(state=card.shipping)
        printed = Details(last4=card.last4, expiry=Expiry(card.expiry_year, card.expiry_month))
        if details != printed:
            return WrongDetails()
    if frozen and state is not card.state:
        state = CardState.FROZEN
    return _next(card, replace(card, state=state, received=received), now_ms=now_ms)


def update_shipping(
    card: Card, command: UpdateShipping, *, now_ms: int
) -> Card | IllegalTransition:
    """The card where it is now; the same object if nothing changes."""
    state = SHIPPING.move(card.shipping, command.transition)
    if isinstance(state, IllegalTransition):
        return state
    changed = replace(
        card,
        shipping=state,
        carrier=command.carrier or card.carrier,
        tracking_number=command.tracking_number or card.tracking_number,
    )
    return _next(card, changed, now_ms=now_ms)


def replace_card(
    card: Card, reason: ReplacementReason, *, card_id: str, now_ms: int, frozen: bool = False
) -> tuple[Card, Card] | AlreadyReplaced | CardNotInState:
    """The card as it ends, and the one that goes on: of the same line, so that what was learned and
    counted about it follows. It has no number yet (`with_number`). A frozen card goes on frozen,
    also one that was frozen when it was reported (`frozen`): nobody has said that it may be used
    again.
    """
    if card.replaced_by_card_id:
        return AlreadyReplaced(replaced_by_card_id=card.replaced_by_card_id)
    if card.state is CardState.CLOSED:
        return _refusal(card, LIVING | {CardState.LOST, CardState.STOLEN})
    state = CARDS.move(card.state, _REPLACED[reason])
    # What was reported stolen stays so, whatever is said now.
    kept = card.state if isinstance(state, IllegalTransition) else state
    old = _next(card, replace(card, state=kept, replaced_by_card_id=card_id), now_ms=now_ms)
    expiry = expiry_of(now_ms)
    new = made(
        Card(
            id=card_id,
            account_id=card.account_id,
            root_card_id=card.root_card_id,
            kind=card.kind,
            state=CardState.ACTIVE,
            last4="",
            expiry_month=expiry.month,
            expiry_year=expiry.year,
            version=1,
            create_time_ms=now_ms,
            update_time_ms=now_ms,
            controls=card.controls,
            user_id=card.user_id,
            nickname=card.nickname,
            replaces_card_id=card.id,
            suspicion_clear_time_ms=card.suspicion_clear_time_ms,
            holder_suspended=card.holder_suspended,
        )
    )
    frozen |= card.state is CardState.FROZEN
    if frozen and new.state is CardState.ACTIVE:
        new = replace(new, state=CardState.FROZEN)
    return old, new


def reissue(card: Card, *, now_ms: int) -> Card | CardNotInState:
    """The same number, made anew: valid as long as a new card, or as it is if that is longer."""
    if card.state not in LIVING:
        return _refusal(card, LIVING)
    until = max(expiry_of(now_ms), Expiry(card.expiry_year, card.expiry_month))
    return _made_anew(card, until, now_ms=now_ms)


def renew(card: Card, *, now_ms: int) -> Card | CardNotInState | RenewalNotDue:
    """The same number for four more years, if it expires soon."""
    if card.state not in LIVING:
        return _refusal(card, LIVING)
    due_ms = renewable_from_ms(Expiry(card.expiry_year, card.expiry_month))
    if now_ms < due_ms:
        return RenewalNotDue(due_time_ms=due_ms)
    longer = Expiry(card.expiry_year + VALID_YEARS, card.expiry_month)
    return _made_anew(card, max(longer, expiry_of(now_ms)), now_ms=now_ms)


def renewable_from_ms(expiry: Expiry, *, days: int = RENEWAL_DAYS_MAX) -> int:
    """When a card with this expiry can be renewed: so many days before its last one ends."""
    last = datetime(expiry.year, expiry.month, monthrange(*expiry)[1], tzinfo=UTC)
    return round((last + timedelta(days=1 - days)).timestamp()) * 1000


def update(
    card: Card, *, nickname: str | None, user_id: str | None, now_ms: int
) -> Card | CardNotInState:
    """The card with what is not None; the same object if nothing changes. Nobody who is suspended
    gets a card.
    """
    name = card.nickname if nickname is None else nickname
    if user_id is None or user_id == card.user_id:
        return _next(card, replace(card, nickname=name), now_ms=now_ms)
    if card.state not in LIVING:
        return _refusal(card, LIVING)
    changed = replace(card, nickname=name, user_id=user_id, holder_suspended=False)
    return _next(card, changed, now_ms=now_ms)


def clear_suspicion(card: Card, *, now_ms: int) -> Card:
    """The card that is not suspected of anything up to now."""
    return _next(card, replace(card, suspicion_clear_time_ms=now_ms), now_ms=now_ms)


def _made_anew(card: Card, expiry: Expiry, *, now_ms: int) -> Card:
    plastic = card.kind is CardKind.PHYSICAL
    changed = replace(
        card,
        expiry_month=expiry.month,
        expiry_year=expiry.year,
        shipping=_ORDERED if plastic else card.shipping,
        carrier="",
        tracking_number="",
        received=False,
    )
    return _next(card, changed, now_ms=now_ms)


def _refusal(card: Card, states: frozenset[CardState]) -> CardNotInState:
    allowed = tuple(state for state in CardState if state in states)
    return CardNotInState(state=card.state, allowed=allowed)


def _next(before: Card, after: Card, *, now_ms: int) -> Card:
    if after == before:
        return before
    return replace(after, version=before.version + 1, update_time_ms=now_ms)
