"""FundingSourceService."""

from __future__ import annotations

import grpc
import pytest

from holdfast.accounts.v1 import account_pb2
from holdfast.payments.v1 import funding_source_pb2, payment_pb2
from holdfast.payments.v1 import funding_source_service_pb2 as pb
from payments import funding_source_service
from tests.payments_mesh import (
    UNKNOWN_ACCOUNT,
    UNKNOWN_SOURCE,
    PaymentsMesh,
    call,
    call_replayed,
    refused,
)

State = funding_source_pb2.FundingSource


def adding(mesh: PaymentsMesh, account_id: str, **changes: object) -> pb.AddFundingSourceRequest:
    fields = {"source": payment_pb2.PAYMENT_SOURCE_IN_HOUSE, **changes}
    return pb.AddFundingSourceRequest(
        request_id=mesh.request_id(),
        account_id=account_id,
        **fields,  # type: ignore[arg-type]
    )


async def listed(mesh: PaymentsMesh, account_id: str) -> list[tuple[str, bool]]:
    request = pb.ListFundingSourcesRequest(account_id=account_id)
    answer = await call(mesh.sources.ListFundingSources, request)
    return [(one.id, one.is_default) for one in answer.funding_sources]


async def test_the_first_is_the_default(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account()
    request = adding(mesh, account_id)
    answer, _ = await call_replayed(mesh.sources.AddFundingSource, request)
    first = answer.funding_source
    assert (first.state, first.is_default) == (State.STATE_VERIFIED, True)
    again, replayed = await call_replayed(mesh.sources.AddFundingSource, request)
    assert (again, replayed) == (answer, True)
    mesh.clock.advance(1)
    second = await mesh.source(account_id, deposit_minor=0)
    assert await listed(mesh, account_id) == [(second, False), (first.id, True)]


async def test_the_default_moves_and_leaves(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account()
    first = await mesh.source(account_id, deposit_minor=0)
    mesh.clock.advance(1)
    second = await mesh.source(account_id, deposit_minor=0)
    request = pb.SetDefaultFundingSourceRequest(
        request_id=mesh.request_id(), funding_source_id=second
    )
    for expected in (False, True):
        answer, replayed = await call_replayed(mesh.sources.SetDefaultFundingSource, request)
        assert (answer.funding_source.is_default, replayed) == (True, expected)
    assert await listed(mesh, account_id) == [(second, True), (first, False)]
    remove = pb.RemoveFundingSourceRequest(request_id=mesh.request_id(), funding_source_id=second)
    for expected in (False, True):
        gone, replayed = await call_replayed(mesh.sources.RemoveFundingSource, remove)
        assert (gone.funding_source.state, replayed) == (State.STATE_REMOVED, expected)
    assert await listed(mesh, account_id) == [(first, False)]
    request.request_id = mesh.request_id()
    found = await refused(mesh.sources.SetDefaultFundingSource, request)
    assert found.reason == "FUNDING_SOURCE_NOT_FOUND"


async def test_refusals(mesh: PaymentsMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = await mesh.open_account()
    add = mesh.sources.AddFundingSource
    assert (await refused(add, adding(mesh, UNKNOWN_ACCOUNT))).reason == "ACCOUNT_NOT_FOUND"
    for source in (payment_pb2.PAYMENT_SOURCE_WIRE, payment_pb2.PAYMENT_SOURCE_UNSPECIFIED, 99):
        assert (await refused(add, adding(mesh, account_id, source=source))).fields == ["source"]
    found = await refused(add, adding(mesh, account_id, processor_token="pm_1"))
    assert found.fields == ["processor_token"]
    card = payment_pb2.PAYMENT_SOURCE_STRIPE_CARD
    found = await refused(add, adding(mesh, account_id, source=card))
    assert found.fields == ["processor_token"]
    found = await refused(add, adding(mesh, account_id, source=card, processor_token="pm_1"))
    assert (found.code, found.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SOURCE_NOT_AVAILABLE",
    )
    monkeypatch.setattr(funding_source_service, "SOURCES_MAX", 1)
    await mesh.source(account_id, deposit_minor=0)
    found = await refused(add, adding(mesh, account_id))
    assert (found.code, found.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_FUNDING_SOURCES",
    )
    for method, request in (
        (mesh.sources.RemoveFundingSource, pb.RemoveFundingSourceRequest),
        (mesh.sources.SetDefaultFundingSource, pb.SetDefaultFundingSourceRequest),
    ):
        unknown = request(request_id=mesh.request_id(), funding_source_id=UNKNOWN_SOURCE)
        assert (await refused(method, unknown)).reason == "FUNDING_SOURCE_NOT_FOUND"
        assert (await refused(method, request())).fields == ["request_id", "funding_source_id"]


async def test_a_closed_account_gets_none(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account()
    before = adding(mesh, account_id)
    answer = await call(mesh.sources.AddFundingSource, before)
    mesh.accounts.holders[account_id].state = account_pb2.Account.STATE_CLOSED
    found = await refused(mesh.sources.AddFundingSource, adding(mesh, account_id))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_CLOSED")
    assert found.metadata == {"account_id": account_id, "state": "CLOSED"}
    assert await listed(mesh, account_id) == [(answer.funding_source.id, True)]
    assert await call_replayed(mesh.sources.AddFundingSource, before) == (answer, True)


@pytest.mark.parametrize(
    "state", sorted(set(account_pb2.Account.State.keys()) - {"STATE_UNSPECIFIED", "STATE_CLOSED"})
)
async def test_who_owes_says_from_where_and_pays(mesh: PaymentsMesh, state: str) -> None:
    account_id = await mesh.open_account(owed_minor=10_000)
    mesh.accounts.holders[account_id].state = account_pb2.Account.State.Value(state)
    await mesh.source(account_id)
    await mesh.pay(account_id)
    await mesh.work()
    assert await mesh.owed(account_id) == (5_000, 0)


async def test_sources_of_others_are_not_there(mesh: PaymentsMesh) -> None:
    account_id = await mesh.open_account()
    source_id = await mesh.source(account_id, deposit_minor=0)
    stranger = ("x-auth-subject", "usr_0b" + "9" * 32)
    request = pb.RemoveFundingSourceRequest(
        request_id=mesh.request_id(), funding_source_id=source_id
    )
    found = await refused(mesh.sources.RemoveFundingSource, request, principal=stranger)
    assert found.reason == "FUNDING_SOURCE_NOT_FOUND"
    pages = pb.ListFundingSourcesRequest(account_id=account_id)
    found = await refused(mesh.sources.ListFundingSources, pages, principal=stranger)
    assert found.reason == "ACCOUNT_NOT_FOUND"
