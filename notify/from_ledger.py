"""What an entry of the ledger means to those who are told. No I/O, no clock, no grpc."""

from __future__ import annotations

from typing import Any

from runtime.events.catalogue import Event, is_text, money
from runtime.record import record

#: By the entry's type in the contract, without its prefix. Configuration is told by accounts.
TYPES = {
    "AUTHORIZATION": "authorization.approved",
    "DECLINE": "authorization.declined",
    "CAPTURE": "authorization.captured",
    "REVERSAL": "authorization.reversed",
    "INCREMENT": "authorization.incremented",
    "INCREMENT_DECLINE": "authorization.increment_declined",
    "EXPIRY": "authorization.expired",
    "ADVICE": "authorization.advised",
    "FINANCIAL": "authorization.posted",
    "FORCE_POST": "authorization.force_posted",
    "REFUND": "authorization.refunded",
    "REFUND_REVERSAL": "authorization.refund_reversed",
    "PAYMENT_CREDIT": "payment.credited",
    "PAYMENT_RELEASE": "payment.released",
    "PAYMENT_RETURN": "payment.returned",
    "FEE": "account.fee_charged",
    "INTEREST": "account.interest_charged",
    # The payment's own service tells of the refund.
    "PAYMENT_REFUND": "account.debited",
    "PAYMENT_REFUND_REVERSAL": "account.credited",
    "ADJUSTMENT_DEBIT": "account.debited",
    "ADJUSTMENT_CREDIT": "account.credited",
    "PROVISIONAL_CREDIT": "account.credited",
    "PROVISIONAL_CREDIT_REVERSAL": "account.debited",
}
#: Entries that are no news here: configuration, and what only the issuer's own books are about.
_CONFIGURATION = {"ACCOUNT_APPLIED", "CARD_APPLIED", "ACCOUNT_USER_APPLIED", "RULES_APPLIED"}
_OWN_BOOKS = {"CHARGE_OFF", "RECOVERY", "DISPUTE_CLAIM", "DISPUTE_LOSS"}
PASSED_OVER = frozenset(_CONFIGURATION | _OWN_BOOKS)
_DECLINES = frozenset({"DECLINE", "INCREMENT_DECLINE"})


@record
class LedgerEntry:
    """What counts of an entry."""

    id: str
    type: str
    account_id: str
    card_id: str
    user_id: str
    company_id: str
    authorization_id: str
    payment_id: str
    related_entry_id: str
    amount_minor: int
    #: What was asked for, of declines: their amount is 0.
    requested_minor: int
    available_minor: int
    currency_code: str
    decline_reason: str
    merchant_id: str
    category_code: str
    country_code: str
    record_time_ms: int


def event_of(entry: LedgerEntry) -> Event | None:
    """The event; None if the entry is about configuration, or about no account: a card that nobody
    knows belongs to nobody.
    """
    name = TYPES.get(entry.type)
    if name is None or not entry.account_id:
        return None
    about = name.partition(".")[0]
    data: dict[str, Any] = {
        "entry_id": entry.id,
        "amount": money(entry.amount_minor, entry.currency_code),
        "available_credit": money(entry.available_minor, entry.currency_code),
    }
    if entry.type in _DECLINES:
        data["decline_reason"] = entry.decline_reason
        if entry.requested_minor:
            data["requested_amount"] = money(entry.requested_minor, entry.currency_code)
    if about == "payment":
        data["payment_id"] = entry.payment_id
    if about == "authorization":
        data |= _of_purchase(entry)
    if entry.related_entry_id and entry.type not in _DECLINES:
        data["related_entry_id"] = entry.related_entry_id
    return Event(
        type=name,
        time_ms=entry.record_time_ms,
        account_id=entry.account_id,
        owner_id=entry.company_id,
        user_id=entry.user_id,
        data=data,
    )


def _of_purchase(entry: LedgerEntry) -> dict[str, str]:
    """Networks write what they like: what does not fit is left out."""
    said = {
        "authorization_id": entry.authorization_id,
        "card_id": entry.card_id,
        "merchant_id": entry.merchant_id,
        "category_code": entry.category_code,
        "country_code": entry.country_code,
    }
    return {name: value for name, value in said.items() if is_text(value)}
