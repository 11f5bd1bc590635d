"""Stripe, as localstripe speaks it: charges, lost answers, webhooks and none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc
import pytest
import stripe
from google.api.httpbody_pb2 import HttpBody
from redis.asyncio import Redis

from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import hook_service_pb2, payment_pb2
from holdfast.payments.v1.hook_service_pb2_grpc import HookServiceStub
from payments.leases import LEASE_MS
from tests.accounts_mesh import refusal_of
from tests.databases import Database
from tests.payments_mesh import PaymentsMesh, call, refused, stripe_mesh
from tests.stripe_emulator import BAD_CARD, HOOK_SECRET, SECURE_CARD, Emulator, stripe_emulator

#: How Stripe's library calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with stripe_emulator() as running:
        yield running


@pytest.fixture
async def mesh(database: Database, money: Redis, emulator: Emulator) -> AsyncIterator[PaymentsMesh]:
    async with stripe_mesh(database, money, emulator) as running:
        yield running


def adding(mesh: PaymentsMesh, account_id: str, token: str) -> funding_pb.AddFundingSourceRequest:
    return funding_pb.AddFundingSourceRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        source=payment_pb2.PAYMENT_SOURCE_STRIPE_CARD,
        processor_token=token,
    )


async def payer(mesh: PaymentsMesh, token: str) -> str:
    """An account that owes 100.00 and pays by card."""
    account_id = await mesh.open_account(owed_minor=10_000)
    added = await call(mesh.sources.AddFundingSource, adding(mesh, account_id, token))
    assert added.funding_source.display_name.startswith("VISA ")
    return account_id


async def rested(mesh: PaymentsMesh) -> None:
    for _ in range(8):
        await mesh.work()
        mesh.clock.advance(LEASE_MS)


async def test_a_card_is_charged_and_released(mesh: PaymentsMesh, emulator: Emulator) -> None:
    account_id = await payer(mesh, await emulator.card())
    made = await mesh.pay(account_id, 4_000)
    await mesh.work()
    assert await mesh.owed(account_id) == (6_000, 4_000)
    (charge,) = await emulator.charges()
    shown = await mesh.shown(made.id)
    assert (charge["amount"], charge["payment_intent"]) == (4_000, shown.processor_reference)
    await mesh.until("2027-01-21")
    assert await mesh.owed(account_id) == (6_000, 0)


@pytest.mark.parametrize(
    ("number", "reason"), [(BAD_CARD, "CARD_DECLINED"), (SECURE_CARD, "AUTHENTICATION_REQUIRED")]
)
async def test_a_card_that_is_refused(
    mesh: PaymentsMesh, emulator: Emulator, number: str, reason: str
) -> None:
    account_id = await payer(mesh, await emulator.card(number))
    made = await mesh.pay(account_id)
    await rested(mesh)
    shown = await mesh.shown(made.id)
    assert (shown.state, shown.reason) == (payment_pb2.Payment.STATE_FAILED, reason)
    assert (await mesh.owed(account_id), await emulator.charges()) == ((10_000, 0), [])


async def test_unknown_and_declined_cards_are_not_taken(
    mesh: PaymentsMesh, emulator: Emulator
) -> None:
    account_id = await mesh.open_account()
    for token in ("pm_unknown", await emulator.card("4000000000000002")):
        found = await refused(mesh.sources.AddFundingSource, adding(mesh, account_id, token))
        assert found.reason == "FUNDING_SOURCE_REFUSED"
    request = adding(mesh, account_id, await emulator.card())
    emulator.faults = ["500"]
    assert (await refused(mesh.sources.AddFundingSource, request)).reason == (
        "PROCESSOR_UNAVAILABLE"
    )
    assert (await call(mesh.sources.AddFundingSource, request)).funding_source.is_default


@pytest.mark.parametrize("fault", ["before", "after", "500"])
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("forgets", [True, False])
async def test_a_lost_answer_charges_once(
    mesh: PaymentsMesh, emulator: Emulator, fault: str, half: int, forgets: bool
) -> None:
    """Goal: whichever half fails, however, also if Stripe has forgotten the keys by then."""
    account_id = await payer(mesh, await emulator.card())
    made = await mesh.pay(account_id, 4_000)
    emulator.faults = [*[""] * half, fault]
    await mesh.work()
    if forgets:
        emulator.answers.clear()
    await rested(mesh)
    assert await mesh.state(made.id) == "SUCCEEDED"
    assert [one["amount"] for one in await emulator.charges()] == [4_000]
    assert (await mesh.owed(account_id))[0] == 6_000


def event(kind: str, reference: str, name: str = "evt_1") -> bytes:
    field = "id" if kind.startswith("payment_intent") else "payment_intent"
    return json.dumps({"id": name, "type": kind, "data": {"object": {field: reference}}}).encode()


async def told(
    mesh: PaymentsMesh, body: bytes, *, secret: str = HOOK_SECRET, timestamp: int | None = None
) -> str:
    """Sends an event as Stripe does; returns the reason of a refusal."""
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp)
    request = hook_service_pb2.ReceiveStripeEventRequest(body=HttpBody(data=body))
    metadata = (("stripe-signature", header),)
    stub = HookServiceStub(mesh.channel)
    try:
        await call(stub.ReceiveStripeEvent, request, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return refusal_of(error).reason
    return ""


async def test_a_dispute_takes_the_money_back_once(mesh: PaymentsMesh, emulator: Emulator) -> None:
    """Goal: told twice, or forged, or about nobody: it counts once, or not at all."""
    account_id = await payer(mesh, await emulator.card())
    made = await mesh.pay(account_id, 4_000)
    await mesh.work()
    reference = (await mesh.shown(made.id)).processor_reference
    dispute = event("charge.dispute.created", reference)
    assert await told(mesh, dispute, secret="whsec_of_others") == "HOOK_SIGNATURE"
    assert await told(mesh, dispute, timestamp=1_700_000_000) == "HOOK_SIGNATURE"
    await mesh.work()
    assert await mesh.state(made.id) == "SUCCEEDED"
    assert await told(mesh, event("charge.dispute.created", "pi_unknown", "evt_0")) == ""
    for _ in range(2):
        assert await told(mesh, dispute) == ""
        await mesh.work()
    assert await mesh.state(made.id) == "RETURNED"
    assert await mesh.owed(account_id) == (10_000, 0)
    assert await told(mesh, b"[]") == "MALFORMED_EVENT"


async def test_events_in_any_order(mesh: PaymentsMesh, emulator: Emulator) -> None:
    """Goal: a dispute before its charge is known is told again; success only hastens a look."""
    account_id = await payer(mesh, await emulator.card())
    made = await mesh.pay(account_id, 4_000)
    emulator.faults = ["", "after"]
    await mesh.work()
    reference = (await mesh.shown(made.id)).processor_reference
    dispute = event("charge.dispute.created", reference, "evt_2")
    assert await told(mesh, dispute) == "EVENT_TOO_EARLY"
    assert await told(mesh, event("payment_intent.succeeded", reference)) == ""
    await mesh.work()
    assert await mesh.state(made.id) == "SUCCEEDED"
    assert await told(mesh, dispute) == ""
    await mesh.work()
    assert await mesh.owed(account_id) == (10_000, 0)


async def test_a_dispute_that_nobody_told_is_found(mesh: PaymentsMesh, emulator: Emulator) -> None:
    from localstripe.resources import Event, PaymentIntent  # noqa: PLC0415

    account_id = await payer(mesh, await emulator.card())
    made = await mesh.pay(account_id, 4_000)
    await mesh.work()
    intent = PaymentIntent._api_retrieve((await mesh.shown(made.id)).processor_reference)
    dispute = Event("charge.dispute.created", intent)
    dispute.data["object"]["payment_intent"] = intent.id
    assert mesh.parts.stripe is not None
    assert await mesh.parts.hooks.poll(mesh.parts.stripe) == 1
    assert await mesh.parts.hooks.poll(mesh.parts.stripe) == 0
    await mesh.work()
    assert await mesh.state(made.id) == "RETURNED"
