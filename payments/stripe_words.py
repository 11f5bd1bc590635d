"""What Stripe says, as far as it concerns payments. No I/O, no clock, no grpc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from payments.payment import Source

#: What Stripe calls the means of payment of a source.
TYPES = {Source.STRIPE_CARD: ("card",), Source.ACH: ("us_bank_account", "sepa_debit")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What Stripe has told us, as far as it concerns payments."""

    id: str
    type: str
    #: The PaymentIntent that it is about; empty: none.
    reference: str
    #: Our refund that it is about, and why its money did not go out or came back; empty: none.
    refund_id: str = ""
    refund_failure: str = ""


class WrongSignature(Exception):
    """What came is not what Stripe has just sent."""


#: What has become of refunds whose money did not go out, or came back.
REFUND_GONE = ("failed", "canceled")


def _failure(refund: Any) -> str:
    """Why a refund failed, UPPER_SNAKE; empty: it did not."""
    if refund.get("status") not in REFUND_GONE:
        return ""
    return str(refund.get("failure_reason") or refund["status"]).upper()[:64]


def event_of(event: Any) -> Event:
    """An event, reduced to what it is about."""
    subject = event["data"]["object"]
    if event["type"].startswith(("refund.", "charge.refund.")):
        return Event(
            id=event["id"],
            type=event["type"],
            reference="",
            refund_id=str((subject.get("metadata") or {}).get("refund_id") or ""),
            refund_failure=_failure(subject),
        )
    if event["type"].startswith("payment_intent."):
        reference = subject.get("id")
    else:
        reference = subject.get("payment_intent")
    return Event(id=event["id"], type=event["type"], reference=str(reference or ""))
