"""ProjectionService: takes over configuration that the accounts service owns. Mesh only."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import grpc

from authz import convert_projection, keys, projection_calls
from authz.commands import ApplyRules
from authz.entry import Header, static_part
from authz.money_store import MoneyStore
from authz.mover import journaled_trace_id
from authz.projection_calls import Call
from authz.scripts import Status
from holdfast.authz.v1 import projection_service_pb2 as rpc
from holdfast.authz.v1 import projection_service_pb2_grpc as rpc_grpc
from runtime import ids
from runtime.clock import Clock
from runtime.errors import FailedPrecondition
from runtime.identity import current_identity

Context = grpc.aio.ServicerContext[Any, Any]

_REFUSALS = {
    Status.IN_USE: ("ACCOUNT_IN_USE", "CLOSED needs posted, held and unreleased to be 0"),
    Status.CURRENCY_CHANGED: ("CURRENCY_CHANGED", "an account's currency never changes"),
    Status.ACCOUNT_NOT_APPLIED: ("ACCOUNT_NOT_APPLIED", "apply the account before it"),
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
        header = _header(
            command,
            command.account_id,
            account_id=command.account_id,
            owner_id=command.owner_id,
            programme_id=command.programme_id,
            currency=command.currency_code,
        )
        entry = static_part(header, command.raw)
        call = projection_calls.apply_account(command, entry, now_ms=self._clock.now_ms())
        return rpc.ApplyAccountResponse(version=await self._apply(call))

    async def ApplyCard(
        self, request: rpc.ApplyCardRequest, context: Context
    ) -> rpc.ApplyCardResponse:
        """Applies a card's configuration."""
        command = convert_projection.apply_card(request, current_identity())
        header = _header(
            command,
            command.card_id,
            card_id=command.card_id,
            root_card_id=command.root_card_id,
            user_id=command.user_id,
            **await self._account_fields(command.account_id),
        )
        entry = static_part(header, command.raw)
        call = projection_calls.apply_card(command, entry, now_ms=self._clock.now_ms())
        version = await self._apply(call)
        self._store.forget(command.card_id)
        return rpc.ApplyCardResponse(version=version)

    async def ApplyAccountUser(
        self, request: rpc.ApplyAccountUserRequest, context: Context
    ) -> rpc.ApplyAccountUserResponse:
        """Applies what a user of an account may use it for."""
        command = convert_projection.apply_account_user(request, current_identity())
        header = _header(
            command,
            f"{command.account_id}:{command.user_id}",
            user_id=command.user_id,
            **await self._account_fields(command.account_id),
        )
        entry = static_part(header, command.raw)
        call = projection_calls.apply_account_user(command, entry, now_ms=self._clock.now_ms())
        return rpc.ApplyAccountUserResponse(version=await self._apply(call))

    async def ApplyRules(
        self, request: rpc.ApplyRulesRequest, context: Context
    ) -> rpc.ApplyRulesResponse:
        """Applies rules in every partition that has, or may get, accounts that obey them."""
        command = convert_projection.apply_rules(request, current_identity())
        # Accounts of a programme may be opened in any partition, and must not be a moment without.
        tags = keys.TAGS if command.programme_id else (ids.tag_of(command.company_id),)
        now_ms = self._clock.now_ms()
        versions = await asyncio.gather(
            *(self._apply(_rules_call(command, tag, now_ms=now_ms)) for tag in tags)
        )
        return rpc.ApplyRulesResponse(version=min(versions))

    async def GetEpoch(
        self, request: rpc.GetEpochRequest, context: Context
    ) -> rpc.GetEpochResponse:
        """Tells which life of Valkey this is."""
        return rpc.GetEpochResponse(epoch=await self._store.epoch())

    async def _account_fields(self, account_id: str) -> dict[str, str]:
        """What the entry of something that belongs to an account says of it."""
        account = await self._store.account(account_id)
        if account is None:
            return {"account_id": account_id}
        return {
            "account_id": account_id,
            "owner_id": account.owner_id,
            "programme_id": account.programme_id,
            "currency": account.currency_code,
        }

    async def _apply(self, call: Call) -> int:
        """Runs one projection's script; returns the version that is there now."""
        status, version = await self._store.apply(call)
        if status in _REFUSALS:
            reason, message = _REFUSALS[status]
            raise FailedPrecondition(message, reason=reason)
        return int(version)


def _rules_call(command: ApplyRules, tag: str, *, now_ms: int) -> Call:
    header = _header(
        command,
        command.scope_id,
        owner_id=command.company_id,
        programme_id=command.programme_id,
    )
    entry = static_part(header, command.raw)
    return projection_calls.apply_rules(command, tag, entry, now_ms=now_ms)


class _Versioned(Protocol):
    @property
    def principal(self) -> str: ...

    @property
    def version(self) -> int: ...


def _header(command: _Versioned, name: str, **about: str) -> Header:
    """A version is applied once (in a partition): its entry's id follows from it."""
    request_id = f"{name}:{command.version}"
    return Header(
        principal=command.principal,
        request_id=request_id,
        trace_id=journaled_trace_id(),
        **about,
    )
