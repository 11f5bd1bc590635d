"""`holdfast reconcile --payments` on real stores: silent on sound books, and finds tampering."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from redis.asyncio import Redis

from holdfast.payments.v1 import back_office_service_pb2 as office
from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import payment_pb2
from payments import reconcile, reconcile_store
from runtime.cli import reconcile_payments as command
from runtime.cli.reconcile_payments import Compared, reconcile_payments
from tests.databases import Database, connected
from tests.payments_mesh import PaymentsMesh, call, stripe_mesh, usd
from tests.stripe_emulator import BAD_CARD, GOOD_CARD, Emulator, stripe_emulator

#: How Stripe's library calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with stripe_emulator() as running:
        yield running


@pytest.fixture
async def mesh(
    database: Database, money: Redis, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PaymentsMesh]:
    monkeypatch.setattr(command, "PAUSE_S", 0)
    monkeypatch.setattr(reconcile_store, "PAGE", 2)
    async with stripe_mesh(database, money, emulator) as running:
        yield running


async def compared(mesh: PaymentsMesh, database: Database) -> Compared:
    await mesh.authz.settle()
    return await reconcile_payments(database.settings, stripe=mesh.parts.stripe, clock=mesh.clock)


async def by_card(mesh: PaymentsMesh, emulator: Emulator, number: str = GOOD_CARD) -> str:
    """A payment by card that has come to its end."""
    account_id = await mesh.open_account(owed_minor=10_000)
    await call(
        mesh.sources.AddFundingSource,
        funding_pb.AddFundingSourceRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            source=payment_pb2.PAYMENT_SOURCE_STRIPE_CARD,
            processor_token=await emulator.card(number),
        ),
    )
    made = await mesh.pay(account_id, 4_000)
    await mesh.work()
    return made.id


async def returned(mesh: PaymentsMesh) -> str:
    """A payment from a deposit that went back."""
    made = await mesh.pay(await mesh.payer(), 3_000)
    await mesh.work()
    await call(
        mesh.office.ReturnPayment,
        office.ReturnPaymentRequest(request_id=mesh.request_id(), payment_id=made.id, reason="R01"),
    )
    await mesh.work()
    return made.id


async def wired(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account(owed_minor=10_000)
    await call(
        mesh.office.RecordTransfer,
        office.RecordTransferRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            source=payment_pb2.PAYMENT_SOURCE_WIRE,
            bank_reference="FT-1",
            amount=usd(700),
        ),
    )
    await mesh.work()


async def test_what_is_sound_agrees_and_tampering_is_found(
    mesh: PaymentsMesh, emulator: Emulator, database: Database
) -> None:
    """Goal: nothing differs whatever became of payments; each tampering is one difference, with
    what to do about it.
    """
    held, refused = await by_card(mesh, emulator), await by_card(mesh, emulator, BAD_CARD)
    from_deposit = await mesh.pay(await mesh.payer(), 3_000)
    failed = await mesh.pay(await mesh.payer(deposit_minor=1), 3_000)
    await mesh.work()
    back = await returned(mesh)
    await wired(mesh)
    await mesh.pay(await mesh.payer(), 100)
    found = await compared(mesh, database)
    assert found.differences == []
    assert (found.payments, found.stripe) == (7, True)
    assert found.kept_minor == {"USD": 4_000 + 3_000 + 700}
    tampering = [
        (f"UPDATE authz.payment SET amount_minor = 1 WHERE id = '{held}'", "amount_minor"),
        (f"UPDATE authz.payment SET state = 'RELEASED' WHERE id = '{back}'", "state"),
        (f"UPDATE payments.payment SET amount_minor = 1 WHERE id = '{held}'", "amount"),
        (f"UPDATE payments.payment SET state = 'FAILED' WHERE id = '{held}'", "charges"),
        (
            (
                "UPDATE payments.payment SET state = 'SUCCEEDED', step = 'NONE', due_time = NULL,"
                f" released = true WHERE id = '{refused}'"
            ),
            "charges",
        ),
        (
            (
                f"UPDATE payments.deposit_charge SET returned = true WHERE payment_id ="
                f" '{from_deposit.id}'"
            ),
            "given_back",
        ),
        (
            f"UPDATE payments.deposit_charge SET taken = true WHERE payment_id = '{failed.id}'",
            "charges",
        ),
        (f"DELETE FROM authz.payment WHERE id = '{held}'", "state"),
        (
            (
                "INSERT INTO authz.payment"
                " SELECT 'pay_' || repeat('0', 34), account_id, amount_minor,"
                f" state, update_time FROM authz.payment WHERE id = '{held}'"
            ),
            "payment",
        ),
    ]
    async with connected(database.owner_dsn) as owner:
        for statement, field in tampering:
            transaction = await _copied(owner)
            await owner.execute(statement)
            found = await compared(mesh, database)
            assert field in {one.field for one in found.differences}, statement
            assert all(one.remedy for one in found.differences)
            await _restored(owner, transaction)
    assert (await compared(mesh, database)).differences == []


async def _copied(owner: asyncpg.Connection) -> list[str]:
    """Copies of what is tampered with."""
    tables = ["payments.payment", "payments.deposit_charge", "authz.payment"]
    for number, table in enumerate(tables):
        await owner.execute(f"CREATE TEMP TABLE kept_{number} AS SELECT * FROM {table}")
    return tables


async def _restored(owner: asyncpg.Connection, tables: list[str]) -> None:
    await owner.execute("SET session_replication_role = replica")
    for number, table in enumerate(tables):
        await owner.execute(f"DELETE FROM {table}")
        await owner.execute(f"INSERT INTO {table} SELECT * FROM kept_{number}")
        await owner.execute(f"DROP TABLE kept_{number}")
    await owner.execute("SET session_replication_role = origin")


async def test_a_charge_that_is_nobody_s_is_named(
    mesh: PaymentsMesh, emulator: Emulator, database: Database
) -> None:
    """Goal: what was taken for a payment that is not there, or a second time, is found."""
    from localstripe.resources import PaymentIntent  # noqa: PLC0415  it warns

    held = await by_card(mesh, emulator)
    reference = (await mesh.shown(held)).processor_reference
    intent = PaymentIntent._api_retrieve(reference)
    for metadata in ({"payment_id": "pay_0a" + "9" * 32}, {"payment_id": held}):
        again = PaymentIntent(
            amount=4_000,
            currency="usd",
            customer=intent.customer,
            payment_method=intent.payment_method,
            metadata=metadata,
        )
        PaymentIntent._api_confirm(again.id)
    found = await compared(mesh, database)
    assert [one.remedy for one in found.differences] == [
        reconcile.NOBODYS_CHARGE,
        reconcile.TAKEN_TWICE,
    ]
