"""Requests for statements, checked."""

from __future__ import annotations

from accounts.billing.account import Phase
from holdfast.accounts.v1 import statement_service_pb2 as pb
from runtime import ids
from runtime.errors import NotFound
from runtime.paging import Page, page_of
from runtime.validate import Violations

_NUMBER_MAX = 2**31 - 1
_FORMATS: dict[int, object] = dict(pb.StatementFormat.DESCRIPTOR.values_by_number)


def list_statements(request: pb.ListStatementsRequest) -> Page:
    """Checks ListStatementsRequest."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    scope = f"ListStatements|{request.account_id}"
    page = page_of(request.page_size, request.page_token, scope=scope, violations=violations)
    violations.raise_if_any()
    return page


def below(page: Page) -> int:
    """The number that a page's statements are below."""
    return min(page.after.key, _NUMBER_MAX) if page.after else _NUMBER_MAX


def check_statement(request: pb.GetStatementRequest | pb.DownloadStatementRequest) -> None:
    """Checks what names a statement."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    if request.number < 1:
        violations.add("number", "must be 1 or more")
    if isinstance(request, pb.DownloadStatementRequest):
        violations.enum("format", request.format, _FORMATS)
    violations.raise_if_any()


def account_id(request: pb.GetBillingSummaryRequest) -> str:
    """Checks GetBillingSummaryRequest."""
    violations = Violations()
    violations.id("account_id", request.account_id, ids.ACCOUNT)
    violations.raise_if_any()
    return request.account_id


def statement_not_found(account: str, number: int) -> NotFound:
    """The error for a statement that was not issued, or not yet."""
    return NotFound(
        "no such statement",
        reason="STATEMENT_NOT_FOUND",
        metadata={"account_id": account, "number": str(number)},
    )


def not_billed(account: str, phase: Phase | None) -> NotFound:
    """The error for an account that has no cycle."""
    return NotFound(
        "the account's first cycle has not begun"
        if phase is Phase.NEW
        else "the account is not billed: its programme has no terms",
        reason="NOT_BILLED",
        metadata={"account_id": account},
    )
