"""Transfers that a bank tells of: whose they are, by what the payer has written. No I/O, no clock,
no grpc.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from payments.calendar import due_ms
from payments.payment import Payment, Source

#: Transfers of one request.
IMPORT_MAX = 500
REMITTANCE_LENGTH = 140
#: How long ago a transfer may have arrived.
AGE_DAYS_MAX = 90
#: Banks write in capitals, break lines, and leave out what they do not like.
_ACCOUNT = re.compile(r"acct_?([0-9a-f]{34})")


class Unmatched(StrEnum):
    """Why a transfer is nobody's; the names are the contract's."""

    NO_ACCOUNT = "NO_ACCOUNT"
    OTHER_CURRENCY = "OTHER_CURRENCY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A transfer as a bank's file has it."""

    source: Source
    bank_reference: str
    amount_minor: int
    currency_code: str
    receive_date: date
    remittance: str

    @property
    def key(self) -> tuple[Source, str]:
        """By what it is known again."""
        return self.source, self.bank_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A transfer that is, or was, on the list."""

    transfer: Transfer
    reason: Unmatched
    done: bool
    create_ms: int

    @property
    def id(self) -> str:
        """For pages."""
        return id_of(self.transfer.source, self.transfer.bank_reference)

    @property
    def create_time_ms(self) -> int:
        """When it was imported, for pages."""
        return self.create_ms


def id_of(source: Source, bank_reference: str) -> str:
    """What a transfer is listed by; banks may write anything into a reference."""
    return f"tr_{sha256(f'{source}:{bank_reference}'.encode()).hexdigest()[:32]}"


def account_named(remittance: str) -> str:
    """The account that a payer has written down; empty: none, or several."""
    text = "".join(remittance.split()).lower()
    found = set(_ACCOUNT.findall(text))
    return f"acct_{found.pop()}" if len(found) == 1 else ""


def may_have_arrived(day: date, *, now_ms: int) -> bool:
    """Whether a bank can tell of it now, in whatever timezone."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return today - timedelta(days=AGE_DAYS_MAX) <= day <= today + timedelta(days=1)


def receive_ms(day: date, time_zone: str, *, now_ms: int) -> int:
    """When the money of a day was received: in its morning, and not later than now."""
    return min(due_ms(day, time_zone), now_ms)


def is_same(payment: Payment, transfer: Transfer) -> bool:
    """Whether a payment is this transfer's. Its account may be another one: staff has found it."""
    return (payment.amount_minor, payment.currency_code) == (
        transfer.amount_minor,
        transfer.currency_code,
    )


def as_before(kept: Transfer, again: Transfer) -> bool:
    """Whether a transfer that was kept came again."""
    return (kept.amount_minor, kept.currency_code) == (again.amount_minor, again.currency_code)
