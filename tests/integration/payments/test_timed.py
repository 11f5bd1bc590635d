"""What is due at one moment is done once, however many workers look, and however late."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime

from holdfast.payments.v1 import payment_pb2
from holdfast.payments.v1 import payment_service_pb2 as pb
from payments.leases import LEASE_MS
from payments.worker import Worker
from tests.payments_mesh import PaymentsMesh, call, usd

WORKERS = 4


def move_to(mesh: PaymentsMesh, day: str) -> None:
    """Moves the clock to noon (UTC) of a day; nobody works."""
    noon = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
    mesh.clock.advance(int(noon.timestamp() * 1000) - mesh.clock.now_ms())


async def worked(mesh: PaymentsMesh) -> None:
    """Several workers, each for itself, until nothing is due."""
    await mesh.authz.settle()
    await mesh.authz.worker.watch.look()
    parts = mesh.parts
    workers = [
        Worker(parts.store, parts.steps, parts.steps._holders, mesh.clock) for _ in range(WORKERS)
    ]

    async def work(worker: Worker) -> None:
        for _ in range(12):
            await asyncio.gather(worker.look_due(), worker.work_due())

    for _ in range(3):
        await asyncio.gather(*map(work, workers))
        mesh.clock.advance(LEASE_MS)


async def planned(mesh: PaymentsMesh) -> str:
    """An account that pays 20.00 a month from the 31st on, and 42.00 for each statement."""
    account_id = await mesh.payer(owed_minor=100_000)
    mesh.bill(account_id, 1, date(2027, 1, 31), balance_minor=50_000, minimum_minor=3_500)
    await call(
        mesh.payments.SchedulePayment,
        pb.SchedulePaymentRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            amount=usd(2_000),
            date="2027-01-31",
            interval=payment_pb2.PAYMENT_INTERVAL_MONTHLY,
        ),
    )
    await call(
        mesh.payments.SetAutopay,
        pb.SetAutopayRequest(
            request_id=mesh.request_id(), account_id=account_id, enabled=True, amount=usd(4_200)
        ),
    )
    return account_id


async def paid(mesh: PaymentsMesh, account_id: str) -> Counter[tuple[str, str]]:
    """Payments that have succeeded: why, and for which day."""
    return Counter(
        (payment_pb2.Payment.Cause.Name(one.cause)[6:], one.scheduled_date)
        for one in await mesh.listed(account_id)
        if one.state == payment_pb2.Payment.STATE_SUCCEEDED
    )


async def test_workers_that_look_at_the_same_time_pay_once(mesh: PaymentsMesh) -> None:
    accounts = [await planned(mesh) for _ in range(5)]
    move_to(mesh, "2027-01-31")
    await worked(mesh)
    for account_id in accounts:
        expected = {("SCHEDULE", "2027-01-31"): 1, ("AUTOPAY", "2027-01-31"): 1}
        assert await paid(mesh, account_id) == expected
        assert await mesh.owed(account_id) == (100_000 - 2_000 - 4_200, 0)
        waiting = [one for one in await mesh.listed(account_id) if not one.HasField("receive_time")]
        assert [one.scheduled_date for one in waiting] == ["2027-02-28"]


async def test_who_was_away_for_months_pays_once(mesh: PaymentsMesh) -> None:
    """Goal: no date and no statement that was missed is paid twice, or paid one by one."""
    account_id = await planned(mesh)
    mesh.bill(account_id, 4, date(2027, 4, 30), balance_minor=90_000, minimum_minor=9_000)
    move_to(mesh, "2027-05-02")
    await worked(mesh)
    expected = {("SCHEDULE", "2027-01-31"): 1, ("AUTOPAY", "2027-05-02"): 1}
    assert await paid(mesh, account_id) == expected
    move_to(mesh, "2027-05-31")
    await worked(mesh)
    assert await paid(mesh, account_id) == {**expected, ("SCHEDULE", "2027-05-31"): 1}
    assert await mesh.owed(account_id) == (100_000 - 2 * 2_000 - 4_200, 0)
