"""The decision on everything uncontended. Funds are contended: `place_hold.lua` checks them.

Pure: no I/O, no clock. Guards stand in the order of `PRECEDENCE`; the first that applies wins.
"""

from __future__ import annotations

from enum import IntEnum

from authz.controls import Place, Rule, Use, broken
from authz.expiry import Circumstances, expire_at_ms
from authz.snapshot import (
    AccountState,
    CardState,
    Scope,
    Snapshot,
    limits_of,
    merchant_lock_of,
)
from runtime.record import record


class Reason(IntEnum):
    """Why a purchase is declined; numbers are those of the contract's `DeclineReason`."""

    NONE = 0
    INSUFFICIENT_CREDIT = 1
    CARD_NOT_FOUND = 2
    CARD_EXPIRED = 3
    EXPIRY_MISMATCH = 4
    CVV_MISMATCH = 5
    AVS_MISMATCH = 6
    PIN_INCORRECT = 7
    PIN_BLOCKED = 8
    CRYPTOGRAM_INVALID = 9
    CARD_NOT_ACTIVATED = 10
    CARD_FROZEN = 11
    CARD_CLOSED = 12
    CARD_LOST = 13
    CARD_STOLEN = 14
    SINGLE_USE_ALREADY_USED = 15
    ACCOUNT_SUSPENDED = 16
    ACCOUNT_CLOSED = 17
    ACCOUNT_DELINQUENT = 18
    CARDHOLDER_NOT_VERIFIED = 19
    PER_TRANSACTION_LIMIT = 20
    SPEND_LIMIT_EXCEEDED = 21
    VELOCITY_COUNT_EXCEEDED = 22
    MCC_NOT_ALLOWED = 23
    MERCHANT_NOT_ALLOWED = 24
    COUNTRY_NOT_ALLOWED = 25
    CHANNEL_NOT_ALLOWED = 26
    SUSPECTED_FRAUD = 27
    AUTHENTICATION_REQUIRED = 28
    DUPLICATE_TRANSACTION = 29
    ORIGINAL_NOT_FOUND = 30
    INVALID_AMOUNT_OR_CURRENCY = 31
    FORMAT_ERROR = 32
    DECISION_TIMEOUT = 33
    EXTERNAL_DECLINED = 34
    SYSTEM_ERROR = 35
    AUTHORIZATION_REVERSED = 36
    OUTSIDE_ACTIVE_HOURS = 37
    CARDHOLDER_SUSPENDED = 38


#: The order in which reasons win. What `place_hold.lua` finds comes last, in this order: duplicate,
#: reversed, single use (then the merchant lock), count, limit, credit.
PRECEDENCE = (
    Reason.FORMAT_ERROR,
    Reason.CARD_NOT_FOUND,
    Reason.CARD_CLOSED,
    Reason.CARD_STOLEN,
    Reason.CARD_LOST,
    Reason.CARD_NOT_ACTIVATED,
    Reason.CARD_FROZEN,
    Reason.CARDHOLDER_SUSPENDED,
    Reason.CARD_EXPIRED,
    Reason.CRYPTOGRAM_INVALID,
    Reason.EXPIRY_MISMATCH,
    Reason.CVV_MISMATCH,
    Reason.PIN_BLOCKED,
    Reason.PIN_INCORRECT,
    Reason.ACCOUNT_CLOSED,
    Reason.ACCOUNT_SUSPENDED,
    Reason.ACCOUNT_DELINQUENT,
    Reason.CARDHOLDER_NOT_VERIFIED,
    Reason.INVALID_AMOUNT_OR_CURRENCY,
    Reason.AVS_MISMATCH,
    Reason.AUTHENTICATION_REQUIRED,
    Reason.OUTSIDE_ACTIVE_HOURS,
    Reason.CHANNEL_NOT_ALLOWED,
    Reason.COUNTRY_NOT_ALLOWED,
    Reason.MCC_NOT_ALLOWED,
    Reason.MERCHANT_NOT_ALLOWED,
    Reason.PER_TRANSACTION_LIMIT,
    Reason.EXTERNAL_DECLINED,
    Reason.DECISION_TIMEOUT,
    Reason.ORIGINAL_NOT_FOUND,
    Reason.DUPLICATE_TRANSACTION,
    Reason.AUTHORIZATION_REVERSED,
    Reason.SINGLE_USE_ALREADY_USED,
    Reason.SUSPECTED_FRAUD,
    Reason.VELOCITY_COUNT_EXCEEDED,
    Reason.SPEND_LIMIT_EXCEEDED,
    Reason.INSUFFICIENT_CREDIT,
    Reason.SYSTEM_ERROR,
)


@record
class Declined:
    """No, and the reason that wins."""

    reason: Reason
    #: The control that said no, whose it is and its name, and what it would allow.
    control: str = ""
    left_minor: int = -1


@record
class Plan:
    """Yes, if the script finds the funds."""

    amount_minor: int
    expire_at_ms: int
    single_use: bool
    partial_approval: bool
    #: The limits that it must count in.
    uses: tuple[Use, ...] = ()
    #: The control that locks the card to the first merchant; '' if none does.
    merchant_lock: str = ""


@record
class Purchase:
    """What a decision asks about."""

    amount_minor: int
    currency_code: str
    circumstances: Circumstances
    partial_approval: bool
    #: Checks of the network or terminal that failed, as the reasons they would be.
    mismatches: frozenset[Reason] = frozenset()
    #: None: of an increment, whose place was checked before.
    place: Place | None = None


#: What a card's state declines with, and an account's.
CARD_STATES = {
    CardState.CLOSED: Reason.CARD_CLOSED,
    CardState.STOLEN: Reason.CARD_STOLEN,
    CardState.LOST: Reason.CARD_LOST,
    CardState.INACTIVE: Reason.CARD_NOT_ACTIVATED,
    CardState.FROZEN: Reason.CARD_FROZEN,
    CardState.SUSPENDED: Reason.CARDHOLDER_SUSPENDED,
}
ACCOUNT_STATES = {
    AccountState.CLOSED: Reason.ACCOUNT_CLOSED,
    AccountState.CLOSING: Reason.ACCOUNT_CLOSED,
    AccountState.SUSPENDED: Reason.ACCOUNT_SUSPENDED,
    AccountState.DELINQUENT: Reason.ACCOUNT_DELINQUENT,
}
#: Failed checks that always decline, in order.
CHECKS = (Reason.EXPIRY_MISMATCH, Reason.CVV_MISMATCH, Reason.PIN_INCORRECT)
#: What a broken rule declines with, in order.
RULES = {
    Rule.ADDRESS_MATCH: Reason.AVS_MISMATCH,
    Rule.ACTIVE_HOURS: Reason.OUTSIDE_ACTIVE_HOURS,
    Rule.CHANNELS: Reason.CHANNEL_NOT_ALLOWED,
    Rule.COUNTRIES: Reason.COUNTRY_NOT_ALLOWED,
    Rule.CATEGORIES: Reason.MCC_NOT_ALLOWED,
    Rule.MERCHANTS: Reason.MERCHANT_NOT_ALLOWED,
    Rule.MAXIMUM: Reason.PER_TRANSACTION_LIMIT,
}


def decide(purchase: Purchase, snapshot: Snapshot | None, *, now_ms: int) -> Declined | Plan:
    """Declines with the first reason that applies, or says what to reserve."""
    assert purchase.amount_minor >= 0, "convert.py refuses negative amounts; 0 verifies an account"
    if snapshot is None:
        return Declined(reason=Reason.CARD_NOT_FOUND)
    card, account = snapshot.card, snapshot.account
    if card.state is not CardState.ACTIVE:
        return Declined(reason=CARD_STATES[card.state])
    if card.expire_at_ms <= now_ms:
        return Declined(reason=Reason.CARD_EXPIRED)
    for check in CHECKS:
        if check in purchase.mismatches:
            return Declined(reason=check)
    if account.state is not AccountState.OPEN:
        return Declined(reason=ACCOUNT_STATES[account.state])
    if account.currency_code != purchase.currency_code:
        return Declined(reason=Reason.INVALID_AMOUNT_OR_CURRENCY)
    scopes = snapshot.scopes
    refused = _first_broken(purchase, scopes, now_ms=now_ms) if scopes else None
    if refused is not None:
        return refused
    return Plan(
        amount_minor=purchase.amount_minor,
        expire_at_ms=expire_at_ms(purchase.circumstances, now_ms=now_ms),
        single_use=card.single_use,
        partial_approval=purchase.partial_approval,
        uses=limits_of(scopes, purchase.place, now_ms=now_ms) if purchase.amount_minor else (),
        merchant_lock=merchant_lock_of(scopes),
    )


def _first_broken(purchase: Purchase, scopes: tuple[Scope, ...], *, now_ms: int) -> Declined | None:
    place = purchase.place
    if place is None:
        return None
    for rule, reason in RULES.items():
        for scope in scopes:
            controls = scope.controls
            if not broken(rule, controls, place, purchase.amount_minor, now_ms):
                continue
            maximum = controls.maximum_minor if rule is Rule.MAXIMUM else None
            left = -1 if maximum is None else maximum
            return Declined(reason=reason, control=f"{scope.name}/{rule}", left_minor=left)
    return None
