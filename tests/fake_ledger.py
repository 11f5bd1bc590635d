"""The ledger as accounts asks it, for tests: it posts, and knows purchases."""

from __future__ import annotations

from typing import Any

import grpc

from holdfast.authz.v1 import ledger_service_pb2 as ledger
from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.authz.v1.ledger_service_pb2_grpc import (
    LedgerServiceServicer,
    add_LedgerServiceServicer_to_server,
)
from holdfast.authz.v1.posting_service_pb2_grpc import (
    PostingServiceServicer,
    add_PostingServiceServicer_to_server,
)


class FakeLedger(PostingServiceServicer, LedgerServiceServicer):
    """Posts each request id once, and knows purchases that were never cleared."""

    def __init__(self) -> None:
        self.refusing = False
        self.posted: dict[str, postings.PostEntryRequest] = {}
        #: Authorization to card.
        self.purchases: dict[str, str] = {}

    def add_to(self, server: grpc.aio.Server) -> None:
        """Answers on a server."""
        add_PostingServiceServicer_to_server(self, server)
        add_LedgerServiceServicer_to_server(self, server)

    async def PostEntry(
        self, request: postings.PostEntryRequest, context: Any
    ) -> postings.PostEntryResponse:
        if self.refusing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the gate is closed")
        before = self.posted.setdefault(request.request_id, request)
        if before != request:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        number = list(self.posted).index(request.request_id)
        entry_id = f"ent_0a{number:032x}"
        return postings.PostEntryResponse(result=postings.PostingResult(entry_id=entry_id))

    async def GetPurchase(
        self, request: ledger.GetPurchaseRequest, context: Any
    ) -> ledger.GetPurchaseResponse:
        card_id = self.purchases.get(request.authorization_id)
        if card_id is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "AUTHORIZATION_NOT_FOUND")
        return ledger.GetPurchaseResponse(card_id=card_id or "")
