"""LoanTapeService: reads what the taper wrote."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc
from google.api.httpbody_pb2 import HttpBody

from accounts.billing import convert_tape
from accounts.billing.tape_store import is_complete, rows_of
from holdfast.accounts.v1 import loan_tape_service_pb2 as pb
from holdfast.accounts.v1.loan_tape_service_pb2_grpc import LoanTapeServiceServicer
from runtime.paging import Position

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class LoanTapeService(LoanTapeServiceServicer):
    """Rows of days that are complete."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def ListLoanTape(
        self, request: pb.ListLoanTapeRequest, context: Context
    ) -> pb.ListLoanTapeResponse:
        """Lists the rows of a day."""
        del context
        day, page = convert_tape.page(request)
        if not await is_complete(self._pool, day):
            raise convert_tape.not_found(day)
        after = page.after.id if page.after else ""
        rows, more = page.cut(await rows_of(self._pool, day, after=after, limit=page.fetch))
        return pb.ListLoanTapeResponse(
            rows=[convert_tape.row_of(one) for one in rows],
            next_page_token=page.token_after(Position(0, rows[-1].account_id)) if more else "",
        )

    async def DownloadLoanTape(
        self, request: pb.DownloadLoanTapeRequest, context: Context
    ) -> HttpBody:
        """Returns rows of a day as a file."""
        del context
        day = convert_tape.file_day(request)
        if not await is_complete(self._pool, day):
            raise convert_tape.not_found(day)
        rows = await rows_of(
            self._pool, day, after=request.after_account_id, limit=convert_tape.FILE_ROWS
        )
        return HttpBody(content_type="text/csv; charset=utf-8", data=convert_tape.as_csv(rows))
