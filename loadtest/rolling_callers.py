"""Callers with a session or an API key, beside the load of `rolling`: few, and none repeats a call.

What gateway must know of them (does the session live, whose key is it, how many calls were that) is
asked again and again, so a restart that loses an answer shows.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from holdfast.accounts.v1 import account_service_pb2 as account_pb
from holdfast.accounts.v1 import card_pb2
from holdfast.accounts.v1 import card_service_pb2 as card_pb
from holdfast.accounts.v1.account_service_pb2_grpc import AccountServiceStub
from holdfast.accounts.v1.card_service_pb2_grpc import CardServiceStub
from holdfast.authz.v1 import authorization_pb2
from holdfast.authz.v1 import authorization_service_pb2 as authz_pb
from holdfast.authz.v1.authorization_service_pb2_grpc import AuthorizationServiceStub
from holdfast.gateway.v1 import api_key_service_pb2 as api_key_pb
from holdfast.gateway.v1 import session_service_pb2 as session_pb
from holdfast.gateway.v1.api_key_service_pb2_grpc import ApiKeyServiceStub
from holdfast.gateway.v1.session_service_pb2_grpc import SessionServiceStub
from holdfast.type.v1.money_pb2 import Money
from loadtest import messages
from loadtest.mesh import LIMIT_MINOR, Mesh
from runtime import pki
from runtime.mesh_client import CALL_TIMEOUT_S, TokenSource

#: Each may call 100 times in 60 s, and all of them register, sign in and renew 30 times.
USERS = 10
#: A token lives for five minutes; one this old is renewed before the next run.
_RENEW_AFTER_S = 120.0
#: Calls per second of one user, and of the API key.
_USER_RATE = 1.5
_KEY_RATE = 25
_KEY_LIMIT_PER_MINUTE = 6_000
_MERCHANT = "mer_bench"
_SHED = grpc.StatusCode.RESOURCE_EXHAUSTED.name

_numbers = itertools.count(1)
Call = Callable[[], Awaitable[Any]]


@dataclass(slots=True, kw_only=True)
class Told:
    """What became of the calls of one run."""

    calls: int = 0
    #: Failures by kind of call and status.
    failed: Counter[str] = field(default_factory=Counter)


class _User:
    """A cardholder with a session, an account and a card."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._sessions: Any = SessionServiceStub(channel)
        self._accounts: Any = AccountServiceStub(channel)
        self._cards: Any = CardServiceStub(channel)
        self._tokens = session_pb.LoginResponse().tokens
        self.account_id = self._card_id = ""
        self._signed_in = 0.0

    async def open(self, staff: tuple[tuple[str, str], ...]) -> None:
        """Registers, is given a card, and signs in."""
        email, password = f"{_name()}@example.com", secrets.token_urlsafe(24)
        register = session_pb.RegisterRequest(
            request_id=_name(), email=email, password=password, name="Rolling Bench"
        )
        made = await _send(self._sessions.Register, register)
        opened = await _send(
            self._accounts.OpenAccount,
            account_pb.OpenAccountRequest(
                request_id=_name(),
                owner_id=made.user_id,
                credit_limit=Money(currency_code=messages.CURRENCY, amount_minor=LIMIT_MINOR),
            ),
            staff,
        )
        self.account_id = opened.account.id
        issued = await _send(
            self._cards.IssueCard,
            card_pb.IssueCardRequest(
                request_id=_name(),
                account_id=self.account_id,
                kind=card_pb2.Card.KIND_VIRTUAL,
            ),
            staff,
        )
        self._card_id = issued.card.id
        login = session_pb.LoginRequest(request_id=_name(), email=email, password=password)
        self._tokens = (await _send(self._sessions.Login, login)).tokens
        self._signed_in = time.monotonic()

    async def renew(self) -> None:
        """Another access token, if it is time."""
        if time.monotonic() < self._signed_in + _RENEW_AFTER_S:
            return
        request = session_pb.RefreshRequest(
            request_id=_name(), refresh_token=self._tokens.refresh_token
        )
        self._tokens = (await _send(self._sessions.Refresh, request)).tokens
        self._signed_in = time.monotonic()

    def calls(self) -> dict[str, Call]:
        """What this user does, over and over."""
        return {"session, read": self._read, "session, change": self._change}

    async def _read(self) -> None:
        await _send(
            self._accounts.ListAccounts, account_pb.ListAccountsRequest(), self._credential()
        )

    async def _change(self) -> None:
        request = card_pb.SetCardControlsRequest(request_id=_name(), card_id=self._card_id)
        await _send(self._cards.SetCardControls, request, self._credential())

    def _credential(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._tokens.access_token}"),)


class _Merchant:
    """Who calls with an API key."""

    def __init__(self, channel: grpc.aio.Channel, mesh: Mesh, cards: list[str]) -> None:
        self._keys: Any = ApiKeyServiceStub(channel)
        self._authorizations: Any = AuthorizationServiceStub(channel)
        self._mesh = mesh
        self._cards = itertools.cycle(cards)
        self._secret = self._bought = ""

    async def open(self, staff: tuple[tuple[str, str], ...]) -> None:
        """Is given a key."""
        request = api_key_pb.CreateApiKeyRequest(
            request_id=_name(),
            owner_id=_MERCHANT,
            scopes=["authorizations:read", "authorizations:write"],
            limit_per_minute=_KEY_LIMIT_PER_MINUTE,
        )
        self._secret = (await _send(self._keys.CreateApiKey, request, staff)).secret
        await self._change()

    def calls(self) -> dict[str, Call]:
        """What the merchant does, over and over."""
        return {"API key, read": self._read, "API key, change": self._change}

    async def _read(self) -> None:
        request = authz_pb.GetAuthorizationRequest(authorization_id=self._bought)
        await _send(self._authorizations.GetAuthorization, request, self._credential())

    async def _change(self) -> None:
        """A purchase. The books are compared with it later."""
        answered = self._mesh.answered
        request = messages.purchase(_name(), next(self._cards))
        try:
            answer = await _send(self._authorizations.Authorize, request, self._credential())
        except grpc.aio.AioRpcError as error:
            answered.unknown += error.code().name != _SHED
            raise
        self._bought = answer.authorization_id
        approved = answer.decision == authorization_pb2.DECISION_APPROVED
        answered.approved += approved
        answered.declined += not approved

    def _credential(self) -> tuple[tuple[str, str], ...]:
        return (("x-api-key", self._secret),)


class Callers:
    """All of them."""

    def __init__(self, channel: grpc.aio.Channel, mesh: Mesh, cards: list[str]) -> None:
        self._mesh = mesh
        self._users = [_User(channel) for _ in range(USERS)]
        self._merchant = _Merchant(channel, mesh, cards)

    @property
    def account_id(self) -> str:
        """The account of one of them."""
        return self._users[0].account_id

    async def open(self) -> None:
        """Makes them known."""
        token = TokenSource(self._mesh.stack.settings, roles=("admin",)).token()
        staff = (("authorization", f"Bearer {token}"),)
        await self._merchant.open(staff)
        for user in self._users:
            await user.open(staff)

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[Told]:
        """While the block lasts; at its end everything is told."""
        for user in self._users:
            await user.renew()
        told = Told()
        callers = [
            *((user.calls(), _USER_RATE) for user in self._users),
            (self._merchant.calls(), _KEY_RATE),
        ]
        tasks = [asyncio.create_task(_repeat(calls, rate, told)) for calls, rate in callers]
        try:
            yield told
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def open_callers(mesh: Mesh, cards: list[str]) -> AsyncIterator[Callers]:
    """Callers of a mesh, on a connection to its edge that never repeats a call by itself."""
    trust = grpc.ssl_channel_credentials(pki.ca_path(mesh.stack.settings).read_bytes())
    target, options = f"localhost:{mesh.stack.ports['edge_https']}", [("grpc.enable_retries", 0)]
    async with grpc.aio.secure_channel(target, trust, options=options) as channel:
        callers = Callers(channel, mesh, cards)
        await callers.open()
        yield callers


async def _repeat(calls: dict[str, Call], rate: float, told: Told) -> None:
    """Open loop: each begins when it should, whatever became of the others."""
    loop, under_way = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    begun = loop.time()
    try:
        for number, kind in enumerate(itertools.cycle(calls)):
            await asyncio.sleep(begun + number / rate - loop.time())
            task = asyncio.create_task(_once(kind, calls[kind], told))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    finally:
        await asyncio.gather(*under_way)


async def _once(kind: str, call: Call, told: Told) -> None:
    told.calls += 1
    try:
        await call()
    except grpc.aio.AioRpcError as error:
        told.failed[f"{kind}: {error.code().name}"] += 1


async def _send(method: Any, request: Any, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
    return await method(request, metadata=metadata, timeout=CALL_TIMEOUT_S)


def _name() -> str:
    """An id that nobody has used."""
    return f"bench-{os.urandom(4).hex()}-{next(_numbers)}"
