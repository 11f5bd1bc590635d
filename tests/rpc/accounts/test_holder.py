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

STATS = ("x-auth-spiffe", "spiffe://holdfast.local/service/stats")
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


async def test_find_subject(mesh: AccountsMesh) -> None:
    """Whose it is, whatever it is; owners are known by what they own."""
    account = await mesh.open_account()
    card = await mesh.issue_card(account.id)
    stub = HolderServiceStub(mesh.channel)
    for subject_id, owner_id, currency in (
        (account.id, OWNER, "USD"),
        (card.id, OWNER, "USD"),
        (OWNER, OWNER, ""),
        (account.programme_id, "", ""),
    ):
        request = pb.FindSubjectRequest(subject_id=subject_id)
        found = await call(stub.FindSubject, request, principal=STATS)
        assert found == pb.FindSubjectResponse(owner_id=owner_id, currency_code=currency)
    for prefix in ("acct", "card", "usr", "co", "dept"):
        request = pb.FindSubjectRequest(subject_id=f"{prefix}_0a{'0' * 32}")
        error = await refused(stub.FindSubject, request, principal=STATS)
        assert error.reason.endswith("_NOT_FOUND")
    request = pb.FindSubjectRequest(subject_id="prog_unknown")
    error = await refused(stub.FindSubject, request, principal=STATS)
    assert error.reason == "PROGRAMME_NOT_FOUND"
    error = await refused(stub.FindSubject, pb.FindSubjectRequest(), principal=STATS)
    assert error.fields == ["subject_id"]
    error = await refused(stub.FindSubject, request, principal=PAYMENTS)
    assert error.reason == "PERMISSION_DENIED"


async def test_timezones_and_departments(mesh: AccountsMesh) -> None:
    """Those that are not known are left out."""
    account = await mesh.open_account()
    stub = HolderServiceStub(mesh.channel)
    zones = pb.ResolveTimeZonesRequest(account_ids=[account.id, UNKNOWN_ACCOUNT])
    found = await call(stub.ResolveTimeZones, zones, principal=STATS)
    assert [(one.account_id, one.time_zone) for one in found.zones] == [(account.id, "UTC")]
    members = pb.ResolveDepartmentsRequest(
        members=[pb.CompanyUser(company_id="co_0a" + "0" * 32, user_id=OTHER_OWNER)]
    )
    assert not (await call(stub.ResolveDepartments, members, principal=STATS)).departments
    for method, request, fields in (
        (stub.ResolveTimeZones, pb.ResolveTimeZonesRequest(), ["account_ids"]),
        (
            stub.ResolveTimeZones,
            pb.ResolveTimeZonesRequest(account_ids=["x"]),
            ["account_ids[0]"],
        ),
        (stub.ResolveDepartments, pb.ResolveDepartmentsRequest(), ["members"]),
        (
            stub.ResolveDepartments,
            pb.ResolveDepartmentsRequest(members=[pb.CompanyUser()]),
            ["members[0].company_id", "members[0].user_id"],
        ),
    ):
        error = await refused(method, request, principal=STATS)
        assert error.fields == fields
