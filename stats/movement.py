"""What statistics need to know of an entry of the ledger, and where it counts. No I/O, no clock,
no grpc.
"""

from __future__ import annotations

from datetime import date
from hashlib import blake2b

from runtime.record import record

#: Types of entries that count, as the contract has them without their prefix. Configuration and the
#: issuer's own books do not, nor do releases of payments, which move no purchase and no debt.
COUNTED = frozenset(
    (
        *("AUTHORIZATION", "DECLINE", "CAPTURE", "REVERSAL", "INCREMENT", "EXPIRY", "ADVICE"),
        *("FINANCIAL", "FORCE_POST", "REFUND", "REFUND_REVERSAL", "PAYMENT_CREDIT"),
        *("PAYMENT_RETURN", "FEE", "INTEREST", "ADJUSTMENT_DEBIT", "ADJUSTMENT_CREDIT"),
        *("PROVISIONAL_CREDIT", "PROVISIONAL_CREDIT_REVERSAL"),
    )
)


@record
class Place:
    """Where something counts: whose it is, and everything that totals are broken down by."""

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
    def subjects(self) -> tuple[str, ...]:
        """Whose totals it is in."""
        found = (
            self.account_id,
            self.card_id,
            self.user_id,
            self.company_id,
            self.department_id,
            self.programme_id,
        )
        return tuple(one for one in found if one)

    def digest(self) -> bytes:
        """Stands for all of it in keys."""
        return blake2b("\x00".join(values_of(self)).encode(), digest_size=16).digest()


PLACE = tuple(Place.__dataclass_fields__)


def values_of(place: Place) -> tuple[str, ...]:
    """Its fields in their order."""
    return tuple(getattr(place, name) for name in PLACE)


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
    authorization_id: str
    payment_id: str
    related_entry_id: str
    #: The effective day, in the account's timezone.
    day: date
    record_time_ms: int
    place: Place
    merchant_name: str
