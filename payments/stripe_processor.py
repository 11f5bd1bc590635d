"""The processor of cards and direct debits: Stripe, by its own library.

A charge has two halves. The first makes a PaymentIntent, which moves no money, and its id is
stored; the second confirms it. Stripe confirms an intent once, so that a repetition, however late
and whatever became of the idempotency key, is never a second charge; and what became of it is
looked up by its id.

The library takes its time and memory: nobody imports this module where Stripe is off.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import stripe

from payments.funding import FundingSource, Verdict
from payments.payment import Payment, Source
from payments.processor import Connected, Outcome, OutcomeUnknown, Result, SourceRefused
from payments.reconcile import Charge
from payments.reconcile_refunds import GivenBack
from payments.refund import Refund
from payments.stripe_answers import DECLINED, gone, known, reason_of, refused, unknown, upper
from payments.stripe_refunds import StripeRefunds
from payments.stripe_words import TYPES, Event, WrongSignature, event_of
from runtime.log import get_logger

#: How long Stripe may take to answer.
CALL_TIMEOUT_S = 10
#: How long ago an event may have been signed.
TOLERANCE_S = 300
#: Charges of one page of a list.
PAGE = 100
AUTHENTICATION_REQUIRED = "AUTHENTICATION_REQUIRED"
#: How Stripe asks whether a bank account is its customer's, and what it says to a wrong answer.
BY_DEPOSITS = "verify_with_microdeposits"
WRONG_AMOUNTS = "payment_method_microdeposit_verification_amounts_mismatch"

logger = get_logger()


class StripeProcessor:
    """Charges through Stripe."""

    def __init__(self, key: str, url: str) -> None:
        """`url`: where something else speaks Stripe; empty: Stripe."""
        self._http: Any = stripe.HTTPXClient(timeout=CALL_TIMEOUT_S)
        client = stripe.StripeClient(
            key,
            base_addresses={"api": url} if url else {},
            # An unknown outcome is looked up.
            max_network_retries=0,
            http_client=self._http,
        )
        self._intents: Any = client.v1.payment_intents
        self._customers: Any = client.v1.customers
        self._methods: Any = client.v1.payment_methods
        self._setups: Any = client.v1.setup_intents
        self._events: Any = client.v1.events
        self._refunds = StripeRefunds(client.v1.refunds)

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.close_async()

    async def charge(self, payment: Payment, source: FundingSource) -> Outcome:
        """Makes the intent, or confirms the one that is stored."""
        if not payment.processor_reference:
            return await self._prepare(payment, source)
        confirmed = self._intents.confirm_async(
            payment.processor_reference, options={"idempotency_key": f"{payment.id}.confirm"}
        )
        try:
            return await self._outcome(payment, await confirmed)
        except stripe.CardError as error:
            return refused(error, payment.processor_reference)
        except stripe.StripeError as error:
            raise unknown(error) from error

    async def find(self, payment: Payment, source: FundingSource) -> Outcome | None:
        """What has become of the intent; None: it was not made, or not confirmed."""
        del source
        if not payment.processor_reference:
            return None
        intent = await known(self._intents.retrieve_async(payment.processor_reference))
        if intent.status == "requires_confirmation":
            return None
        return await self._outcome(payment, intent)

    async def refund(self, refund: Refund, payment: Payment) -> Outcome:
        """Gives a charge back, or a part of it."""
        return await self._refunds.make(refund, payment)

    async def find_refund(self, refund: Refund, payment: Payment) -> Outcome | None:
        """What has become of a refund."""
        return await self._refunds.find(refund, payment)

    async def refunds(self) -> AsyncIterator[list[GivenBack]]:
        """Everything that was ever given back, in pages."""
        async for page in self._refunds.all():
            yield page

    async def connect(self, account_id: str, source: Source, token: str) -> Connected:
        """Makes a means of payment usable again and again."""
        try:
            customer = await self._customers.create_async(
                {"metadata": {"account_id": account_id}},
                {"idempotency_key": f"{account_id}.customer"},
            )
            method = await self._methods.attach_async(token, {"customer": customer.id})
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            raise SourceRefused(reason_of(error)) from error
        except stripe.StripeError as error:
            raise unknown(error) from error
        if method.type not in TYPES[source]:
            raise SourceRefused(f"IS_{method.type}".upper())
        shown = getattr(method, method.type)
        name = getattr(shown, "brand", None) or getattr(shown, "bank_name", None) or method.type
        return Connected(
            customer=customer.id,
            display_name=f"{name.upper()} {shown.last4}",
            verification=await self._begin(customer.id, method) if source is Source.ACH else "",
        )

    async def verify(self, source: FundingSource, amounts_minor: Sequence[int]) -> Verdict:
        """Says whether these were deposited. An answer that was lost is found in the intent."""
        asked = self._setups.verify_microdeposits_async(
            source.verification, {"amounts": list(amounts_minor)}
        )
        try:
            intent = await asked
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            if error.code == WRONG_AMOUNTS:
                return Verdict.WRONG
            intent = await known(self._setups.retrieve_async(source.verification))
        except stripe.StripeError as error:
            raise unknown(error) from error
        if intent.status == "requires_action":
            return Verdict.WRONG
        return Verdict.RIGHT if intent.status == "succeeded" else Verdict.CLOSED

    async def forget(self, source: FundingSource) -> None:
        """Detaches the means of payment and deletes its customer. What is known to be gone is."""
        if source.token:
            await self._detach(source.token)
        if source.customer:
            await gone(self._customers.delete_async(source.customer))

    async def events(self, kind: str, *, limit: int) -> list[Event]:
        """The latest events of a type, latest first."""
        found = await known(self._events.list_async({"type": kind, "limit": limit}))
        return [event_of(json.loads(str(one))) for one in found.data]

    async def charges(self) -> AsyncIterator[list[Charge]]:
        """Everything that was ever asked for, in pages."""
        more: dict[str, str] = {}
        while True:
            found = await known(self._intents.list_async({"limit": PAGE, **more}))
            yield [_charge_of(one) for one in found.data]
            if not found.has_more or not found.data:
                return
            more = {"starting_after": found.data[-1].id}

    async def _detach(self, token: str) -> None:
        """Detaches a means of payment. Stripe refuses to detach twice: then it says that nobody's
        it is.
        """
        try:
            await gone(self._methods.detach_async(token))
        except OutcomeUnknown:
            method = await gone(self._methods.retrieve_async(token))
            if method is not None and method.customer:
                raise

    async def _begin(self, customer: str, method: Any) -> str:
        """Lets a bank account be debited; returns the verification that has to come first."""
        made = self._setups.create_async(
            {
                "customer": customer,
                "payment_method": method.id,
                "payment_method_types": [method.type],
                "usage": "off_session",
                "confirm": True,
                # The issuer has the customer's agreement: it is part of how they have signed in.
                "mandate_data": {"customer_acceptance": {"type": "offline"}},
            },
            {"idempotency_key": f"{method.id}.setup"},
        )
        try:
            intent = await made
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            raise SourceRefused(reason_of(error)) from error
        except stripe.StripeError as error:
            raise unknown(error) from error
        if intent.status == "succeeded":
            return ""
        if intent.status == "requires_action" and intent.next_action.type == BY_DEPOSITS:
            return str(intent.id)
        raise SourceRefused(f"IS_{intent.status}".upper())

    async def _prepare(self, payment: Payment, source: FundingSource) -> Outcome:
        created = self._intents.create_async(
            {
                "amount": payment.amount_minor,
                "currency": payment.currency_code.lower(),
                "customer": source.customer,
                "payment_method": source.token,
                "metadata": {"payment_id": payment.id},
            },
            {"idempotency_key": f"{payment.id}.create"},
        )
        try:
            intent = await created
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            return refused(error, "")
        except stripe.StripeError as error:
            raise unknown(error) from error
        return Outcome(result=Result.PREPARED, reference=intent.id)

    async def _outcome(self, payment: Payment, intent: Any) -> Outcome:
        if intent.status == "succeeded":
            # Cards are asked and answered at once; of others the day of receipt is the answer's.
            at_once = payment.charge_ms if payment.source is Source.STRIPE_CARD else None
            return Outcome(result=Result.CAME, reference=intent.id, receive_ms=at_once)
        if intent.status == "processing":
            return Outcome(result=Result.WAITING, reference=intent.id)
        reason = DECLINED
        if intent.status == "requires_action":
            # Nobody is there who could: and nobody may any more.
            await known(self._intents.cancel_async(intent.id))
            reason = AUTHENTICATION_REQUIRED
        elif intent.last_payment_error:
            error = intent.last_payment_error
            reason = upper(getattr(error, "decline_code", None) or getattr(error, "code", None))
        return Outcome(result=Result.REFUSED, reference=intent.id, reason=reason)


def _charge_of(intent: Any) -> Charge:
    return Charge(
        reference=intent.id,
        payment_id=json.loads(str(intent.metadata or "{}")).get("payment_id", ""),
        amount_minor=intent.amount,
        currency_code=intent.currency.upper(),
        came=intent.status == "succeeded",
    )


def verify(body: bytes, header: str, secret: str) -> None:
    """Raises WrongSignature unless Stripe has signed an event a moment ago."""
    try:
        stripe.WebhookSignature.verify_header(body.decode(), header, secret, TOLERANCE_S)
    except (stripe.SignatureVerificationError, ValueError) as error:
        raise WrongSignature from error
