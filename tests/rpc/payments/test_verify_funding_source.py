"""VerifyFundingSource: whoever knows what was deposited has the bank account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from redis.asyncio import Redis

from holdfast.payments.v1 import funding_source_pb2, payment_pb2
from holdfast.payments.v1 import funding_source_service_pb2 as pb
from tests.databases import Database
from tests.payments_mesh import (
    UNKNOWN_SOURCE,
    PaymentsMesh,
    call,
    call_replayed,
    refused,
    stripe_mesh,
)
from tests.stripe_emulator import Emulator, stripe_emulator

State = funding_source_pb2.FundingSource
RIGHT, WRONG = (45, 32), (1, 2)

#: How Stripe's library calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with stripe_emulator() as running:
        running.deposits = (32, 45)
        yield running


@pytest.fixture
async def mesh(database: Database, money: Redis, emulator: Emulator) -> AsyncIterator[PaymentsMesh]:
    async with stripe_mesh(database, money, emulator) as running:
        yield running


async def added(
    mesh: PaymentsMesh, emulator: Emulator, account_id: str = ""
) -> funding_source_pb2.FundingSource:
    """A bank account that was just added."""
    request = pb.AddFundingSourceRequest(
        request_id=mesh.request_id(),
        account_id=account_id or await mesh.open_account(owed_minor=10_000),
        source=payment_pb2.PAYMENT_SOURCE_ACH,
        processor_token=await emulator.bank_account(),
    )
    answer = await call(mesh.sources.AddFundingSource, request)
    found: funding_source_pb2.FundingSource = answer.funding_source
    return found


def saying(
    mesh: PaymentsMesh, source_id: str, amounts: tuple[int, ...] = RIGHT
) -> pb.VerifyFundingSourceRequest:
    return pb.VerifyFundingSourceRequest(
        request_id=mesh.request_id(), funding_source_id=source_id, amounts_minor=amounts
    )


async def test_who_names_the_amounts_may_pay_from_it(
    mesh: PaymentsMesh, emulator: Emulator
) -> None:
    """Goal: before, nothing is paid from it; then it is the default, and pays."""
    source = await added(mesh, emulator)
    assert (source.state, source.is_default) == (State.STATE_UNVERIFIED, False)
    paying = mesh.making(source.account_id)
    paying.funding_source_id = source.id
    found = await refused(mesh.payments.MakePayment, paying)
    assert found.reason == "FUNDING_SOURCE_NOT_VERIFIED"
    request = saying(mesh, source.id)
    for expected in (False, True):
        answer, replayed = await call_replayed(mesh.sources.VerifyFundingSource, request)
        after = answer.funding_source
        assert (after.state, after.is_default, replayed) == (State.STATE_VERIFIED, True, expected)
    assert (await mesh.pay(source.account_id)).funding_source_id == source.id
    found = await refused(mesh.sources.VerifyFundingSource, saying(mesh, source.id))
    assert (found.code, found.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "FUNDING_SOURCE_STATE",
    )


async def test_whose_bank_has_said_it_names_nothing(mesh: PaymentsMesh, emulator: Emulator) -> None:
    emulator.deposits = None
    source = await added(mesh, emulator)
    assert (source.state, source.is_default) == (State.STATE_VERIFIED, True)


async def test_the_third_wrong_answer_is_the_last(mesh: PaymentsMesh, emulator: Emulator) -> None:
    source = await added(mesh, emulator)
    for left, state in ((2, "UNVERIFIED"), (1, "UNVERIFIED"), (0, "REFUSED")):
        answer = await call(mesh.sources.VerifyFundingSource, saying(mesh, source.id, WRONG))
        assert answer.attempts_left == left
        assert State.State.Name(answer.funding_source.state) == f"STATE_{state}"
    found = await refused(mesh.sources.VerifyFundingSource, saying(mesh, source.id))
    assert (found.reason, found.metadata["state"]) == ("FUNDING_SOURCE_STATE", "REFUSED")


async def test_nobody_tries_more_often_at_the_same_time(
    mesh: PaymentsMesh, emulator: Emulator
) -> None:
    """Goal: of ten answers at once three are asked, and the right one is not among them."""
    source = await added(mesh, emulator)
    emulator.posts.clear()
    answers = await asyncio.gather(
        *(
            call(mesh.sources.VerifyFundingSource, saying(mesh, source.id, (1, 2 + number)))
            for number in range(10)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, BaseException) for one in answers) == 3
    assert len(emulator.posts) == 3
    found = await refused(mesh.sources.VerifyFundingSource, saying(mesh, source.id))
    assert found.metadata["state"] == "REFUSED"


@pytest.mark.parametrize("fault", ["before", "after", "500"])
async def test_an_answer_that_nobody_gave_does_not_count(
    mesh: PaymentsMesh, emulator: Emulator, fault: str
) -> None:
    """Goal: whether Stripe has heard it or not, the same request is answered later."""
    source = await added(mesh, emulator)
    request = saying(mesh, source.id)
    for _ in range(4):
        emulator.faults = [fault]
        found = await refused(mesh.sources.VerifyFundingSource, request)
        assert (found.code, found.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "PROCESSOR_UNAVAILABLE",
        )
    answer = await call(mesh.sources.VerifyFundingSource, request)
    assert answer.funding_source.state == State.STATE_VERIFIED


async def test_a_second_one_does_not_take_the_default_away(
    mesh: PaymentsMesh, emulator: Emulator
) -> None:
    account_id = await mesh.open_account(owed_minor=10_000)
    first = await mesh.source(account_id)
    source = await added(mesh, emulator, account_id)
    answer = await call(mesh.sources.VerifyFundingSource, saying(mesh, source.id))
    assert not answer.funding_source.is_default
    assert (await mesh.pay(account_id)).funding_source_id == first


async def test_refusals(mesh: PaymentsMesh, emulator: Emulator) -> None:
    verify = mesh.sources.VerifyFundingSource
    found = await refused(verify, pb.VerifyFundingSourceRequest())
    assert found.fields == ["request_id", "funding_source_id", "amounts_minor"]
    source = await added(mesh, emulator)
    for amounts in ((), (32,), (32, 45, 1), (0, 45), (32, 100), (-1, 45)):
        assert (await refused(verify, saying(mesh, source.id, amounts))).fields == ["amounts_minor"]
    assert (await refused(verify, saying(mesh, UNKNOWN_SOURCE))).reason == (
        "FUNDING_SOURCE_NOT_FOUND"
    )
    stranger = ("x-auth-subject", "usr_0b" + "9" * 32)
    found = await refused(verify, saying(mesh, source.id), principal=stranger)
    assert found.reason == "FUNDING_SOURCE_NOT_FOUND"
    deposit = await mesh.source(source.account_id)
    assert (await refused(verify, saying(mesh, deposit))).reason == "FUNDING_SOURCE_STATE"
