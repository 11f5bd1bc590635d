"""The decision on everything uncontended. Funds are contended: `place_hold.lua` checks them.

Pure: no I/O, no clock. Guards stand in the order of `PRECEDENCE`; the first that applies wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from authz.expiry import Circumstances, expire_at_ms


class Reason(IntEnum):
    """Why a purchase is declined; numbers are those of the contract's `DeclineReason`."""

    NONE = 0
    INSUFFICIENT_CREDIT = 1
    CARD_NOT_FOUND = 2
    CARD_EXPIRED = 3
    CARD_NOT_ACTIVATED = 10
    CARD_FROZEN = 11
    CARD_CLOSED = 12
    SINGLE_USE_ALREADY_USED = 15
    ACCOUNT_CLOSED = 17
    DUPLICATE_TRANSACTION = 29
    INVALID_AMOUNT_OR_CURRENCY = 31
    AUTHORIZATION_REVERSED = 36


#: The order in which reasons win. The last four are found by the script, in this order.
PRECEDENCE = (
    Reason.CARD_NOT_FOUND,
    Reason.CARD_CLOSED,
    Reason.CARD_NOT_ACTIVATED,
    Reason.CARD_FROZEN,
    Reason.CARD_EXPIRED,
    Reason.ACCOUNT_CLOSED,
    Reason.INVALID_AMOUNT_OR_CURRENCY,
    Reason.DUPLICATE_TRANSACTION,
    Reason.AUTHORIZATION_REVERSED,
    Reason.SINGLE_USE_ALREADY_USED,
    Reason.INSUFFICIENT_CREDIT,
)


class CardState(IntEnum):
    """Numbers of the contract's `CardState`."""

    INACTIVE = 1
    ACTIVE = 2
    FROZEN = 3
    CLOSED = 4


class AccountState(IntEnum):
    """Numbers of the contract's `AccountState`."""

    OPEN = 1
    CLOSING = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSnapshot:
    """A card's configuration at one version."""

    version: int
    card_id: str
    root_card_id: str
    account_id: str
    state: CardState
    expire_at_ms: int
    single_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """An account's configuration at one version."""

    version: int
    account_id: str
    owner_id: str
    programme_id: str
    state: AccountState
    currency_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a decision is made on. The script refuses it once a version has moved on."""

    card: CardSnapshot
    account: AccountSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """No, and the reason that wins."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Yes, if the script finds the funds."""

    amount_minor: int
    expire_at_ms: int
    single_use: bool
    partial_approval: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What a decision asks about."""

    amount_minor: int
    currency_code: str
    circumstances: Circumstances
    partial_approval: bool


def decide(purchase: Purchase, snapshot: Snapshot | None, *, now_ms: int) -> Declined | Plan:
    """Declines with the first reason that applies, or says what to reserve."""
    assert purchase.amount_minor >= 0, "convert.py refuses negative amounts; 0 verifies an account"
    if snapshot is None:
        return Declined(reason=Reason.CARD_NOT_FOUND)
    card, account = snapshot.card, snapshot.account
    if card.state is CardState.CLOSED:
        return Declined(reason=Reason.CARD_CLOSED)
    if card.state is CardState.INACTIVE:
        return Declined(reason=Reason.CARD_NOT_ACTIVATED)
    if card.state is CardState.FROZEN:
        return Declined(reason=Reason.CARD_FROZEN)
    if card.expire_at_ms <= now_ms:
        return Declined(reason=Reason.CARD_EXPIRED)
    if account.state is not AccountState.OPEN:
        return Declined(reason=Reason.ACCOUNT_CLOSED)
    if account.currency_code != purchase.currency_code:
        return Declined(reason=Reason.INVALID_AMOUNT_OR_CURRENCY)
    return Plan(
        amount_minor=purchase.amount_minor,
        expire_at_ms=expire_at_ms(purchase.circumstances, now_ms=now_ms),
        single_use=card.single_use,
        partial_approval=purchase.partial_approval,
    )
