"""HookService: what processors tell by themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from holdfast.payments.v1 import hook_service_pb2 as pb
from holdfast.payments.v1.hook_service_pb2_grpc import HookServiceServicer
from payments.hooks import Hooks
from payments.stripe_words import WrongSignature, event_of
from runtime.errors import FailedPrecondition, InvalidArgument

SIGNATURE_HEADER = "stripe-signature"

#: Raises WrongSignature for a body and the header that came with it.
Verify = Callable[[bytes, str], None]


class HookService(HookServiceServicer):
    """Takes events. `verify`: None if Stripe is not configured."""

    def __init__(self, hooks: Hooks, verify: Verify | None) -> None:
        self._hooks = hooks
        self._verify = verify

    async def ReceiveStripeEvent(
        self, request: pb.ReceiveStripeEventRequest, context: Any
    ) -> pb.ReceiveStripeEventResponse:
        """Takes an event of Stripe's."""
        if self._verify is None:
            raise FailedPrecondition(
                "this installation has nothing to do with Stripe", reason="SOURCE_NOT_AVAILABLE"
            )
        body = request.body.data
        header = dict(context.invocation_metadata()).get(SIGNATURE_HEADER, "")
        try:
            self._verify(body, str(header))
        except WrongSignature as error:
            raise InvalidArgument(
                "the signature is not Stripe's", reason="HOOK_SIGNATURE"
            ) from error
        try:
            event = event_of(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidArgument("this is no event", reason="MALFORMED_EVENT") from error
        await self._hooks.take(event)
        return pb.ReceiveStripeEventResponse()
