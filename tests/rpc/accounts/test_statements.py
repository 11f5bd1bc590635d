"""StatementService: refusals. What statements say is in tests/integration/billing."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import statement_service_pb2 as pb
from runtime.paging import Page, Position
from tests.accounts_mesh import UNKNOWN_ACCOUNT, AccountsMesh, call, refused

_METHODS = {
    "ListStatements": pb.ListStatementsRequest(),
    "GetStatement": pb.GetStatementRequest(number=1),
    "DownloadStatement": pb.DownloadStatementRequest(number=1),
    "GetBillingSummary": pb.GetBillingSummaryRequest(),
}


@pytest.mark.parametrize("name", _METHODS)
async def test_unknown_account(mesh: AccountsMesh, name: str) -> None:
    request: Any = _METHODS[name]
    asked = type(request)()
    asked.CopyFrom(request)
    asked.account_id = UNKNOWN_ACCOUNT
    error = await refused(getattr(mesh.statements, name), asked)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


async def test_wrong_fields_are_named(mesh: AccountsMesh) -> None:
    for request, method, fields in (
        (pb.ListStatementsRequest(page_size=-1), "ListStatements", ["account_id", "page_size"]),
        (pb.GetStatementRequest(number=-1), "GetStatement", ["account_id", "number"]),
        (
            pb.DownloadStatementRequest(format=9),  # type: ignore[arg-type]
            "DownloadStatement",
            ["account_id", "number", "format"],
        ),
        (pb.GetBillingSummaryRequest(account_id="x"), "GetBillingSummary", ["account_id"]),
    ):
        error = await refused(getattr(mesh.statements, method), request)
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields), method


async def test_an_account_without_terms_has_no_statements(mesh: AccountsMesh) -> None:
    account = await mesh.open_account()
    listed = await call(
        mesh.statements.ListStatements, pb.ListStatementsRequest(account_id=account.id)
    )
    assert listed == pb.ListStatementsResponse()
    # Page tokens are not signed: whatever number stands in one.
    page = Page(size=1, after=None, scope=f"ListStatements|{account.id}")
    beyond = pb.ListStatementsRequest(
        account_id=account.id, page_token=page.token_after(Position(2**31, ""))
    )
    assert await call(mesh.statements.ListStatements, beyond) == pb.ListStatementsResponse()
    request = pb.GetStatementRequest(account_id=account.id, number=1)
    error = await refused(mesh.statements.GetStatement, request)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "STATEMENT_NOT_FOUND")
    summary = pb.GetBillingSummaryRequest(account_id=account.id)
    error = await refused(mesh.statements.GetBillingSummary, summary)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_BILLED")
