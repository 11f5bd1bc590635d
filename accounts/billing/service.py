"""StatementService: reads what billing made."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import grpc
from google.api.httpbody_pb2 import HttpBody

from accounts.billing import convert, render
from accounts.billing.account import Phase
from accounts.billing.products import product_for
from accounts.billing.statement import issued, lines_of, summary_of
from accounts.billing.store import Statements
from accounts.convert import account_not_found
from accounts.store import Store
from holdfast.accounts.v1 import statement_pb2 as statements
from holdfast.accounts.v1 import statement_service_pb2 as pb
from holdfast.accounts.v1.statement_service_pb2_grpc import StatementServiceServicer
from runtime.clock import Clock
from runtime.paging import Position

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"
_Found = tuple[statements.Statement, list[statements.StatementLine]]


class StatementService(StatementServiceServicer):
    """Statements as they were issued, and where an account stands."""

    def __init__(self, kept: Statements, store: Store, clock: Clock, *, creditor: str) -> None:
        self._kept = kept
        self._store = store
        self._clock = clock
        self._creditor = creditor

    async def ListStatements(
        self, request: pb.ListStatementsRequest, context: Context
    ) -> pb.ListStatementsResponse:
        """Lists statements, latest first."""
        del context
        page = convert.list_statements(request)
        await self._check_exists(request.account_id)
        rows = await self._kept.page(
            request.account_id, below=convert.below(page), limit=page.fetch
        )
        shown, more = page.cut(rows)
        return pb.ListStatementsResponse(
            statements=[issued(row) for row in shown],
            next_page_token=(page.token_after(Position(shown[-1]["number"], "")) if more else ""),
        )

    async def GetStatement(
        self, request: pb.GetStatementRequest, context: Context
    ) -> pb.GetStatementResponse:
        """Returns a statement with its lines."""
        del context
        convert.check_statement(request)
        statement, lines = await self._found(request.account_id, request.number)
        return pb.GetStatementResponse(statement=statement, lines=lines)

    async def DownloadStatement(
        self, request: pb.DownloadStatementRequest, context: Context
    ) -> HttpBody:
        """Returns a statement as a file."""
        del context
        convert.check_statement(request)
        statement, lines = await self._found(request.account_id, request.number)
        if request.format == pb.STATEMENT_FORMAT_JSON:
            return HttpBody(content_type="application/json", data=render.as_json(statement, lines))
        if request.format == pb.STATEMENT_FORMAT_CSV:
            return HttpBody(content_type="text/csv; charset=utf-8", data=render.as_csv(lines))
        document = await asyncio.to_thread(_pdf, statement, lines, self._creditor)
        return HttpBody(content_type="application/pdf", data=document)

    async def GetBillingSummary(
        self, request: pb.GetBillingSummaryRequest, context: Context
    ) -> pb.GetBillingSummaryResponse:
        """Returns what is due."""
        del context
        account_id = convert.account_id(request)
        await self._check_exists(account_id)
        summary = await summary_at(self._kept, account_id, now_ms=self._clock.now_ms())
        return pb.GetBillingSummaryResponse(summary=summary)

    async def _check_exists(self, account_id: str) -> None:
        if await self._store.account(account_id) is None:
            raise account_not_found(account_id)

    async def _found(self, account_id: str, number: int) -> _Found:
        await self._check_exists(account_id)
        found = await self._kept.found(account_id, number)
        if found is None:
            raise convert.statement_not_found(account_id, number)
        row, entries, charges = found
        statement = issued(row)
        return statement, lines_of(statement, entries, charges)


async def summary_at(
    kept: Statements, account_id: str, *, now_ms: int
) -> statements.BillingSummary:
    """Where an account that exists stands; NOT_FOUND if it is not billed yet."""
    found = await kept.account(account_id)
    if found is None or found[0].phase is Phase.NEW:
        raise convert.not_billed(account_id, found[0].phase if found else None)
    account, entries, terms = found
    product = product_for(account, terms, now_ms=now_ms)
    assert product is not None, "terms are never taken away"
    return summary_of(account, entries, product, now_ms=now_ms)


def _pdf(
    statement: statements.Statement, lines: list[statements.StatementLine], creditor: str
) -> bytes:
    """In a thread: drawing takes a while, as does the first import, which no start waits for."""
    from accounts.billing import statement_pdf  # noqa: PLC0415

    return statement_pdf.as_pdf(statement, lines, creditor=creditor)
