"""Paying each statement by itself: whether and when. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from payments.calendar import due_ms
from payments.payment import Basis

#: A statement is issued 21 days before its due date at least.
DAYS_BEFORE_DUE_MAX = 20
#: How often to look for a new statement: it is found before its day of payment.
LOOK_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Autopay:
    """What is paid for an account by itself."""

    account_id: str
    enabled: bool
    basis: Basis = Basis.FIXED
    amount_minor: int | None = None
    currency_code: str = ""
    days_before_due: int = 0
    funding_source_id: str = ""
    #: The last statement that was paid; 0: none.
    last_number: int = 0
    #: When to look next; None: never.
    due_ms: int | None = None
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What the last statement asks for."""

    number: int
    due_date: date


def pays_at(autopay: Autopay, due: Due, time_zone: str) -> int:
    """When a statement is paid."""
    return due_ms(due.due_date - timedelta(days=autopay.days_before_due), time_zone)


def look(autopay: Autopay, due: Due | None, *, time_zone: str, now_ms: int) -> tuple[bool, int]:
    """Whether to pay the last statement now, and when to look again. Each statement is paid once,
    late rather than not at all; of several that were missed, the last one asks for all of it.
    """
    if due is None or due.number <= autopay.last_number:
        return False, now_ms + LOOK_MS
    at_ms = pays_at(autopay, due, time_zone)
    if at_ms <= now_ms:
        return True, now_ms + LOOK_MS
    return False, min(at_ms, now_ms + LOOK_MS)
