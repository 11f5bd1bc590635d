"""HookService: what processors tell by themselves."""

from __future__ import annotations

import json
from typing import Any

import stripe

from holdfast.payments.v1 import hook_service_pb2 as pb
from holdfast.payments.v1.hook_service_pb2_grpc import HookServiceServicer
from payments.hooks import Hooks
from payments.stripe_processor import event_of
from runtime.errors import FailedPrecondition, InvalidArgument

#: How long ago an event may have been signed.
TOLERANCE_S = 300
SIGNATURE_HEADER = "stripe-signature"


class HookService(HookServiceServicer):
    """Takes events. `secret`: what Stripe signs them with; empty: it is not configured."""

    def __init__(self, hooks: Hooks, *, secret: str) -> None:
        self._hooks = hooks
        self._secret = secret

    async def ReceiveStripeEvent(
        self, request: pb.ReceiveStripeEventRequest, context: Any
    ) -> pb.ReceiveStripeEventResponse:
        """Takes an event of Stripe's."""
        if not self._secret:
            raise FailedPrecondition(
                "this installation has nothing to do with Stripe", reason="SOURCE_NOT_AVAILABLE"
            )
        body = request.body.data
        header = dict(context.invocation_metadata()).get(SIGNATURE_HEADER, "")
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), str(header), self._secret, TOLERANCE_S
            )
        except (stripe.SignatureVerificationError, ValueError) as error:
            raise InvalidArgument(
                "the signature is not Stripe's", reason="HOOK_SIGNATURE"
            ) from error
        try:
            event = event_of(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidArgument("this is no event", reason="MALFORMED_EVENT") from error
        await self._hooks.take(event)
        return pb.ReceiveStripeEventResponse()
