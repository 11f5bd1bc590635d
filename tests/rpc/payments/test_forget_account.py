"""ForgetAccount: of erased people nothing tells from where they paid, here or at Stripe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from redis.asyncio import Redis

from holdfast.payments.v1 import erasure_service_pb2 as pb
from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import payment_pb2
from holdfast.payments.v1 import payment_service_pb2 as payment_service
from holdfast.payments.v1.erasure_service_pb2_grpc import ErasureServiceStub
from tests.databases import Database
from tests.payments_mesh import PaymentsMesh, call, refused, stripe_mesh, usd
from tests.stripe_emulator import KEY, Emulator, stripe_emulator

#: How Stripe's library calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

RETRY_MS = 10_000
ACCOUNTS = ("x-auth-spiffe", "spiffe://holdfast.local/service/accounts")


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


async def add_card(mesh: PaymentsMesh, account_id: str, token: str) -> str:
    added = await call(mesh.sources.AddFundingSource, adding(mesh, account_id, token))
    name: str = added.funding_source.id
    return name


async def forget(mesh: PaymentsMesh, account_id: str) -> None:
    request = pb.ForgetAccountRequest(account_id=account_id)
    await call(ErasureServiceStub(mesh.channel).ForgetAccount, request, principal=ACCOUNTS)


async def at_stripe(emulator: Emulator, token: str, customer: str) -> tuple[Any, int]:
    """Whose a card is, and what is said of the customer."""
    async with httpx.AsyncClient(base_url=emulator.url, auth=(KEY, "")) as client:
        method = await client.get(f"/v1/payment_methods/{token}")
        found = await client.get(f"/v1/customers/{customer}")
    return method.json()["customer"], found.status_code


async def telling(mesh: PaymentsMesh, *words: str) -> dict[str, int]:
    """The tables in which one of the words stands, in whatever column."""
    tables = await mesh.pool.fetch(
        "SELECT table_name AS name FROM information_schema.tables"
        " WHERE table_schema = 'payments' AND table_type = 'BASE TABLE'"
    )
    found: dict[str, int] = {}
    for table in (row["name"] for row in tables):
        for row in await mesh.pool.fetch(f'SELECT * FROM payments."{table}"'):
            text = " ".join(
                value.decode("latin-1") if isinstance(value, bytes) else str(value)
                for value in row.values()
            )
            found[table] = found.get(table, 0) + any(word in text for word in words)
    return {table: number for table, number in found.items() if number}


async def finished(mesh: PaymentsMesh, account_id: str) -> bool:
    found: bool = await mesh.pool.fetchval(
        "SELECT finish_time IS NOT NULL FROM erasure WHERE account_id = $1", account_id
    )
    return found


async def test_nothing_is_left_of_funding_sources(mesh: PaymentsMesh, emulator: Emulator) -> None:
    """Goal: payments stay, and nothing else; what others have is not touched."""
    account_id, other_id = [await mesh.open_account(owed_minor=10_000) for _ in range(2)]
    tokens = [await emulator.card() for _ in range(3)]
    for token in tokens[:2]:
        source_id = await add_card(mesh, account_id, token)
    await add_card(mesh, other_id, tokens[2])
    removing = funding_pb.RemoveFundingSourceRequest(
        request_id=mesh.request_id(), funding_source_id=source_id
    )
    await call(mesh.sources.RemoveFundingSource, removing)
    paid = await mesh.pay(account_id, 4_000)
    await mesh.work()
    rows = await mesh.pool.fetch("SELECT * FROM funding_source WHERE account_id = $1", account_id)
    customer = rows[0]["customer"]
    assert "request_record" in await telling(mesh, *tokens[:2], customer, "VISA 4242")

    await forget(mesh, account_id)
    assert await mesh.parts.eraser.work_due() == 1
    await forget(mesh, account_id)
    assert (await mesh.parts.eraser.work_due(), await finished(mesh, account_id)) == (0, True)

    assert await telling(mesh, *tokens[:2], customer) == {}
    assert await telling(mesh, "VISA 4242") == {"funding_source": 1, "request_record": 1}
    assert {await at_stripe(emulator, token, customer) for token in tokens[:2]} == {(None, 404)}
    other = await mesh.pool.fetchval(
        "SELECT customer FROM funding_source WHERE account_id = $1", other_id
    )
    assert await at_stripe(emulator, tokens[2], other) == (other, 200)
    rows = await mesh.pool.fetch("SELECT * FROM funding_source WHERE account_id = $1", account_id)
    assert {(row["state"], row["is_default"]) for row in rows} == {("REMOVED", False)}
    assert (await mesh.shown(paid.id)).funding_source_id in {row["id"] for row in rows}
    assert await mesh.state(paid.id) == "SUCCEEDED"


async def test_nothing_is_paid_by_itself_any_more(mesh: PaymentsMesh, emulator: Emulator) -> None:
    account_id = await mesh.open_account(owed_minor=10_000)
    source_id = await add_card(mesh, account_id, await emulator.card())
    scheduling = payment_service.SchedulePaymentRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        amount=usd(1_000),
        date="2027-02-01",
        interval=payment_pb2.PAYMENT_INTERVAL_MONTHLY,
    )
    scheduled = (await call(mesh.payments.SchedulePayment, scheduling)).payment
    setting = payment_service.SetAutopayRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        enabled=True,
        basis=payment_pb2.PAYMENT_BASIS_MINIMUM,
        funding_source_id=source_id,
    )
    await call(mesh.payments.SetAutopay, setting)
    await forget(mesh, account_id)
    assert await mesh.state(scheduled.id) == "CANCELED"
    assert (await mesh.shown(scheduled.id)).reason == "ACCOUNT_CLOSED"
    assert not await mesh.pool.fetchval(
        "SELECT enabled FROM autopay WHERE account_id = $1", account_id
    )
    told = await mesh.pool.fetch("SELECT type FROM event WHERE account_id = $1", account_id)
    assert {"payment.autopay_off", "payment.canceled"} <= {row["type"] for row in told}
    await mesh.parts.eraser.work_due()
    await mesh.until("2027-03-02")
    assert (await mesh.owed(account_id), await emulator.charges()) == ((10_000, 0), [])


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("fault", ["before", "after"])
async def test_what_stripe_did_not_answer_is_asked_again(
    mesh: PaymentsMesh, emulator: Emulator, fault: str, step: int
) -> None:
    """Goal: wherever it stops (the second card's turn, too), the rest is done later, and what was
    done is not taken for a failure.
    """
    account_id = await mesh.open_account()
    tokens = [await emulator.card() for _ in range(2)]
    for token in tokens:
        await add_card(mesh, account_id, token)
    customer = await mesh.pool.fetchval("SELECT customer FROM funding_source LIMIT 1")
    await forget(mesh, account_id)
    emulator.faults = [""] * step + [fault]
    assert await mesh.parts.eraser.work_due() == 1
    # Whether a card was detached is looked up.
    assert await finished(mesh, account_id) == (fault == "after" and step != 1)
    assert await mesh.parts.eraser.work_due() == 0
    for _ in range(3):
        mesh.clock.advance(RETRY_MS)
        await mesh.parts.eraser.work_due()
    assert await finished(mesh, account_id)
    assert await telling(mesh, *tokens, customer, "VISA 4242") == {}
    assert {await at_stripe(emulator, token, customer) for token in tokens} == {(None, 404)}


async def test_what_stripe_has_forgotten_itself(mesh: PaymentsMesh, emulator: Emulator) -> None:
    account_id, token = await mesh.open_account(), await emulator.card()
    await add_card(mesh, account_id, token)
    await mesh.pool.execute("UPDATE funding_source SET token = 'pm_gone', customer = 'cus_gone'")
    await forget(mesh, account_id)
    await mesh.parts.eraser.work_due()
    assert (await telling(mesh, "pm_gone", "cus_gone"), await finished(mesh, account_id)) == (
        {},
        True,
    )


async def test_a_charge_that_has_begun_is_ended_first(
    mesh: PaymentsMesh, emulator: Emulator
) -> None:
    account_id, token = await mesh.open_account(owed_minor=10_000), await emulator.card()
    await add_card(mesh, account_id, token)
    made = await mesh.pay(account_id, 4_000)
    await forget(mesh, account_id)
    await mesh.parts.eraser.work_due()
    assert "funding_source" in await telling(mesh, token)
    await mesh.work()
    assert await mesh.state(made.id) == "SUCCEEDED"
    mesh.clock.advance(60_000)
    await mesh.parts.eraser.work_due()
    assert await telling(mesh, token) == {}


async def test_nothing_is_added_to_who_was_erased(mesh: PaymentsMesh, emulator: Emulator) -> None:
    account_id = await mesh.open_account()
    await forget(mesh, account_id)
    posts = len(emulator.posts)
    request = adding(mesh, account_id, await emulator.card())
    error = await refused(mesh.sources.AddFundingSource, request)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ACCOUNT_CLOSED",
    )
    assert emulator.posts[posts:] == ["/v1/payment_methods"]


async def test_an_account_is_named(mesh: PaymentsMesh) -> None:
    request = pb.ForgetAccountRequest(account_id="usr_1")
    error = await refused(
        ErasureServiceStub(mesh.channel).ForgetAccount, request, principal=ACCOUNTS
    )
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
