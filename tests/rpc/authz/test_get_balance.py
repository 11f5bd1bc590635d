"""GetBalance: what the authorizer counts at this moment."""

from __future__ import annotations

from holdfast.authz.v1 import authorization_service_pb2 as rpc
from tests.authz_checks import approved, refused, usd
from tests.authz_mesh import ADMIN, NETWORK, AuthzMesh, capture_of


async def test_balance(mesh: AuthzMesh) -> None:
    account = await mesh.open_account(10_000)
    card = await mesh.issue_card(account)
    await approved(mesh, card, 1_000)
    held = await approved(mesh, card, 500)
    await mesh.authorization.CaptureAuthorization(capture_of(held, 500), metadata=NETWORK)
    found = await mesh.authorization.GetBalance(
        rpc.GetBalanceRequest(account_id=account), metadata=ADMIN
    )
    assert found == rpc.GetBalanceResponse(
        account_id=account,
        credit_limit=usd(10_000),
        posted=usd(500),
        held=usd(1_000),
        unreleased=usd(0),
        available_credit=usd(8_500),
        seq=5,
    )


async def test_unknown_account_is_not_found(mesh: AuthzMesh) -> None:
    error = await refused(
        mesh.authorization.GetBalance,
        rpc.GetBalanceRequest(account_id="acct_0a" + "0" * 32),
        metadata=ADMIN,
    )
    assert (error.code.name, error.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    assert error.metadata == {"field": "account_id"}


async def test_what_is_no_id_is_refused(mesh: AuthzMesh) -> None:
    for name in ("", "acct_", "card_0a" + "0" * 32, "acct_0a" + "0" * 33):
        error = await refused(
            mesh.authorization.GetBalance, rpc.GetBalanceRequest(account_id=name), metadata=ADMIN
        )
        assert (error.code.name, error.fields) == ("INVALID_ARGUMENT", ["account_id"])
