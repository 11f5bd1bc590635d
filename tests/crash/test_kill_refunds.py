"""kill -9 of payments while credit balances are paid back, Stripe behind a bad network: nothing
goes back twice, or that is not there, or without being taken from the balance.

Method: as tests/crash/test_kill_payments.py, whose world this is. Each account has overpaid by two
payments; several callers at once ask for all of it, and for a part that together is more than there
is, each repeating its request until it is answered, while the process is killed again and again.
At last Stripe, ledger and refunds are compared to the cent.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import grpc
import pytest

from holdfast.payments.v1 import refund_service_pb2 as pb
from holdfast.payments.v1.payment_service_pb2_grpc import PaymentServiceStub
from holdfast.payments.v1.refund_service_pb2_grpc import RefundServiceStub
from runtime import moved_clock
from runtime.cli.reconcile_payments import reconcile_payments
from tests.crash.test_kill_payments import FAULTS, PATIENCE_S, World, killed, stripe_payer, world
from tests.databases import Database
from tests.payments_mesh import usd

__all__ = ["world"]

ACCOUNTS = 25
PAID = (4_000, 3_000)
#: What callers ask for at the same time; 0: all there is.
ASKED = (0, 2_500, 5_000)

#: How Stripe's library calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def _overpaid(world: World) -> str:
    """An account that owed nothing, and has paid all the same."""
    account_id = await stripe_payer(world, owed_minor=0)
    stub = PaymentServiceStub(world.channel)
    for amount_minor in PAID:
        await world.answered(stub.MakePayment, world.mesh.making(account_id, amount_minor))
    until = time.monotonic() + PATIENCE_S
    while await world.mesh.owed(account_id) != (-sum(PAID), 0):
        assert time.monotonic() < until, "the payments do not come"
        await asyncio.sleep(0.2)
    return account_id


async def _pay_back(world: World, account_id: str, amount_minor: int) -> set[str]:
    """The refunds of one request; none if the credit was gone."""
    stub = RefundServiceStub(world.channel)
    request = pb.RefundCreditBalanceRequest(
        request_id=world.mesh.request_id(),
        account_id=account_id,
        amount=usd(amount_minor) if amount_minor else None,
    )
    await asyncio.sleep(world.random.uniform(0, 4))
    try:
        made = await world.answered(stub.RefundCreditBalance, request)
        again = await world.answered(stub.RefundCreditBalance, request)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return set()
    assert again == made
    return {one.id for one in made.refunds}


async def _rested(world: World) -> None:
    """Until no refund is on its way."""
    until = time.monotonic() + PATIENCE_S
    while await world.mesh.pool.fetchval("SELECT count(*) FROM refund WHERE step <> 'NONE'"):
        assert time.monotonic() < until, "refunds do not come to rest"
        await asyncio.sleep(0.5)
        world.move_on()


async def _check(world: World, accounts: list[str], made: set[str]) -> None:
    """Each refund that succeeded is one of Stripe's, and each account has what is left."""
    from localstripe.resources import Refund, store  # noqa: PLC0415  it warns

    rows = await world.mesh.pool.fetch("SELECT * FROM refund")
    assert {row["id"] for row in rows} == made
    assert {row["state"] for row in rows} <= {"SUCCEEDED", "FAILED"}
    sent = {row["reference"]: row["amount_minor"] for row in rows if row["state"] == "SUCCEEDED"}
    at_stripe = {one.id: one.amount for one in list(store.values()) if isinstance(one, Refund)}
    assert at_stripe == sent
    back: Counter[str] = Counter()
    for row in rows:
        back[row["account_id"]] += row["amount_minor"] * (row["state"] == "SUCCEEDED")
    for account_id in accounts:
        left_minor = sum(PAID) - back[account_id]
        assert left_minor >= 0
        assert await world.mesh.owed(account_id) == (-left_minor, 0)
    # Somebody asked for everything, so that most of it went back.
    assert sum(back.values()) >= sum(PAID) * ACCOUNTS // 2


@pytest.mark.timeout(300)
async def test_payments_killed_amid_refunds(world: World, database: Database) -> None:
    world.environment["HOLDFAST_PAYMENTS_HOLD_DAYS"] = json.dumps({"STRIPE_CARD": 0})
    await world.kill()
    await world.start()
    accounts = list(await asyncio.gather(*(_overpaid(world) for _ in range(ACCOUNTS))))
    world.proxy.faults = FAULTS
    asked = [_pay_back(world, account_id, minor) for account_id in accounts for minor in ASKED]
    found, _ = await asyncio.gather(asyncio.gather(*asked), killed(world))
    await _rested(world)
    await _check(world, accounts, set().union(*found))
    assert world.unknown, "the kills must have been felt, or the test shows nothing"
    await world.mesh.authz.settle()
    compared = await reconcile_payments(
        database.settings,
        stripe=world.mesh.parts.stripe,
        clock=moved_clock.clock_of_home(world.settings.home),
    )
    assert compared.differences == []
    assert compared.refunds
