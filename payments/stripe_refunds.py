"""Refunds through Stripe: each is known by our id, in its metadata and as its idempotency key. What
became of one whose answer was lost is found in the list of what was given back of its charge.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import stripe

from payments.payment import Payment
from payments.processor import Outcome, Result
from payments.reconcile_refunds import GivenBack
from payments.refund import Refund
from payments.stripe_answers import known, refused, unknown, upper
from payments.stripe_words import REFUND_GONE

#: Refunds of one page of a list.
PAGE = 100


class StripeRefunds:
    """`refunds`: that part of Stripe's client."""

    def __init__(self, refunds: Any) -> None:
        self._refunds = refunds

    async def make(self, refund: Refund, payment: Payment) -> Outcome:
        """Asks for a refund."""
        made = self._refunds.create_async(
            {
                "payment_intent": payment.processor_reference,
                "amount": refund.amount_minor,
                "metadata": {"refund_id": refund.id},
            },
            {"idempotency_key": refund.id},
        )
        try:
            return _outcome(await made)
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            return refused(error, "")
        except stripe.StripeError as error:
            raise unknown(error) from error

    async def find(self, refund: Refund, payment: Payment) -> Outcome | None:
        """What has become of one; None: Stripe has never heard of it."""
        if refund.reference:
            return _outcome(await known(self._refunds.retrieve_async(refund.reference)))
        async for page in self._pages({"payment_intent": payment.processor_reference}):
            for one in page:
                if _name(one) == refund.id:
                    return _outcome(one)
        return None

    async def all(self) -> AsyncIterator[list[GivenBack]]:
        """Everything that was ever given back, in pages."""
        async for page in self._pages({}):
            yield [_given_back(one) for one in page]

    async def _pages(self, of: dict[str, str]) -> AsyncIterator[list[Any]]:
        more: dict[str, str] = {}
        while True:
            found = await known(self._refunds.list_async({"limit": PAGE, **of, **more}))
            yield found.data
            if not found.has_more or not found.data:
                return
            more = {"starting_after": found.data[-1].id}


def _outcome(one: Any) -> Outcome:
    if one.status in REFUND_GONE:
        reason = upper(getattr(one, "failure_reason", None) or one.status)
        return Outcome(result=Result.REFUSED, reference=one.id, reason=reason)
    result = Result.CAME if one.status == "succeeded" else Result.WAITING
    return Outcome(result=result, reference=one.id)


def _name(one: Any) -> str:
    found: str = json.loads(str(one.metadata or "{}")).get("refund_id", "")
    return found


def _given_back(one: Any) -> GivenBack:
    return GivenBack(
        reference=one.id,
        refund_id=_name(one),
        amount_minor=one.amount,
        currency_code=one.currency.upper(),
        given=one.status not in REFUND_GONE,
    )
