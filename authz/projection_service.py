"""ProjectionService: takes over configuration that the accounts service owns. Mesh only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import grpc

from authz import commands, convert_projection, keys, projection_calls
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

#: Accounts and cards of one request.
APPLY_MAX = 500
#: So many of them are on their way to Valkey at once: purchases go in between.
_AT_ONCE = 32

_T = TypeVar("_T")

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
        return rpc.ApplyAccountResponse(version=await self._apply_account(command))

    async def ApplyCard(
        self, request: rpc.ApplyCardRequest, context: Context
    ) -> rpc.ApplyCardResponse:
        """Applies a card's configuration."""
        command = convert_projection.apply_card(request, current_identity())
        about = await self._account_fields(command.account_id)
        return rpc.ApplyCardResponse(version=await self._apply_card(command, about))

    async def ApplyAll(
        self, request: rpc.ApplyAllRequest, context: Context
    ) -> rpc.ApplyAllResponse:
        """Applies the configuration of many accounts and cards."""
        identity = current_identity()
        convert_projection.check_count(request, most=APPLY_MAX)
        accounts = [
            convert_projection.apply_account(one, identity)
            async for one in _one_by_one(request.accounts)
        ]
        cards = [
            convert_projection.apply_card(one, identity) async for one in _one_by_one(request.cards)
        ]
        about = {one.account_id: _about(one) for one in accounts}

        async def card(command: commands.ApplyCard) -> int:
            known = about.get(command.account_id)
            if known is None:
                known = await self._account_fields(command.account_id)
            return await self._apply_card(command, known)

        versions, refused = await _each(accounts, self._apply_account)
        card_versions, cards_refused = await _each(cards, card)
        for error in (*refused, *cards_refused):
            raise error
        return rpc.ApplyAllResponse(account_versions=versions, card_versions=card_versions)

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

    async def _apply_account(self, command: commands.ApplyAccount) -> int:
        header = _header(command, command.account_id, **_about(command))
        entry = static_part(header, command.raw)
        now_ms = self._clock.now_ms()
        return await self._apply(projection_calls.apply_account(command, entry, now_ms=now_ms))

    async def _apply_card(self, command: commands.ApplyCard, about: dict[str, str]) -> int:
        header = _header(
            command,
            command.card_id,
            card_id=command.card_id,
            root_card_id=command.root_card_id,
            user_id=command.user_id,
            **about,
        )
        entry = static_part(header, command.raw)
        now_ms = self._clock.now_ms()
        version = await self._apply(projection_calls.apply_card(command, entry, now_ms=now_ms))
        self._store.forget(command.card_id)
        return version

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


async def _each(
    asked: Sequence[_T], apply: Callable[[_T], Coroutine[Any, Any, int]]
) -> tuple[list[int], list[FailedPrecondition]]:
    """Applies all of them, a few at a time; versions, and what was refused. Any other error ends
    it: the caller repeats everything.
    """
    versions: list[int] = []
    refused: list[FailedPrecondition] = []
    for start in range(0, len(asked), _AT_ONCE):
        some = (apply(one) for one in asked[start : start + _AT_ONCE])
        for found in await asyncio.gather(*some, return_exceptions=True):
            if isinstance(found, FailedPrecondition):
                refused.append(found)
            elif isinstance(found, BaseException):
                raise found
            else:
                versions.append(found)
    return versions, refused


async def _one_by_one(requests: Iterable[_T]) -> AsyncIterator[_T]:
    """Each of them; others have their turn meanwhile."""
    for number, one in enumerate(requests):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        yield one


def _about(command: commands.ApplyAccount) -> dict[str, str]:
    """What the entry of an account, and of what belongs to it, says of the account."""
    return {
        "account_id": command.account_id,
        "owner_id": command.owner_id,
        "programme_id": command.programme_id,
        "currency": command.currency_code,
    }


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
