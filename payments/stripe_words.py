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


class WrongSignature(Exception):
    """What came is not what Stripe has just sent."""


def event_of(event: Any) -> Event:
    """An event, reduced to what it is about."""
    subject = event["data"]["object"]
    if event["type"].startswith("payment_intent."):
        reference = subject.get("id")
    else:
        reference = subject.get("payment_intent")
    return Event(id=event["id"], type=event["type"], reference=str(reference or ""))
