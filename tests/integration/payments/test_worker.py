"""The worker: crashes at each step, answers that get lost, several workers at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.payments.v1 import back_office_service_pb2, payment_service_pb2
from payments.books import BooksUnavailable
from payments.funding import FundingSource
from payments.leases import LEASE_MS
from payments.payment import CHARGE_AGAIN_MS, Payment, Source
from payments.processor import Outcome, OutcomeUnknown, Processor, Result
from payments.refund import Refund
from payments.worker import Worker
from tests.payments_mesh import PaymentsMesh, call, refused, usd


class Died(BaseException):
    """The process ends here."""


class Flaky:
    """A processor that charges as it is asked to, once per payment, and loses answers."""

    def __init__(self, inner: Processor) -> None:
        self.inner = inner
        self.charged: list[str] = []
        #: What happens to the next questions: before or after the charge.
        self.before: list[BaseException] = []
        self.after: list[BaseException] = []
        self.lost_finds: list[BaseException] = []
        self.answers: list[Outcome] = []

    async def charge(self, payment: Payment, source: FundingSource) -> Outcome:
        if self.before:
            raise self.before.pop(0)
        self.charged.append(payment.id)
        found = await self.inner.charge(payment, source)
        if self.after:
            raise self.after.pop(0)
        return self.answers.pop(0) if self.answers else found

    async def find(self, payment: Payment, source: FundingSource) -> Outcome | None:
        if self.lost_finds:
            raise self.lost_finds.pop(0)
        if self.answers:
            return self.answers.pop(0)
        return await self.inner.find(payment, source)

    async def refund(self, refund: Refund, payment: Payment) -> Outcome:
        if self.before:
            raise self.before.pop(0)
        self.charged.append(refund.id)
        found = await self.inner.refund(refund, payment)
        if self.after:
            raise self.after.pop(0)
        return self.answers.pop(0) if self.answers else found

    async def find_refund(self, refund: Refund, payment: Payment) -> Outcome | None:
        if self.answers:
            return self.answers.pop(0)
        return await self.inner.find_refund(refund, payment)


@pytest.fixture
def flaky(mesh: PaymentsMesh) -> Flaky:
    found = Flaky(mesh.parts.processors[Source.IN_HOUSE])
    mesh.parts.processors[Source.IN_HOUSE] = found
    return found


async def died(mesh: PaymentsMesh) -> None:
    """Works until the process ends."""
    with pytest.raises(BaseExceptionGroup) as caught:
        await mesh.work()
    assert caught.group_contains(Died)


async def rested(mesh: PaymentsMesh) -> None:
    """Works until everything that failed was tried again."""
    for _ in range(12):
        await mesh.work()
        mesh.clock.advance(LEASE_MS)


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("what", [OutcomeUnknown("no answer"), Died("kill -9"), TimeoutError()])
async def test_an_unknown_outcome_is_looked_up(
    mesh: PaymentsMesh, flaky: Flaky, where: str, what: BaseException
) -> None:
    """Goal: whether the charge was made before the answer got lost or not: it is made once."""
    account_id = await mesh.payer(deposit_minor=6_000)
    made = await mesh.pay(account_id)
    getattr(flaky, where).append(what)
    flaky.lost_finds = [OutcomeUnknown("again no answer")] * 2
    if isinstance(what, Died):
        await died(mesh)
    else:
        await mesh.work()
    assert await mesh.state(made.id) == "PROCESSING"
    assert await mesh.owed(account_id) == (10_000, 0)
    await rested(mesh)
    assert await mesh.state(made.id) == "SUCCEEDED"
    assert (await mesh.owed(account_id), await mesh.deposit(account_id)) == ((5_000, 0), 1_000)
    assert flaky.charged == [made.id]


async def test_what_a_processor_never_heard_of_is_given_up_after_a_day(
    mesh: PaymentsMesh, flaky: Flaky
) -> None:
    account_id = await mesh.payer()
    made = await mesh.pay(account_id)
    flaky.before.append(OutcomeUnknown("no answer"))
    await mesh.work()
    mesh.clock.advance(CHARGE_AGAIN_MS)
    await mesh.work()
    shown = await mesh.shown(made.id)
    assert (await mesh.state(made.id), shown.reason) == ("FAILED", "PROCESSOR_NO_ANSWER")
    assert flaky.charged == []


async def test_a_processor_that_takes_its_time_is_asked_again(
    mesh: PaymentsMesh, flaky: Flaky
) -> None:
    account_id = await mesh.payer()
    made = await mesh.pay(account_id)
    flaky.answers = [Outcome(result=Result.WAITING, reference="x")] * 3
    for _ in range(3):
        await mesh.work()
        assert await mesh.state(made.id) == "PROCESSING"
        mesh.clock.advance(3_600_000)
    await mesh.work()
    assert (await mesh.state(made.id), len(flaky.charged)) == ("SUCCEEDED", 1)


@pytest.mark.parametrize("step", ["credit", "release", "take_back"])
@pytest.mark.parametrize("done", [True, False])
async def test_a_lost_answer_of_the_ledger_counts_once(
    mesh: PaymentsMesh, monkeypatch: pytest.MonkeyPatch, step: str, done: bool
) -> None:
    """Goal: whoever does a step again finds it done, or does it."""
    account_id = await mesh.payer()
    books: Any = mesh.parts.steps._books
    real = getattr(books, step)
    lost = [BooksUnavailable("no answer"), Died("kill -9")]

    async def losing(payment: Payment) -> None:
        if done or not lost:
            await real(payment)
        if lost:
            raise lost.pop(0)

    monkeypatch.setattr(books, step, losing)
    made = await mesh.pay(account_id)
    if step == "take_back":
        await mesh.work()
        await call(
            mesh.office.ReturnPayment,
            back_office_service_pb2.ReturnPaymentRequest(
                request_id=mesh.request_id(), payment_id=made.id, reason="R01"
            ),
        )
    await mesh.work()
    mesh.clock.advance(LEASE_MS)
    await died(mesh)
    await rested(mesh)
    returned = step == "take_back"
    assert await mesh.state(made.id) == ("RETURNED" if returned else "SUCCEEDED")
    assert await mesh.owed(account_id) == (10_000 if returned else 5_000, 0)


async def test_several_workers_share_the_work(mesh: PaymentsMesh) -> None:
    """Goal: each payment once, whoever works, also when all of them look at the same time."""
    account_id = await mesh.payer(owed_minor=100_000, deposit_minor=100_000)
    made = [(await mesh.pay(account_id, 100 + number)).id for number in range(40)]
    parts = mesh.parts
    workers = [Worker(parts.store, parts.steps, parts.steps._holders, mesh.clock) for _ in range(4)]

    async def work(worker: Worker) -> None:
        for _ in range(20):
            await worker.work_due()

    await asyncio.gather(*map(work, workers))
    assert {await mesh.state(one) for one in made} == {"SUCCEEDED"}
    paid = sum(100 + number for number in range(40))
    assert await mesh.owed(account_id) == (100_000 - paid, 0)
    assert await mesh.deposit(account_id) == 100_000 - paid
    versions = await mesh.pool.fetchval(
        "SELECT count(*) FROM payment_change WHERE state = 'SUCCEEDED' AND step = 'NONE'"
    )
    assert versions == 40


async def test_concurrent_payments_do_not_pay_more_than_may_be(mesh: PaymentsMesh) -> None:
    """Goal: the rule about more than is owed holds for all payments together."""
    account_id = await mesh.payer(owed_minor=10_000)
    answers = await asyncio.gather(
        *(mesh.pay(account_id, 3_000) for _ in range(12)), return_exceptions=True
    )
    begun = [one for one in answers if not isinstance(one, BaseException)]
    assert len(begun) == 6
    await mesh.work()
    assert await mesh.owed(account_id) == (-8_000, 0)


async def test_scheduled_payments_of_one_day_do_not_pay_more_than_may_be(
    mesh: PaymentsMesh,
) -> None:
    """Goal: the same, of payments that begin at the same moment."""
    account_id = await mesh.payer(owed_minor=10_000)
    for _ in range(5):
        request = payment_service_pb2.SchedulePaymentRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            amount=usd(6_000),
            date="2027-01-21",
        )
        await call(mesh.payments.SchedulePayment, request)
    await mesh.until("2027-01-21")
    assert await mesh.owed(account_id) == (-10_000, 0)
    amounts = sorted(one.amount.amount_minor for one in await mesh.listed(account_id))
    assert amounts == [2_000, 6_000, 6_000, 6_000, 6_000]


@pytest.mark.parametrize("scheduled", [False, True])
async def test_what_is_credited_while_the_balance_is_told_counts(
    mesh: PaymentsMesh, monkeypatch: pytest.MonkeyPatch, scheduled: bool
) -> None:
    """Goal: a payment that begins and ends between the balance and the decision is not forgotten;
    two clicks do not pay twice.
    """
    account_id = await mesh.payer(owed_minor=10_000)
    books: Any = mesh.parts.steps._books
    real = books.posted_minor
    first = True

    async def slow(name: str) -> int:
        nonlocal first
        found: int = await real(name)
        if first:
            first = False
            await mesh.pay(account_id, 20_000)
            for _ in range(4):
                await mesh.worker.work_due()
        return found

    monkeypatch.setattr(books, "posted_minor", slow)
    if scheduled:
        request = payment_service_pb2.SchedulePaymentRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            amount=usd(20_000),
            date="2027-01-21",
        )
        await call(mesh.payments.SchedulePayment, request)
        await mesh.until("2027-01-21")
    else:
        found = await refused(mesh.payments.MakePayment, mesh.making(account_id, 20_000))
        assert found.reason == "OVERPAYMENT"
    await mesh.work()
    assert await mesh.owed(account_id) == (-10_000, 0)
