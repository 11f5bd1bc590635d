"""ProjectionService: takes over configuration that the accounts service owns. Mesh only."""

from __future__ import annotations

from typing import Any

import grpc

from authz import commands, convert_projection
from authz.entry import Header, static_part
from authz.money_store import MoneyStore
from authz.scripts import Status
from holdfast.authz.v1 import projection_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2_grpc as rpc_grpc
from runtime.clock import Clock
from runtime.errors import FailedPrecondition
from runtime.identity import current_identity

Context = grpc.aio.ServicerContext[Any, Any]

_REFUSALS = {
    Status.IN_USE: ("ACCOUNT_IN_USE", "CLOSED needs posted, held and unreleased to be 0"),
    Status.CURRENCY_CHANGED: ("CURRENCY_CHANGED", "an account's currency never changes"),
    Status.ACCOUNT_NOT_APPLIED: ("ACCOUNT_NOT_APPLIED", "apply the account before its cards"),
}


class ProjectionService(rpc_grpc.ProjectionServiceServicer):
    """Applies versions that are newer; answers older ones with the version it has."""

    def __init__(self, store: MoneyStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def ApplyAccount(
        self, request: rpc.ApplyAccountRequest, context: Context
    ) -> rpc.ApplyAccountResponse:
        """Applies an account's configuration."""
        command = convert_projection.apply_account(request, current_identity())
        static = static_part(self._account_header(command), command.raw)
        status, version = await self._store.apply_account(
            command, static, now_ms=self._clock.now_ms()
        )
        return rpc.ApplyAccountResponse(version=_version(status, version))

    async def ApplyCard(
        self, request: rpc.ApplyCardRequest, context: Context
    ) -> rpc.ApplyCardResponse:
        """Applies a card's configuration."""
        command = convert_projection.apply_card(request, current_identity())
        static = static_part(await self._card_header(command), command.raw)
        status, version = await self._store.apply_card(command, static, now_ms=self._clock.now_ms())
        return rpc.ApplyCardResponse(version=_version(status, version))

    def _account_header(self, command: commands.ApplyAccount) -> Header:
        return Header(
            principal=command.principal,
            request_id=f"{command.account_id}:{command.version}",
            fingerprint="",
            account_id=command.account_id,
            owner_id=command.owner_id,
            programme_id=command.programme_id,
            currency=command.currency_code,
        )

    async def _card_header(self, command: commands.ApplyCard) -> Header:
        account = await self._store.account(command.account_id)
        return Header(
            principal=command.principal,
            request_id=f"{command.card_id}:{command.version}",
            fingerprint="",
            account_id=command.account_id,
            card_id=command.card_id,
            root_card_id=command.root_card_id,
            owner_id=account.owner_id if account else "",
            programme_id=account.programme_id if account else "",
            currency=account.currency_code if account else "",
        )


def _version(status: Status, version: str) -> int:
    if status in _REFUSALS:
        reason, message = _REFUSALS[status]
        raise FailedPrecondition(message, reason=reason)
    return int(version)
