from __future__ import annotations

import grpc

from holdfast.accounts.v1.account_service_pb2 import GetAccountRequest
from tests.accounts_mesh import UNKNOWN_ACCOUNT, UNKNOWN_CARD, AccountsMesh, call, refused


async def test_returns_the_account_as_it_was_opened(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    answer = await call(mesh.accounts.GetAccount, GetAccountRequest(account_id=account.id))
    assert answer.account == account


async def test_unknown_account(mesh: AccountsMesh) -> None:
    request = GetAccountRequest(account_id=UNKNOWN_ACCOUNT)
    error = await refused(mesh.accounts.GetAccount, request)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    assert error.metadata == {"account_id": UNKNOWN_ACCOUNT}


async def test_malformed_fields(mesh: AccountsMesh) -> None:
    for account_id in ("", "x", UNKNOWN_CARD, UNKNOWN_ACCOUNT + "0", "acct_" + "x" * 100_000):
        request = GetAccountRequest(account_id=account_id)
        error = await refused(mesh.accounts.GetAccount, request)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.fields == ["account_id"], account_id
