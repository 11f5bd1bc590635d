"""An authorizer for tests: one real worker and one settler on real PostgreSQL and Valkey."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from redis.asyncio import Redis

from authz.__main__ import SERVICE_NAMES, Worker
from authz.settings import AuthzSettings
from authz.settle_store import SettleStore
from authz.settle_streams import Streams
from authz.settler import Settler
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import authorization_service_pb2_grpc as authorization_grpc
from holdfast.authz.v1 import ledger_service_pb2_grpc as ledger_grpc
from holdfast.authz.v1 import posting_service_pb2_grpc as posting_grpc
from holdfast.authz.v1 import projection_service_pb2 as projection_rpc
from holdfast.authz.v1 import projection_service_pb2_grpc as projection_grpc
from holdfast.type.v1.default_rules_pb2 import DefaultRules
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from runtime.channel import unix_channel
from runtime.clock import Clock, ManualClock
from runtime.identity import ROLES_HEADER, SPIFFE_HEADER, SUBJECT_HEADER
from runtime.ids import IdSource
from runtime.server import Server
from runtime.validate import timestamp
from tests.databases import Database, connected

NETWORK = ((SPIFFE_HEADER, "spiffe://holdfast.local/network/demo"),)
OTHER_NETWORK = ((SPIFFE_HEADER, "spiffe://holdfast.local/network/other"),)
MERCHANT = ((SUBJECT_HEADER, "mer_demo"), (ROLES_HEADER, "merchant"))
ADMIN = ((SUBJECT_HEADER, "usr_admin"), (ROLES_HEADER, "admin"))
ACCOUNTS = ((SPIFFE_HEADER, "spiffe://holdfast.local/service/accounts"),)

_NUMBERS = itertools.count(1)


@dataclass(slots=True, kw_only=True)
class AuthzMesh:
    """Stubs of one authorizer, and hands on its settler."""

    settings: AuthzSettings
    clock: ManualClock
    ids: IdSource
    worker: Worker
    server: Server
    settler: Settler
    money: Redis
    ledger: asyncpg.Connection
    authorization: authorization_grpc.AuthorizationServiceAsyncStub
    projection: projection_grpc.ProjectionServiceAsyncStub
    posting: posting_grpc.PostingServiceAsyncStub
    ledger_service: ledger_grpc.LedgerServiceAsyncStub

    async def open_account(
        self, limit_minor: int = 100_000, *, currency: str = "USD", partition: int = 10
    ) -> str:
        """An open account with a limit."""
        account_id = self.ids.new("acct", partition)
        await self.apply_account(account_id, limit_minor=limit_minor, currency=currency)
        return account_id

    async def apply_account(
        self,
        account_id: str,
        *,
        version: int = 1,
        limit_minor: int = 100_000,
        currency: str = "USD",
        state: projection_rpc.AccountState.ValueType = projection_rpc.ACCOUNT_STATE_OPEN,
        controls: SpendControls | None = None,
        owner_id: str = "",
        programme_id: str = "prog_standard",
    ) -> int:
        """Projects an account; returns the version that the authorizer has."""
        answer = await self.projection.ApplyAccount(
            projection_rpc.ApplyAccountRequest(
                version=version,
                account_id=account_id,
                owner_id=owner_id or f"usr_{account_id[5:7]}{'0' * 32}",
                programme_id=programme_id,
                state=state,
                credit_limit=Money(currency_code=currency, amount_minor=limit_minor),
                controls=controls,
            ),
            metadata=ACCOUNTS,
        )
        return answer.version

    async def issue_card(self, account_id: str, *, single_use: bool = False) -> str:
        """An active card of an account."""
        card_id = self.ids.new("card", int(account_id[5:7], 16))
        await self.apply_card(card_id, account_id, single_use=single_use)
        return card_id

    async def apply_card(
        self,
        card_id: str,
        account_id: str,
        *,
        version: int = 1,
        single_use: bool = False,
        state: projection_rpc.CardState.ValueType = projection_rpc.CARD_STATE_ACTIVE,
        expiry_year: int = 2090,
        root_card_id: str = "",
        controls: SpendControls | None = None,
        user_id: str = "",
        clear_ms: int = 0,
    ) -> int:
        """Projects a card; returns the version that the authorizer has."""
        answer = await self.projection.ApplyCard(
            projection_rpc.ApplyCardRequest(
                version=version,
                card_id=card_id,
                account_id=account_id,
                root_card_id=root_card_id or card_id,
                controls=controls,
                user_id=user_id,
                state=state,
                single_use=single_use,
                expiry_month=12,
                expiry_year=expiry_year,
                suspicion_clear_time=timestamp(clear_ms) if clear_ms else None,
            ),
            metadata=ACCOUNTS,
        )
        return answer.version

    async def apply_account_user(
        self, account_id: str, user_id: str, *, version: int = 1, controls: SpendControls | None
    ) -> int:
        """Projects what a user may use an account for; returns the version that is there."""
        answer = await self.projection.ApplyAccountUser(
            projection_rpc.ApplyAccountUserRequest(
                version=version, account_id=account_id, user_id=user_id, controls=controls
            ),
            metadata=ACCOUNTS,
        )
        return answer.version

    async def apply_rules(
        self, scope_id: str, rules: DefaultRules | None, *, version: int = 1
    ) -> int:
        """Projects the rules of a programme or company; returns the version that is there."""
        request = projection_rpc.ApplyRulesRequest(version=version, rules=rules)
        name = "programme_id" if scope_id.startswith("prog_") else "company_id"
        setattr(request, name, scope_id)
        return (await self.projection.ApplyRules(request, metadata=ACCOUNTS)).version

    async def card(self, limit_minor: int = 100_000) -> str:
        """An active card on a new account."""
        return await self.issue_card(await self.open_account(limit_minor))

    async def settle(self) -> int:
        """Settles everything that is there; returns the number of entries."""
        await self.settler.share()
        total = 0
        while settled := await self.settler.round():
            total += settled
        return total


def purchase(card_id: str, amount_minor: int, request_id: str = "") -> rpc.AuthorizeRequest:
    """A plain purchase in USD."""
    return rpc.AuthorizeRequest(
        request_id=request_id or f"req-{next(_NUMBERS)}",
        card_id=card_id,
        amount=Money(currency_code="USD", amount_minor=amount_minor),
        merchant=pb.Merchant(
            id="m-1", descriptor="Corner shop", category_code="5411", country_code="US"
        ),
    )


def capture_of(
    authorization_id: str, amount_minor: int, request_id: str = "", *, final: bool = False
) -> rpc.CaptureAuthorizationRequest:
    """A clearing in USD."""
    return rpc.CaptureAuthorizationRequest(
        request_id=request_id or f"req-{next(_NUMBERS)}",
        authorization_id=authorization_id,
        amount=Money(currency_code="USD", amount_minor=amount_minor),
        final=final,
    )


def reversal_of(
    authorization_id: str, amount_minor: int | None = None, request_id: str = ""
) -> rpc.ReverseAuthorizationRequest:
    """A reversal; without an amount, of everything."""
    request = rpc.ReverseAuthorizationRequest(
        request_id=request_id or f"req-{next(_NUMBERS)}", authorization_id=authorization_id
    )
    if amount_minor is not None:
        request.amount.CopyFrom(Money(currency_code="USD", amount_minor=amount_minor))
    return request


@asynccontextmanager
async def authz_mesh(
    database: Database, money: Redis, *, clock: Clock | None = None, **more: Any
) -> AsyncIterator[AuthzMesh]:
    """Starts a worker in this process, on its own socket, with an initialised installation; `more`:
    settings.
    """
    manual = clock if isinstance(clock, ManualClock) else ManualClock()
    base = database.settings
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp"))
        settings = AuthzSettings(
            home=base.home,
            run_dir=Path(folder),
            postgres_dsn=base.postgres_dsn,
            redis_url=base.redis_url,
            instance="authz-0",
            **more,
        )
        connection = await stack.enter_async_context(
            connected(database.dsn("authz"), server_settings={"search_path": "authz"})
        )
        streams = await Streams.connect(settings)
        stack.callback(streams.close)
        settler = Settler(settings, SettleStore(connection), streams, clock=manual)
        await settler.initialise()
        server = Server(settings.socket, kind=settings.authz_server)
        worker = Worker(settings, server, clock=manual)
        await server.start(SERVICE_NAMES)
        await worker.start()
        await worker.sweeper.stop()  # tests sweep when they want to
        try:
            await until_serving(server)
        except BaseException:
            await worker.stop()
            await server.grpc_server.stop(None)
            raise
        async with unix_channel(settings.socket) as channel:
            mesh = AuthzMesh(
                settings=settings,
                clock=manual,
                ids=IdSource(manual),
                worker=worker,
                server=server,
                settler=settler,
                money=money,
                ledger=connection,
                authorization=authorization_grpc.AuthorizationServiceStub(channel),
                projection=projection_grpc.ProjectionServiceStub(channel),
                posting=posting_grpc.PostingServiceStub(channel),
                ledger_service=ledger_grpc.LedgerServiceStub(channel),
            )
            try:
                yield mesh
            finally:
                await server.grpc_server.stop(None)
                await worker.stop()


async def until_serving(server: Server) -> None:
    """Waits until the gate has opened."""
    for _ in range(500):
        if server.serving:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the gate did not open within 5 s; the log says why")


async def error_of(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")
