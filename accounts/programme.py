"""Programmes and the terms that they had, have and will have. No I/O, no clock, no grpc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

#: Notice that cardholders have of a rate or fee that rises (12 CFR 1026.9(c)(2)).
NOTICE_DAYS = 45
#: Open cards of an account whose programme says nothing else, and most that one may allow.
OPEN_CARDS_MAX, OPEN_CARDS_TOP = 100, 10_000


class ProgrammeKind(StrEnum):
    """Whom a programme is for; the names are the contract's."""

    CONSUMER = "CONSUMER"
    BUSINESS = "BUSINESS"


class ProgrammeState(StrEnum):
    """Whether a programme takes applications; the names are the contract's."""

    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """A card programme at one version."""

    id: str
    display_name: str
    kind: ProgrammeKind
    #: Name of the network in the contract.
    network: str
    currency_code: str
    bin: str
    state: ProgrammeState
    #: What applications are judged by, as the contract serializes it.
    underwriting: bytes
    #: Kind of the first card, by its name in the contract.
    first_card_kind: str
    #: Most open cards of one of its accounts.
    open_cards_max: int
    version: int
    create_time_ms: int
    update_time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeTerms:
    """Terms of a programme. `version` counts from 1."""

    programme_id: str
    version: int
    effective_date: date
    #: The terms, as the contract serializes them.
    terms: bytes
    create_time_ms: int


class TermsRefusal(StrEnum):
    """Why terms cannot be added; the names are reasons that callers see."""

    NOT_LATER = "TERMS_NOT_LATER"
    IN_THE_PAST = "TERMS_IN_THE_PAST"
    NOTICE_TOO_SHORT = "NOTICE_TOO_SHORT"


#: What terms charge, by name: percentages and amounts, whichever; more is worse for cardholders.
Charges = Mapping[str, Decimal]


def risen(before: Charges, after: Charges) -> tuple[str, ...]:
    """What costs more than before, in order of its name; what was not charged cost nothing."""
    return tuple(
        sorted(name for name, value in after.items() if value > before.get(name, Decimal(0)))
    )


def add_terms(
    before: ProgrammeTerms | None,
    charged_before: Charges,
    *,
    effective_date: date,
    charged_after: Charges,
    today: date,
) -> TermsRefusal | None:
    """None if the terms may follow `before`, the last ones there are. The first may begin whenever
    they like, because nothing has been charged yet.
    """
    if before is None:
        return None
    if effective_date <= before.effective_date:
        return TermsRefusal.NOT_LATER
    if effective_date < today:
        return TermsRefusal.IN_THE_PAST
    noticed = effective_date >= today + timedelta(days=NOTICE_DAYS)
    if not noticed and risen(charged_before, charged_after):
        return TermsRefusal.NOTICE_TOO_SHORT
    return None
