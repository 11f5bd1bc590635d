"""SchedulePayment and CancelPayment."""

from __future__ import annotations

import grpc
import pytest

from holdfast.accounts.v1 import account_pb2
from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import payment_pb2
from holdfast.payments.v1 import payment_service_pb2 as pb
from payments import payment_service
from tests.payments_mesh import (
    UNKNOWN_PAYMENT,
    PaymentsMesh,
    call,
    call_replayed,
    refused,
    usd,
)


def scheduling(
    mesh: PaymentsMesh,
    account_id: str,
    date: str = "2027-01-31",
    *,
    amount_minor: int = 2_000,
    interval: payment_pb2.PaymentInterval.ValueType = payment_pb2.PAYMENT_INTERVAL_UNSPECIFIED,
) -> pb.SchedulePaymentRequest:
    return pb.SchedulePaymentRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        amount=usd(amount_minor),
        date=date,
        interval=interval,
    )


async def scheduled(mesh: PaymentsMesh, request: pb.SchedulePaymentRequest) -> payment_pb2.Payment:
    made: payment_pb2.Payment = (await call(mesh.payments.SchedulePayment, request)).payment
    return made


def canceling(
    mesh: PaymentsMesh, payment_id: str, *, end_series: bool = False
) -> pb.CancelPaymentRequest:
    return pb.CancelPaymentRequest(
        request_id=mesh.request_id(), payment_id=payment_id, end_series=end_series
    )


async def test_a_payment_begins_on_its_day(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    request = scheduling(mesh, account_id)
    made, replayed = await call_replayed(mesh.payments.SchedulePayment, request)
    assert (made.payment.state, replayed) == (payment_pb2.Payment.STATE_SCHEDULED, False)
    again, replayed = await call_replayed(mesh.payments.SchedulePayment, request)
    assert (again, replayed) == (made, True)
    # Six in the morning in New York is eleven in UTC.
    await mesh.until("2027-01-31", 10)
    assert await mesh.state(made.payment.id) == "SCHEDULED"
    await mesh.until("2027-01-31", 11)
    assert await mesh.state(made.payment.id) == "SUCCEEDED"
    assert await mesh.owed(account_id) == (8_000, 0)


async def test_a_series_pays_on_each_of_its_days(mesh: PaymentsMesh) -> None:
    """Goal: month ends and a leap day; each date once; away for two dates, one payment."""
    account_id = await mesh.payer(owed_minor=100_000)
    request = scheduling(mesh, account_id, interval=payment_pb2.PAYMENT_INTERVAL_MONTHLY)
    request.end_date = "2027-06-30"
    first = await scheduled(mesh, request)
    for day in ("2027-01-31", "2027-02-28", "2027-03-31"):
        await mesh.until(day)
    # Nobody is there on 30 April and 31 May.
    await mesh.until("2027-06-01")
    await mesh.until("2027-12-31")
    shown = await mesh.listed(account_id)
    assert [one.scheduled_date for one in shown] == [
        "2027-01-31",
        "2027-02-28",
        "2027-03-31",
        "2027-04-30",
        "2027-06-30",
    ]
    assert {one.series_id for one in shown} == {first.id}
    assert {one.state for one in shown} == {payment_pb2.Payment.STATE_SUCCEEDED}
    assert await mesh.owed(account_id) == (100_000 - 5 * 2_000, 0)


async def test_a_closed_account_ends_a_series(mesh: PaymentsMesh) -> None:
    """Goal: nothing is paid, and nobody is told each month that nothing was."""
    account_id = await mesh.payer()
    request = scheduling(mesh, account_id, interval=payment_pb2.PAYMENT_INTERVAL_MONTHLY)
    await scheduled(mesh, request)
    mesh.accounts.holders[account_id].state = account_pb2.Account.STATE_CLOSING
    await mesh.until("2027-01-31")
    assert await mesh.owed(account_id) == (8_000, 0)
    mesh.accounts.holders[account_id].state = account_pb2.Account.STATE_CLOSED
    await mesh.until("2027-02-28")
    await mesh.until("2027-03-31")
    shown = [(one.scheduled_date, one.state, one.reason) for one in await mesh.listed(account_id)]
    assert shown == [
        ("2027-01-31", payment_pb2.Payment.STATE_SUCCEEDED, ""),
        ("2027-02-28", payment_pb2.Payment.STATE_CANCELED, "ACCOUNT_CLOSED"),
    ]


async def test_what_is_owed_counts_on_the_day(mesh: PaymentsMesh) -> None:
    """Goal: more than may be paid by then is lowered; where nothing is owed, nothing is paid."""
    account_id = await mesh.payer(owed_minor=1_000)
    more = await scheduled(mesh, scheduling(mesh, account_id, amount_minor=50_000))
    rest = scheduling(mesh, account_id, "2027-02-01")
    rest.ClearField("amount")
    rest.basis = payment_pb2.PAYMENT_BASIS_CURRENT_BALANCE
    nothing = await scheduled(mesh, rest)
    assert not nothing.HasField("amount")
    await mesh.until("2027-01-31")
    await mesh.until("2027-02-01")
    assert (await mesh.shown(more.id)).amount == usd(11_000)
    shown = await mesh.shown(nothing.id)
    assert (shown.state, shown.reason) == (payment_pb2.Payment.STATE_CANCELED, "NOTHING_OWED")
    assert await mesh.owed(account_id) == (-10_000, 0)


async def test_a_source_that_is_gone_fails_it(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    made = await scheduled(mesh, scheduling(mesh, account_id))
    await call(
        mesh.sources.RemoveFundingSource,
        funding_pb.RemoveFundingSourceRequest(
            request_id=mesh.request_id(), funding_source_id=made.funding_source_id
        ),
    )
    await mesh.until("2027-01-31")
    shown = await mesh.shown(made.id)
    assert (shown.state, shown.reason) == (
        payment_pb2.Payment.STATE_FAILED,
        "FUNDING_SOURCE_REMOVED",
    )
    assert await mesh.owed(account_id) == (10_000, 0)


@pytest.mark.parametrize("date", ["2027-01-20", "2027-01-19", "2028-01-22", "31.1.2027", ""])
async def test_wrong_dates(mesh: PaymentsMesh, date: str) -> None:
    account_id = await mesh.payer()
    found = await refused(mesh.payments.SchedulePayment, scheduling(mesh, account_id, date))
    assert (found.code, found.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["date"])


async def test_wrong_ends(mesh: PaymentsMesh) -> None:
    request = scheduling(mesh, await mesh.payer())
    request.end_date = "2027-03-01"
    assert (await refused(mesh.payments.SchedulePayment, request)).fields == ["end_date"]
    request.interval = payment_pb2.PAYMENT_INTERVAL_WEEKLY
    request.end_date = "2027-01-30"
    assert (await refused(mesh.payments.SchedulePayment, request)).fields == ["end_date"]


async def test_only_so_many_wait(mesh: PaymentsMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_service, "OPEN_MAX", 2)
    account_id = await mesh.payer()
    for _ in range(2):
        await scheduled(mesh, scheduling(mesh, account_id))
    found = await refused(mesh.payments.SchedulePayment, scheduling(mesh, account_id))
    assert (found.code, found.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_PAYMENTS",
    )


async def test_a_canceled_payment_moves_nothing(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    made = await scheduled(mesh, scheduling(mesh, account_id))
    request = canceling(mesh, made.id)
    answer = (await call(mesh.payments.CancelPayment, request)).payment
    assert (answer.state, answer.reason) == (payment_pb2.Payment.STATE_CANCELED, "REQUESTED")
    again, replayed = await call_replayed(mesh.payments.CancelPayment, request)
    assert (again.payment, replayed) == (answer, True)
    twice = await refused(mesh.payments.CancelPayment, canceling(mesh, made.id))
    assert (twice.code, twice.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_STATE")
    await mesh.until("2027-02-28")
    assert await mesh.owed(account_id) == (10_000, 0)
    assert len(await mesh.listed(account_id)) == 1


async def test_cancel_before_anybody_is_asked_and_not_after(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    early, late = await mesh.pay(account_id, 100), await mesh.pay(account_id, 200)
    await call(mesh.payments.CancelPayment, canceling(mesh, early.id))
    await mesh.work()
    found = await refused(mesh.payments.CancelPayment, canceling(mesh, late.id))
    assert (found.reason, found.metadata["state"]) == ("PAYMENT_STATE", "SUCCEEDED")
    assert await mesh.owed(account_id) == (9_800, 0)
    unknown = canceling(mesh, UNKNOWN_PAYMENT)
    assert (await refused(mesh.payments.CancelPayment, unknown)).reason == "PAYMENT_NOT_FOUND"
    found = await refused(mesh.payments.CancelPayment, pb.CancelPaymentRequest())
    assert found.fields == ["request_id", "payment_id"]


async def test_one_of_a_series_or_the_series(mesh: PaymentsMesh) -> None:
    """Goal: calling off one date leaves the next ones; ending the series ends it, also when one of
    it is on its way.
    """
    account_id = await mesh.payer()
    weekly = payment_pb2.PAYMENT_INTERVAL_WEEKLY
    first = await scheduled(
        mesh, scheduling(mesh, account_id, "2027-01-25", amount_minor=100, interval=weekly)
    )
    await call(mesh.payments.CancelPayment, canceling(mesh, first.id))
    await mesh.until("2027-02-01")
    states = [(one.scheduled_date, one.state) for one in await mesh.listed(account_id)]
    assert states == [
        ("2027-01-25", payment_pb2.Payment.STATE_CANCELED),
        ("2027-02-01", payment_pb2.Payment.STATE_SUCCEEDED),
        ("2027-02-08", payment_pb2.Payment.STATE_SCHEDULED),
    ]
    last = (await mesh.listed(account_id))[-1]
    await call(mesh.payments.CancelPayment, canceling(mesh, last.id, end_series=True))
    await mesh.until("2027-03-01")
    assert len(await mesh.listed(account_id)) == 3
    assert await mesh.owed(account_id) == (9_900, 0)
