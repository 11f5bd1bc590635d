"""What statistics need to know of an entry of the ledger, and where it counts. No I/O, no clock,
no grpc.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import NamedTuple

from runtime.record import record

#: Types of entries that count, as the contract has them without their prefix. Configuration and the
#: issuer's own books do not, nor do releases of payments, which move no purchase and no debt.
COUNTED = frozenset(
    (
        *("AUTHORIZATION", "DECLINE", "CAPTURE", "REVERSAL", "INCREMENT", "EXPIRY", "ADVICE"),
        *("INCREMENT_DECLINE", "CHARGE_OFF", "RECOVERY"),
        *("FINANCIAL", "FORCE_POST", "REFUND", "REFUND_REVERSAL", "PAYMENT_CREDIT"),
        *("PAYMENT_REFUND", "PAYMENT_REFUND_REVERSAL"),
        *("PAYMENT_RETURN", "FEE", "INTEREST", "ADJUSTMENT_DEBIT", "ADJUSTMENT_CREDIT"),
        *("PROVISIONAL_CREDIT", "PROVISIONAL_CREDIT_REVERSAL"),
    )
)


class Place(NamedTuple):
    """Where something counts: whose it is, and everything that totals are broken down by. A tuple,
    for each movement is looked up by it, several times.
    """

    account_id: str
    card_id: str
    user_id: str
    company_id: str
    department_id: str
    programme_id: str
    #: Of the account.
    currency: str
    merchant: str
    category: str
    country: str
    channel: str
    merchant_currency: str
    decline_reason: str

    @property
    def subjects(self) -> list[str]:
        """Whose totals it is in."""
        return [one for one in _subjects_of(self) if one]

    def digest(self) -> str:
        """Stands for all of it in keys, as PostgreSQL writes bytes."""
        return _digest(self)


PLACE = Place._fields
_subjects_of = attrgetter(
    "account_id", "card_id", "user_id", "company_id", "department_id", "programme_id"
)


@lru_cache(maxsize=4_096)
def _digest(place: Place) -> str:
    return "\\x" + blake2b("\x00".join(place).encode(), digest_size=16).hexdigest()


@record
class Movement:
    """An entry that counts."""

    entry_id: str
    partition: int
    pseq: int
    #: One of `COUNTED`.
    type: str
    amount_minor: int
    #: Approved amount of the authorization after the entry.
    approved_minor: int
    #: What reversals have given back of it by then, of an authorization, advice or increment.
    reversed_minor: int
    authorization_id: str
    payment_id: str
    #: The effective day, in the account's timezone.
    day: date
    record_time_ms: int
    place: Place
    merchant_name: str
    #: Of a posting: whether the ledger has it as cash; None: it does not say.
    cash: bool | None
