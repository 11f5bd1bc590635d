"""GetPurchase: whose a settled purchase is."""

from __future__ import annotations

from holdfast.authz.v1 import ledger_service_pb2 as rpc
from tests.authz_checks import approved, refused
from tests.authz_mesh import ACCOUNTS, ADMIN, AuthzMesh

UNKNOWN = "auth_0a" + "0" * 32


async def test_says_whose_a_purchase_is_once_it_is_settled(mesh: AuthzMesh) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account)
    held = await approved(mesh, card, 1_000)
    request = rpc.GetPurchaseRequest(authorization_id=held)
    error = await refused(mesh.ledger_service.GetPurchase, request, metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
    await mesh.settle()
    answer = await mesh.ledger_service.GetPurchase(request, metadata=ACCOUNTS)
    assert answer == rpc.GetPurchaseResponse(account_id=account, card_id=card)


async def test_unknown_and_wrong(mesh: AuthzMesh) -> None:
    unknown = rpc.GetPurchaseRequest(authorization_id=UNKNOWN)
    error = await refused(mesh.ledger_service.GetPurchase, unknown, metadata=ACCOUNTS)
    assert (error.code.name, error.reason) == ("NOT_FOUND", "AUTHORIZATION_NOT_FOUND")
    wrong = rpc.GetPurchaseRequest(authorization_id="auth_x")
    error = await refused(mesh.ledger_service.GetPurchase, wrong, metadata=ACCOUNTS)
    assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["authorization_id"])
    error = await refused(mesh.ledger_service.GetPurchase, unknown, metadata=ADMIN)
    assert error.code.name == "PERMISSION_DENIED"
