"""EventFeedService: what happened to payments, handed over once and in order."""

from __future__ import annotations

import json
from typing import Any

import grpc

from holdfast.payments.v1 import event_feed_service_pb2 as pb
from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import payment_pb2, payment_service_pb2
from holdfast.payments.v1.event_feed_service_pb2_grpc import EventFeedServiceStub
from tests.payments_mesh import PaymentsMesh, call, refused, usd

NOTIFY = ("x-auth-spiffe", "spiffe://holdfast.local/service/notify")


async def told(mesh: PaymentsMesh, after: int = 0, page_size: int = 500) -> pb.FollowEventsResponse:
    stub: Any = EventFeedServiceStub(mesh.channel)
    request = pb.FollowEventsRequest(after=after, page_size=page_size)
    found: pb.FollowEventsResponse = await call(stub.FollowEvents, request, principal=NOTIFY)
    return found


async def types(mesh: PaymentsMesh) -> list[str]:
    return [one.type.removeprefix("payment.") for one in (await told(mesh)).events]


async def test_the_life_of_a_payment_is_told(mesh: PaymentsMesh) -> None:
    """Goal: each state once and in order, page by page, also if the request is repeated."""
    account_id = await mesh.payer()
    request = mesh.making(account_id, 5_000)
    made = (await call(mesh.payments.MakePayment, request)).payment
    await mesh.work()
    await call(mesh.payments.MakePayment, request)
    await mesh.work()
    answer = await told(mesh)
    assert [(one.number, one.type) for one in answer.events] == [
        (1, "payment.processing"),
        (2, "payment.succeeded"),
    ]
    assert {one.account_id for one in answer.events} == {account_id}
    data = json.loads(answer.events[1].data)
    assert (data["payment_id"], data["amount"]["amount_minor"]) == (made.id, 5_000)
    first = await told(mesh, page_size=1)
    assert ([one.number for one in first.events], first.more) == ([1], True)
    assert [one.number for one in (await told(mesh, after=1)).events] == [2]


async def test_what_came_to_nothing_is_told(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer(deposit_minor=100)
    await mesh.pay(account_id, 5_000)
    await mesh.work()
    scheduled = await call(
        mesh.payments.SchedulePayment,
        payment_service_pb2.SchedulePaymentRequest(
            request_id=mesh.request_id(), account_id=account_id, amount=usd(50), date="2027-01-31"
        ),
    )
    await call(
        mesh.payments.CancelPayment,
        payment_service_pb2.CancelPaymentRequest(
            request_id=mesh.request_id(), payment_id=scheduled.payment.id
        ),
    )
    assert await types(mesh) == ["processing", "failed", "scheduled", "canceled"]


async def test_autopay_is_told_when_it_is_set_and_off(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()

    async def setting(**fields: Any) -> payment_pb2.Autopay:
        request = payment_service_pb2.SetAutopayRequest(
            request_id=mesh.request_id(), account_id=account_id, **fields
        )
        found: payment_pb2.Autopay = (await call(mesh.payments.SetAutopay, request)).autopay
        return found

    await setting(enabled=False)
    minimum = {"enabled": True, "basis": payment_pb2.PAYMENT_BASIS_MINIMUM}
    await setting(**minimum)
    again = await setting(**minimum)
    await setting(enabled=False)
    await setting(**minimum)
    await call(
        mesh.sources.RemoveFundingSource,
        funding_pb.RemoveFundingSourceRequest(
            request_id=mesh.request_id(), funding_source_id=again.funding_source_id
        ),
    )
    assert await types(mesh) == ["autopay_set", "autopay_off"] * 2


async def test_only_notify_may_ask(mesh: PaymentsMesh) -> None:
    stub: Any = EventFeedServiceStub(mesh.channel)
    other = ("x-auth-spiffe", "spiffe://holdfast.local/service/accounts")
    found = await refused(stub.FollowEvents, pb.FollowEventsRequest(), principal=other)
    assert found.code is grpc.StatusCode.PERMISSION_DENIED
    wrong = pb.FollowEventsRequest(after=-1, page_size=-1)
    found = await refused(stub.FollowEvents, wrong, principal=NOTIFY)
    assert found.fields == ["page_size", "after"]
