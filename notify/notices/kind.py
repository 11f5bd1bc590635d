"""Kinds of what users are told, and by what. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


class Channel(StrEnum):
    """By what; the names are the contract's."""

    EMAIL = "EMAIL"
    SMS = "SMS"
    PUSH = "PUSH"


class Kind(StrEnum):
    """Of what; the names are the contract's."""

    PURCHASE_APPROVED = "PURCHASE_APPROVED"
    PURCHASE_DECLINED = "PURCHASE_DECLINED"
    LARGE_PURCHASE = "LARGE_PURCHASE"
    LOW_CREDIT = "LOW_CREDIT"
    PAYMENT_SUCCEEDED = "PAYMENT_SUCCEEDED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    PAYMENT_RETURNED = "PAYMENT_RETURNED"
    PAYMENT_REFUNDED = "PAYMENT_REFUNDED"
    PAYMENT_SCHEDULED = "PAYMENT_SCHEDULED"
    STATEMENT_READY = "STATEMENT_READY"
    CARD_SHIPPED = "CARD_SHIPPED"
    SECURITY = "SECURITY"
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105 - a kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What holds for a kind."""

    #: By what it is sent if nobody has chosen.
    default: frozenset[Channel] = frozenset({Channel.EMAIL})
    #: It is always sent by email: law, or safety, wants it so. It has no cap either.
    required: bool = False
    #: It waits for nobody's quiet hours.
    urgent: bool = False
    #: How long after it happened it is still worth telling.
    lifetime_ms: int = 7 * _DAY_MS


RULES: Mapping[Kind, Rule] = MappingProxyType(
    {
        Kind.PURCHASE_APPROVED: Rule(default=frozenset(), lifetime_ms=_DAY_MS),
        Kind.PURCHASE_DECLINED: Rule(lifetime_ms=_DAY_MS),
        Kind.LARGE_PURCHASE: Rule(lifetime_ms=_DAY_MS),
        Kind.LOW_CREDIT: Rule(lifetime_ms=_DAY_MS),
        Kind.PAYMENT_SUCCEEDED: Rule(),
        Kind.PAYMENT_FAILED: Rule(required=True),
        Kind.PAYMENT_RETURNED: Rule(required=True),
        Kind.PAYMENT_REFUNDED: Rule(),
        Kind.PAYMENT_SCHEDULED: Rule(),
        Kind.STATEMENT_READY: Rule(required=True, lifetime_ms=30 * _DAY_MS),
        Kind.CARD_SHIPPED: Rule(),
        Kind.SECURITY: Rule(required=True, urgent=True),
        Kind.PASSWORD_RESET: Rule(required=True, urgent=True, lifetime_ms=_HOUR_MS),
    }
)
assert set(RULES) == set(Kind), "a kind has no rule"
#: What users choose.
CHOSEN = tuple(kind for kind in Kind if kind is not Kind.PASSWORD_RESET)
