"""GetOwed: what payments asks before it takes somebody's money."""

from __future__ import annotations

import grpc

from holdfast.authz.v1 import posting_service_pb2 as pb
from holdfast.type.v1.money_pb2 import Money
from runtime.identity import SPIFFE_HEADER
from tests.authz_checks import approved
from tests.authz_mesh import ACCOUNTS, NETWORK, AuthzMesh, capture_of, error_of

PAYMENTS = ((SPIFFE_HEADER, "spiffe://holdfast.local/service/payments"),)


async def test_what_is_owed_and_not_released(mesh: AuthzMesh) -> None:
    account_id = await mesh.open_account(100_000)
    held = await approved(mesh, await mesh.issue_card(account_id), 3_000)
    await mesh.authorization.CaptureAuthorization(
        capture_of(held, 3_000, final=True), metadata=NETWORK
    )
    request = pb.CreditPaymentRequest(
        request_id="credit-1",
        account_id=account_id,
        payment_id=mesh.ids.new("pay", 10),
        amount=Money(currency_code="USD", amount_minor=400),
    )
    await mesh.posting.CreditPayment(request, metadata=PAYMENTS)
    found = await mesh.posting.GetOwed(pb.GetOwedRequest(account_id=account_id), metadata=PAYMENTS)
    assert (found.posted.amount_minor, found.unreleased.amount_minor) == (2_600, 400)


async def test_refusals(mesh: AuthzMesh) -> None:
    unknown = pb.GetOwedRequest(account_id=mesh.ids.new("acct", 10))
    error = await error_of(mesh.posting.GetOwed(unknown, metadata=PAYMENTS))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    error = await error_of(mesh.posting.GetOwed(pb.GetOwedRequest(), metadata=PAYMENTS))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    error = await error_of(mesh.posting.GetOwed(unknown, metadata=ACCOUNTS))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
