"""Scenes of paying: what lowers the balance, when it may be spent again, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import grpc

from holdfast.payments.v1 import back_office_service_pb2 as office
from holdfast.payments.v1 import funding_source_service_pb2 as funding
from holdfast.payments.v1 import payment_pb2
from holdfast.payments.v1 import payment_service_pb2 as pb
from runtime.demo import requests
from runtime.demo.stage import DemoFailedError, Stage, money
from runtime.mesh_client import CALL_TIMEOUT_S

_PAID_MINOR = 15_000
_WIRE_MINOR = 5_000
#: A test number of Stripe's that can be charged.
_CARD_NUMBER = "4242424242424242"
_HOLD_DAYS = 2
_PATIENCE_S = 20.0
_PAUSE_S = 0.05
Payment = payment_pb2.Payment


async def _figures(stage: Stage) -> tuple[int, int]:
    """What Carol owes, and what she may spend."""
    found = await requests.balance(stage, stage.holders["Carol"])
    return found.posted.amount_minor, found.available_credit.amount_minor


async def _until(stage: Stage, payment_id: str, holds: Callable[[Payment], bool]) -> Payment:
    """A payment as soon as something holds of it."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                request = pb.GetPaymentRequest(payment_id=payment_id)
                answer = await stage.mesh.payments.GetPayment(request, timeout=CALL_TIMEOUT_S)
                if holds(answer.payment):
                    return answer.payment
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise DemoFailedError(f"{payment_id} does not get on") from None


async def add_card(stage: Stage, account_id: str) -> str:
    """A card of another bank that pays for an account, through Stripe; returns its name."""
    added = await stage.mesh.funding_sources.AddFundingSource(
        funding.AddFundingSourceRequest(
            request_id=stage.request_id(),
            account_id=account_id,
            source=payment_pb2.PAYMENT_SOURCE_STRIPE_CARD,
            processor_token=await stage.backstage.card_token(_CARD_NUMBER),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    return added.funding_source.display_name


async def pay(stage: Stage) -> None:
    """A payment lowers what is owed at once, and raises what may be spent when it is released."""
    stage.scene("Carol pays 150.00 through Stripe; it can be spent again once it is released")
    carol, mesh = stage.holders["Carol"], stage.mesh
    await mesh.back_office.SetHoldDays(
        office.SetHoldDaysRequest(
            request_id=stage.request_id(),
            account_id=carol.account_id,
            source=payment_pb2.PAYMENT_SOURCE_STRIPE_CARD,
            hold_days=_HOLD_DAYS,
        ),
        timeout=CALL_TIMEOUT_S,
    )
    card = await add_card(stage, carol.account_id)
    stage.tell(f"her bank card, as Stripe knows it: {card}", funding_source=card)
    owed, available = await _figures(stage)
    request = pb.MakePaymentRequest(
        request_id=stage.request_id(),
        account_id=carol.account_id,
        amount=requests.money_of(_PAID_MINOR),
    )
    made = (await mesh.payments.MakePayment(request, timeout=CALL_TIMEOUT_S)).payment
    again = (await mesh.payments.MakePayment(request, timeout=CALL_TIMEOUT_S)).payment
    stage.check("the same request", found=again, expected=made)
    await _until(stage, made.id, lambda one: one.state == Payment.STATE_SUCCEEDED)
    after = await _figures(stage)
    stage.check("owed, available", found=after, expected=(owed - _PAID_MINOR, available))
    stage.tell(
        f"sent twice, paid once: owed {money(owed)} → {money(after[0])};\n"
        f"  {money(after[1])} to spend, as before: held for {_HOLD_DAYS} days",
        payment_id=made.id,
        owed_minor=after[0],
        available_minor=after[1],
    )
    await mesh.back_office.ReleasePayment(
        office.ReleasePaymentRequest(request_id=stage.request_id(), payment_id=made.id),
        timeout=CALL_TIMEOUT_S,
    )
    await _until(stage, made.id, lambda one: one.released)
    after = await _figures(stage)
    expected = (owed - _PAID_MINOR, available + _PAID_MINOR)
    stage.check("owed, available", found=after, expected=expected)
    stage.tell(f"released by an operator: {money(after[1])} to spend", available_minor=after[1])


async def schedule(stage: Stage) -> None:
    """A payment for later is called off in time, once."""
    stage.scene("Carol schedules a payment for each month, and thinks better of it")
    carol, mesh = stage.holders["Carol"], stage.mesh
    day = stage.backstage.today() + timedelta(days=7)
    request = pb.SchedulePaymentRequest(
        request_id=stage.request_id(),
        account_id=carol.account_id,
        basis=payment_pb2.PAYMENT_BASIS_CURRENT_BALANCE,
        date=str(day),
        interval=payment_pb2.PAYMENT_INTERVAL_MONTHLY,
    )
    made = (await mesh.payments.SchedulePayment(request, timeout=CALL_TIMEOUT_S)).payment
    stage.tell(f"scheduled: all that is owed on {day}, and each month after it")
    cancel = pb.CancelPaymentRequest(
        request_id=stage.request_id(), payment_id=made.id, end_series=True
    )
    canceled = (await mesh.payments.CancelPayment(cancel, timeout=CALL_TIMEOUT_S)).payment
    stage.check("state", found=canceled.state, expected=Payment.STATE_CANCELED)
    cancel.request_id = stage.request_id()
    try:
        await mesh.payments.CancelPayment(cancel, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        code = error.code()
        stage.check("twice", found=code, expected=grpc.StatusCode.FAILED_PRECONDITION)
        stage.tell(f"canceled, and a second time: {code.name}")
    else:
        stage.check("twice", found="an answer", expected="FAILED_PRECONDITION")


async def give_back(stage: Stage) -> None:
    """A transfer that the bank takes back leaves nothing behind."""
    stage.scene("A wire arrives, and comes back: the bank had no funds for it")
    carol, office_stub = stage.holders["Carol"], stage.mesh.back_office
    owed, available = await _figures(stage)
    recorded = await office_stub.RecordTransfer(
        office.RecordTransferRequest(
            request_id=stage.request_id(),
            account_id=carol.account_id,
            source=payment_pb2.PAYMENT_SOURCE_WIRE,
            bank_reference="DEMO-WIRE-1",
            amount=requests.money_of(_WIRE_MINOR),
        ),
        timeout=CALL_TIMEOUT_S,
    )
    name = recorded.payment.id
    await _until(stage, name, lambda one: one.released)
    after = await _figures(stage)
    expected = (owed - _WIRE_MINOR, available + _WIRE_MINOR)
    stage.check("owed, available", found=after, expected=expected)
    stage.tell(f"credited: {money(after[0])} owed, {money(after[1])} to spend")
    await office_stub.ReturnPayment(
        office.ReturnPaymentRequest(request_id=stage.request_id(), payment_id=name, reason="R01"),
        timeout=CALL_TIMEOUT_S,
    )
    await _until(stage, name, lambda one: one.state == Payment.STATE_RETURNED)
    stage.check("owed, available", found=await _figures(stage), expected=(owed, available))
    stage.tell(f"returned (R01): {money(owed)} owed, {money(available)} to spend, as before")
