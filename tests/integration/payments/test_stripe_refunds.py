"""Refunds through Stripe, as localstripe speaks it: lost answers, refusals, late failures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import stripe
from google.api.httpbody_pb2 import HttpBody
from redis.asyncio import Redis

from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import hook_service_pb2, payment_pb2, refund_pb2
from holdfast.payments.v1 import refund_service_pb2 as pb
from holdfast.payments.v1.hook_service_pb2_grpc import HookServiceStub
from payments.leases import LEASE_MS
from runtime.cli.reconcile_payments import reconcile_payments
from tests.databases import Database
from tests.payments_mesh import PaymentsMesh, call, stripe_mesh
from tests.stripe_emulator import HOOK_SECRET, Emulator, stripe_emulator

Payment = payment_pb2.Payment
Refund = refund_pb2.Refund

#: How Stripe's library calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with stripe_emulator() as running:
        yield running


@pytest.fixture
async def mesh(database: Database, money: Redis, emulator: Emulator) -> AsyncIterator[PaymentsMesh]:
    async with stripe_mesh(
        database, money, emulator, payments_hold_days={"STRIPE_CARD": 0}
    ) as running:
        yield running


async def overpaid(mesh: PaymentsMesh, emulator: Emulator) -> tuple[str, str]:
    """An account that has paid 40.00 by card and owed nothing, and the payment."""
    account_id = await mesh.open_account()
    await call(
        mesh.sources.AddFundingSource,
        funding_pb.AddFundingSourceRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            source=payment_pb2.PAYMENT_SOURCE_STRIPE_CARD,
            processor_token=await emulator.card(),
        ),
    )
    made = await mesh.pay(account_id, 4_000)
    await rested(mesh)
    assert await mesh.owed(account_id) == (-4_000, 0)
    return account_id, made.id


async def rested(mesh: PaymentsMesh) -> None:
    for _ in range(6):
        await mesh.work()
        mesh.clock.advance(LEASE_MS)


async def paid_back(mesh: PaymentsMesh, account_id: str) -> Refund:
    request = pb.RefundCreditBalanceRequest(request_id=mesh.request_id(), account_id=account_id)
    (made,) = (await call(mesh.refunds.RefundCreditBalance, request)).refunds
    await rested(mesh)
    found: Refund = (
        await call(mesh.refunds.GetRefund, pb.GetRefundRequest(refund_id=made.id))
    ).refund
    return found


async def agrees(mesh: PaymentsMesh, database: Database) -> None:
    """Ledger, payments and Stripe, to the cent."""
    await mesh.authz.settle()
    settings = database.settings.model_copy(update={"home": mesh.authz.settings.home})
    found = await reconcile_payments(settings, stripe=mesh.parts.stripe, clock=mesh.clock)
    assert found.differences == []
    assert found.refunds


@pytest.mark.parametrize("faults", [[], ["before"], ["after"], ["500"], ["after", "before"]])
async def test_money_goes_back_once(
    mesh: PaymentsMesh, emulator: Emulator, database: Database, faults: list[str]
) -> None:
    """Whatever becomes of the answer."""
    account_id, payment_id = await overpaid(mesh, emulator)
    emulator.faults = faults
    found = await paid_back(mesh, account_id)
    assert found.state == Refund.STATE_SUCCEEDED
    assert found.processor_reference.startswith("re_")
    assert emulator.posts.count("/v1/refunds") == 1
    assert await mesh.state(payment_id) == "REFUNDED"
    assert await mesh.owed(account_id) == (0, 0)
    await agrees(mesh, database)


async def test_what_stripe_refuses_is_put_back(
    mesh: PaymentsMesh, emulator: Emulator, database: Database
) -> None:
    """Stripe never heard of the charge."""
    account_id, payment_id = await overpaid(mesh, emulator)
    await mesh.pool.execute(
        "UPDATE payment SET processor_reference = 'pi_none' WHERE id = $1", payment_id
    )
    found = await paid_back(mesh, account_id)
    assert found.state == Refund.STATE_FAILED
    assert found.reason
    assert await mesh.state(payment_id) == "SUCCEEDED"
    assert await mesh.owed(account_id) == (-4_000, 0)


async def test_a_refund_that_fails_later_is_put_back_once(
    mesh: PaymentsMesh, emulator: Emulator, database: Database
) -> None:
    account_id, payment_id = await overpaid(mesh, emulator)
    found = await paid_back(mesh, account_id)
    from localstripe.resources import store  # noqa: PLC0415  it warns

    given = next(
        one for one in store.values() if getattr(one, "id", "") == found.processor_reference
    )
    given.status = "failed"
    for number in range(3):
        body = json.dumps(
            {
                "id": f"evt_{number}",
                "type": "refund.failed",
                "data": {
                    "object": {
                        "id": given.id,
                        "status": "failed",
                        "failure_reason": "lost_or_stolen_card",
                        "metadata": {"refund_id": found.id},
                    }
                },
            }
        ).encode()
        header = stripe.WebhookSignature.generate_signature_header(body.decode(), HOOK_SECRET)
        await call(
            HookServiceStub(mesh.channel).ReceiveStripeEvent,
            hook_service_pb2.ReceiveStripeEventRequest(body=HttpBody(data=body)),
            metadata=(("stripe-signature", header),),
        )
        await rested(mesh)
    after = (await call(mesh.refunds.GetRefund, pb.GetRefundRequest(refund_id=found.id))).refund
    assert (after.state, after.reason) == (Refund.STATE_FAILED, "LOST_OR_STOLEN_CARD")
    assert await mesh.state(payment_id) == "SUCCEEDED"
    assert await mesh.owed(account_id) == (-4_000, 0)
    await agrees(mesh, database)
