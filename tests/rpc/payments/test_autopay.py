"""SetAutopay and GetAutopay."""

from __future__ import annotations

from datetime import date

import pytest

from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import payment_pb2
from holdfast.payments.v1 import payment_service_pb2 as pb
from tests.payments_mesh import (
    UNKNOWN_ACCOUNT,
    PaymentsMesh,
    call,
    call_replayed,
    refused,
    usd,
)

DUE = date(2027, 2, 9)


def setting(mesh: PaymentsMesh, account_id: str, **changes: object) -> pb.SetAutopayRequest:
    fields = {"enabled": True, "basis": payment_pb2.PAYMENT_BASIS_MINIMUM, **changes}
    return pb.SetAutopayRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        **fields,  # type: ignore[arg-type]
    )


async def got(mesh: PaymentsMesh, account_id: str) -> payment_pb2.Autopay:
    answer = await call(mesh.payments.GetAutopay, pb.GetAutopayRequest(account_id=account_id))
    found: payment_pb2.Autopay = answer.autopay
    return found


@pytest.mark.parametrize(
    ("fields", "paid"),
    [
        ({"basis": payment_pb2.PAYMENT_BASIS_MINIMUM}, 3_500),
        ({"basis": payment_pb2.PAYMENT_BASIS_STATEMENT_BALANCE}, 8_000),
        ({"basis": payment_pb2.PAYMENT_BASIS_CURRENT_BALANCE}, 10_000),
        ({"basis": payment_pb2.PAYMENT_BASIS_UNSPECIFIED, "amount": usd(4_200)}, 4_200),
        # Nobody becomes a creditor of the issuer by himself.
        ({"basis": payment_pb2.PAYMENT_BASIS_UNSPECIFIED, "amount": usd(99_999)}, 10_000),
    ],
)
async def test_a_statement_is_paid_in_time_and_once(
    mesh: PaymentsMesh, fields: dict[str, object], paid: int
) -> None:
    account_id = await mesh.payer()
    mesh.bill(account_id, 1, DUE, balance_minor=8_000, minimum_minor=3_500)
    await call(mesh.payments.SetAutopay, setting(mesh, account_id, days_before_due=3, **fields))
    await mesh.until("2027-02-06", 10)
    assert await mesh.listed(account_id) == []
    await mesh.until("2027-02-06", 11)
    (made,) = await mesh.listed(account_id)
    assert (made.state, made.cause) == (
        payment_pb2.Payment.STATE_SUCCEEDED,
        payment_pb2.Payment.CAUSE_AUTOPAY,
    )
    assert (made.amount, await mesh.owed(account_id)) == (usd(paid), (10_000 - paid, 0))
    await mesh.until("2027-02-20")
    assert len(await mesh.listed(account_id)) == 1
    assert (await got(mesh, account_id)).last_statement_number == 1


async def test_the_next_statement_is_paid_too_and_a_missed_one_late(mesh: PaymentsMesh) -> None:
    """Goal: away on two days of payment, what the last statement asks for is paid, once."""
    account_id = await mesh.payer(owed_minor=50_000)
    mesh.bill(account_id, 1, DUE, balance_minor=8_000, minimum_minor=3_500)
    await call(mesh.payments.SetAutopay, setting(mesh, account_id))
    await mesh.until("2027-02-09")
    mesh.bill(account_id, 3, date(2027, 4, 9), balance_minor=20_000, minimum_minor=7_000)
    await mesh.until("2027-04-15")
    assert [one.amount for one in await mesh.listed(account_id)] == [usd(3_500), usd(7_000)]


async def test_what_was_paid_by_hand_is_not_paid_again(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    mesh.bill(account_id, 1, DUE, balance_minor=8_000, minimum_minor=3_500)
    await call(mesh.payments.SetAutopay, setting(mesh, account_id))
    mesh.bill(account_id, 1, DUE, balance_minor=0, minimum_minor=0)
    await mesh.until("2027-02-10")
    (made,) = await mesh.listed(account_id)
    assert (made.state, made.reason) == (payment_pb2.Payment.STATE_CANCELED, "NOTHING_OWED")
    assert await mesh.owed(account_id) == (10_000, 0)


async def test_a_statement_waits_until_it_knows_of_a_payment(mesh: PaymentsMesh) -> None:
    """Goal: what was paid a moment before, of which the statement has not heard yet, counts."""
    account_id = await mesh.payer()
    mesh.bill(account_id, 1, DUE, balance_minor=8_000, minimum_minor=3_500)
    await mesh.until("2027-02-10")
    await mesh.pay(account_id, 3_500)
    await mesh.work()
    await call(mesh.payments.SetAutopay, setting(mesh, account_id))
    await mesh.work()
    assert await mesh.owed(account_id) == (6_500, 0)
    mesh.bill(account_id, 1, DUE, balance_minor=4_500, minimum_minor=0)
    mesh.clock.advance(60_000)
    await mesh.work()
    assert await mesh.owed(account_id) == (6_500, 0)
    assert await mesh.state((await mesh.listed(account_id))[-1].id) == "CANCELED"


async def test_setting_and_turning_off(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    assert not (await got(mesh, account_id)).enabled
    request = setting(mesh, account_id, days_before_due=5)
    answer, replayed = await call_replayed(mesh.payments.SetAutopay, request)
    assert (answer.autopay, replayed) == (await got(mesh, account_id), False)
    assert (answer.autopay.days_before_due, answer.autopay.version) == (5, 1)
    again, replayed = await call_replayed(mesh.payments.SetAutopay, request)
    assert (again, replayed) == (answer, True)
    off = pb.SetAutopayRequest(request_id=mesh.request_id(), account_id=account_id)
    await call(mesh.payments.SetAutopay, off)
    found = await got(mesh, account_id)
    assert (found.enabled, found.version, found.funding_source_id) == (False, 2, "")
    mesh.bill(account_id, 1, DUE, balance_minor=8_000, minimum_minor=3_500)
    await mesh.until("2027-02-10")
    assert await mesh.listed(account_id) == []


async def test_removing_the_source_turns_it_off(mesh: PaymentsMesh) -> None:
    account_id = await mesh.payer()
    await call(mesh.payments.SetAutopay, setting(mesh, account_id))
    source_id = (await got(mesh, account_id)).funding_source_id
    request = funding_pb.RemoveFundingSourceRequest(
        request_id=mesh.request_id(), funding_source_id=source_id
    )
    await call(mesh.sources.RemoveFundingSource, request)
    assert not (await got(mesh, account_id)).enabled


async def test_refusals(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account()
    found = await refused(mesh.payments.SetAutopay, setting(mesh, account_id))
    assert found.reason == "NO_FUNDING_SOURCE"
    found = await refused(mesh.payments.SetAutopay, setting(mesh, UNKNOWN_ACCOUNT))
    assert found.reason == "ACCOUNT_NOT_FOUND"
    found = await refused(mesh.payments.SetAutopay, setting(mesh, account_id, days_before_due=21))
    assert found.fields == ["days_before_due"]
    request = setting(mesh, account_id, enabled=False, days_before_due=1)
    found = await refused(mesh.payments.SetAutopay, request)
    assert found.fields == ["basis", "days_before_due"]
    request = setting(mesh, account_id, basis=payment_pb2.PAYMENT_BASIS_UNSPECIFIED)
    assert (await refused(mesh.payments.SetAutopay, request)).fields == ["amount"]
    ask = pb.GetAutopayRequest(account_id=UNKNOWN_ACCOUNT)
    assert (await refused(mesh.payments.GetAutopay, ask)).reason == "ACCOUNT_NOT_FOUND"
