"""An authorizer for tests of accounts: it keeps versions, and gives way on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from holdfast.authz.v1 import projection_service_pb2 as projection
from holdfast.authz.v1.projection_service_pb2_grpc import (
    ProjectionServiceServicer,
    add_ProjectionServiceServicer_to_server,
)
from tests.fake_gateway import gateway_handler, payments_handler
from tests.fake_ledger import FakeLedger


class FakeAuthorizer(ProjectionServiceServicer):
    """Keeps versions as authorizer and gateway do. `refusing` makes it answer UNAVAILABLE."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.versions: dict[str, int] = {}
        self.requests: list[Any] = []
        self.trace_ids: list[str] = []
        self.refusing = False
        self.epoch = 1
        self.delay_s = 0.0
        #: Waited for before a request is applied.
        self.held: Callable[[Any], Awaitable[Any]] | None = None
        #: Of ApplyAll alone.
        self.import_delay_s = 0.0
        #: Accounts that still owe something.
        self.in_use: set[str] = set()
        #: It answers with a version that is this much too low.
        self.lag = 0
        self.ledger = FakeLedger()  # type: ignore[abstract]
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server()
        add_ProjectionServiceServicer_to_server(self, self._server)
        self.ledger.add_to(self._server)
        self._server.add_generic_rpc_handlers(
            (gateway_handler(self._apply), payments_handler(self._apply))
        )
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def ApplyAccount(
        self, request: projection.ApplyAccountRequest, context: Any
    ) -> projection.ApplyAccountResponse:
        if request.state == projection.ACCOUNT_STATE_CLOSED and request.account_id in self.in_use:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_IN_USE")
        version = await self._apply(request, request.account_id, context)
        return projection.ApplyAccountResponse(version=version)

    async def ApplyCard(
        self, request: projection.ApplyCardRequest, context: Any
    ) -> projection.ApplyCardResponse:
        if request.account_id not in self.versions and not self.refusing:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_NOT_APPLIED")
        version = await self._apply(request, request.card_id, context)
        return projection.ApplyCardResponse(version=version)

    async def ApplyAll(
        self, request: projection.ApplyAllRequest, context: Any
    ) -> projection.ApplyAllResponse:
        await asyncio.sleep(self.import_delay_s)
        accounts = [await self.ApplyAccount(one, context) for one in request.accounts]
        cards = [await self.ApplyCard(one, context) for one in request.cards]
        return projection.ApplyAllResponse(
            account_versions=[one.version for one in accounts],
            card_versions=[one.version for one in cards],
        )

    async def ApplyAccountUser(
        self, request: projection.ApplyAccountUserRequest, context: Any
    ) -> projection.ApplyAccountUserResponse:
        name = f"{request.account_id}:{request.user_id}"
        version = await self._apply(request, name, context)
        return projection.ApplyAccountUserResponse(version=version)

    async def ApplyRules(
        self, request: projection.ApplyRulesRequest, context: Any
    ) -> projection.ApplyRulesResponse:
        version = await self._apply(request, request.programme_id or request.company_id, context)
        return projection.ApplyRulesResponse(version=version)

    async def GetEpoch(
        self, request: projection.GetEpochRequest, context: Any
    ) -> projection.GetEpochResponse:
        if self.refusing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the gate is closed")
        del request
        return projection.GetEpochResponse(epoch=self.epoch)

    async def _apply(self, request: Any, name: str, context: Any) -> int:
        await asyncio.sleep(self.delay_s)
        if self.held is not None:
            await self.held(request)
        if self.refusing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the gate is closed")
        self.requests.append(request)
        metadata = dict(context.invocation_metadata())
        self.trace_ids.append(metadata.get("x-request-id", ""))
        self.versions[name] = max(self.versions.get(name, 0), getattr(request, "version", 1))
        return self.versions[name] - self.lag
