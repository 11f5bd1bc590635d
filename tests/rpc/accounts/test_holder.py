"""HolderService: what other services are told of an account."""

from __future__ import annotations

from holdfast.accounts.v1 import account_pb2
from holdfast.accounts.v1 import holder_service_pb2 as pb
from holdfast.accounts.v1.holder_service_pb2_grpc import HolderServiceStub
from tests.accounts_mesh import (
    OTHER_OWNER,
    OWNER,
    UNKNOWN_ACCOUNT,
    AccountsMesh,
    call,
    refused,
)

PAYMENTS = ("x-auth-spiffe", "spiffe://holdfast.local/service/payments")


async def test_get_holder(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    request = pb.GetHolderRequest(account_id=account.id, user_id=OTHER_OWNER)
    found = await call(HolderServiceStub(mesh.channel).GetHolder, request, principal=PAYMENTS)
    assert found == pb.GetHolderResponse(
        owner_id=OWNER,
        state=account_pb2.Account.STATE_OPEN,
        currency_code="USD",
        time_zone="UTC",
    )


async def test_get_bill(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    request = pb.GetBillRequest(account_id=account.id)
    assert (
        await refused(HolderServiceStub(mesh.channel).GetBill, request, principal=PAYMENTS)
    ).reason == "NOT_BILLED"


async def test_refusals(mesh: AccountsMesh) -> None:
    for method, request in (
        (
            HolderServiceStub(mesh.channel).GetHolder,
            pb.GetHolderRequest(account_id=UNKNOWN_ACCOUNT),
        ),
        (HolderServiceStub(mesh.channel).GetBill, pb.GetBillRequest(account_id=UNKNOWN_ACCOUNT)),
    ):
        found = await refused(method, request, principal=PAYMENTS)
        assert found.reason == "ACCOUNT_NOT_FOUND"
    for method, request in (
        (
            HolderServiceStub(mesh.channel).GetHolder,
            pb.GetHolderRequest(account_id="x", user_id="y"),
        ),
        (HolderServiceStub(mesh.channel).GetBill, pb.GetBillRequest()),
    ):
        found = await refused(method, request, principal=PAYMENTS)
        assert found.fields[0] == "account_id"
    # Nobody else in the mesh is told, and nobody at the edge.
    request = pb.GetHolderRequest(account_id=UNKNOWN_ACCOUNT)
    gateway = ("x-auth-spiffe", "spiffe://holdfast.local/service/gateway")
    for principal in (gateway, ("x-auth-subject", "tester")):
        found = await refused(
            HolderServiceStub(mesh.channel).GetHolder, request, principal=principal
        )
        assert found.reason == "PERMISSION_DENIED"
