"""ReceiveStripeEvent where Stripe is off; where it is on: tests/integration/payments."""

from __future__ import annotations

import grpc
from google.api.httpbody_pb2 import HttpBody

from holdfast.payments.v1 import hook_service_pb2 as pb
from holdfast.payments.v1.hook_service_pb2_grpc import HookServiceStub
from tests.payments_mesh import PaymentsMesh, refused


async def test_nobody_is_believed_where_stripe_is_off(mesh: PaymentsMesh) -> None:
    request = pb.ReceiveStripeEventRequest(body=HttpBody(data=b"{}"))
    found = await refused(HookServiceStub(mesh.channel).ReceiveStripeEvent, request)
    assert (found.code, found.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SOURCE_NOT_AVAILABLE",
    )
