"""Payments as their callers meet them: real gRPC, PostgreSQL, Valkey and authorizer; a fake of what
accounts says; a clock that is moved, and a worker that works when it is told to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import grpc
from redis.asyncio import Redis

from holdfast.accounts.v1 import account_pb2, holder_service_pb2, statement_pb2
from holdfast.accounts.v1.holder_service_pb2_grpc import (
    HolderServiceServicer,
    add_HolderServiceServicer_to_server,
)
from holdfast.authz.v1 import posting_service_pb2
from holdfast.payments.v1 import back_office_service_pb2, payment_pb2
from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import payment_service_pb2 as pb
from holdfast.payments.v1.back_office_service_pb2_grpc import BackOfficeServiceStub
from holdfast.payments.v1.funding_source_service_pb2_grpc import FundingSourceServiceStub
from holdfast.payments.v1.payment_service_pb2_grpc import PaymentServiceStub
from holdfast.payments.v1.refund_service_pb2_grpc import RefundServiceStub
from holdfast.type.v1.money_pb2 import Money
from payments.books import Books
from payments.holders import Holders
from payments.settings import PaymentsSettings
from payments.wiring import Parts, add_services
from payments.worker import Worker
from runtime.audit.writer import AuditLog, spool_of
from runtime.channel import unix_channel
from runtime.clock import ManualClock
from runtime.identity import SPIFFE_HEADER
from runtime.postgres import connect_pool
from runtime.server import Server
from tests.accounts_mesh import call, call_replayed, refused
from tests.authz_checks import approved
from tests.authz_mesh import NETWORK, AuthzMesh, authz_mesh, capture_of
from tests.databases import Database
from tests.stripe_emulator import HOOK_SECRET, KEY, Emulator

__all__ = ["call", "call_replayed", "refused"]

ZONE = "America/New_York"
UNKNOWN_ACCOUNT = "acct_0a" + "3" * 32
UNKNOWN_PAYMENT = "pay_0a" + "4" * 32
UNKNOWN_SOURCE = "src_0a" + "5" * 32
PAYMENTS = ((SPIFFE_HEADER, "spiffe://holdfast.local/service/payments"),)


class FakeAccounts(HolderServiceServicer):
    """Says what accounts would say."""

    def __init__(self) -> None:
        self.holders: dict[str, holder_service_pb2.GetHolderResponse] = {}
        self.bills: dict[str, statement_pb2.BillingSummary] = {}
        #: Users whom the company that owns an account has removed.
        self.dismissed: set[str] = set()
        self.refusing = False

    async def GetHolder(
        self, request: holder_service_pb2.GetHolderRequest, context: Any
    ) -> holder_service_pb2.GetHolderResponse:
        if self.refusing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        if request.account_id not in self.holders:
            await context.abort(grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
        found = holder_service_pb2.GetHolderResponse()
        found.CopyFrom(self.holders[request.account_id])
        found.dismissed = request.user_id in self.dismissed
        return found

    async def GetBill(
        self, request: holder_service_pb2.GetBillRequest, context: Any
    ) -> holder_service_pb2.GetBillResponse:
        if request.account_id not in self.bills:
            await context.abort(grpc.StatusCode.NOT_FOUND, "NOT_BILLED")
        return holder_service_pb2.GetBillResponse(summary=self.bills[request.account_id])

    async def FindSubject(
        self, request: holder_service_pb2.FindSubjectRequest, context: Any
    ) -> holder_service_pb2.FindSubjectResponse:
        raise NotImplementedError

    async def ResolveTimeZones(
        self, request: holder_service_pb2.ResolveTimeZonesRequest, context: Any
    ) -> holder_service_pb2.ResolveTimeZonesResponse:
        raise NotImplementedError

    async def ResolveDepartments(
        self, request: holder_service_pb2.ResolveDepartmentsRequest, context: Any
    ) -> holder_service_pb2.ResolveDepartmentsResponse:
        raise NotImplementedError


class AsPayments(grpc.aio.UnaryUnaryClientInterceptor):
    """Says who calls, as Envoy does."""

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        details = grpc.aio.ClientCallDetails(
            method=client_call_details.method,
            timeout=client_call_details.timeout,
            metadata=grpc.aio.Metadata(*PAYMENTS),
            credentials=None,
            wait_for_ready=None,
        )
        return await continuation(details, request)


def usd(amount_minor: int) -> Money:
    """Dollars."""
    return Money(currency_code="USD", amount_minor=amount_minor)


@dataclass(kw_only=True)
class PaymentsMesh:
    """A running payments service, what it works with, and shortcuts."""

    authz: AuthzMesh
    accounts: FakeAccounts
    clock: ManualClock
    pool: asyncpg.Pool
    parts: Parts
    channel: grpc.aio.Channel
    payments: PaymentServiceStub
    sources: FundingSourceServiceStub
    office: BackOfficeServiceStub
    refunds: RefundServiceStub
    _numbers: list[int] = field(default_factory=lambda: [0])

    @property
    def worker(self) -> Worker:
        """Works when it is told to."""
        return self.parts.worker

    def request_id(self) -> str:
        """A fresh one."""
        self._numbers[0] += 1
        return f"test-{self._numbers[0]}"

    async def open_account(
        self, *, owed_minor: int = 0, limit_minor: int = 1_000_000, owner_id: str = ""
    ) -> str:
        """An account that owes something."""
        account_id = await self.authz.open_account(limit_minor)
        self.accounts.holders[account_id] = holder_service_pb2.GetHolderResponse(
            owner_id=owner_id or f"usr_{account_id[5:7]}{'0' * 32}",
            state=account_pb2.Account.STATE_OPEN,
            currency_code="USD",
            time_zone=ZONE,
        )
        if owed_minor:
            await self.buy(account_id, owed_minor)
        return account_id

    async def buy(self, account_id: str, amount_minor: int) -> None:
        """A purchase that is cleared at once."""
        card_id = await self.authz.issue_card(account_id)
        held = await approved(self.authz, card_id, amount_minor)
        await self.authz.authorization.CaptureAuthorization(
            capture_of(held, amount_minor, self.request_id(), final=True), metadata=NETWORK
        )

    async def source(self, account_id: str, *, deposit_minor: int = 1_000_000) -> str:
        """A deposit with money, and the funding source that pays from it."""
        if deposit_minor:
            await call(
                self.office.AddDeposit,
                back_office_service_pb2.AddDepositRequest(
                    request_id=self.request_id(),
                    account_id=account_id,
                    amount=usd(deposit_minor),
                ),
            )
        added = await call(
            self.sources.AddFundingSource,
            funding_pb.AddFundingSourceRequest(
                request_id=self.request_id(),
                account_id=account_id,
                source=payment_pb2.PAYMENT_SOURCE_IN_HOUSE,
            ),
        )
        name: str = added.funding_source.id
        return name

    async def payer(self, *, owed_minor: int = 10_000, deposit_minor: int = 1_000_000) -> str:
        """An account that owes something and has a default funding source."""
        account_id = await self.open_account(owed_minor=owed_minor)
        await self.source(account_id, deposit_minor=deposit_minor)
        return account_id

    def making(self, account_id: str, amount_minor: int = 5_000) -> pb.MakePaymentRequest:
        """A request to pay."""
        return pb.MakePaymentRequest(
            request_id=self.request_id(), account_id=account_id, amount=usd(amount_minor)
        )

    async def pay(self, account_id: str, amount_minor: int = 5_000) -> payment_pb2.Payment:
        """A payment that has begun."""
        answer = await call(self.payments.MakePayment, self.making(account_id, amount_minor))
        made: payment_pb2.Payment = answer.payment
        return made

    async def shown(self, payment_id: str) -> payment_pb2.Payment:
        """A payment as it is now."""
        answer = await call(self.payments.GetPayment, pb.GetPaymentRequest(payment_id=payment_id))
        found: payment_pb2.Payment = answer.payment
        return found

    async def state(self, payment_id: str) -> str:
        """Its state."""
        return payment_pb2.Payment.State.Name((await self.shown(payment_id)).state)[6:]

    async def listed(self, account_id: str) -> list[payment_pb2.Payment]:
        """An account's payments, oldest first; of those made at once the earlier date first: the
        clock stands still here, and ids that are digests are in no order.
        """
        answer = await call(
            self.payments.ListPayments, pb.ListPaymentsRequest(account_id=account_id)
        )
        return sorted(
            answer.payments,
            key=lambda one: (one.create_time.ToNanoseconds(), one.scheduled_date),
        )

    async def owed(self, account_id: str) -> tuple[int, int]:
        """What an account owes, and what of its payments may not be spent yet."""
        found = await self.authz.posting.GetOwed(
            posting_service_pb2.GetOwedRequest(account_id=account_id), metadata=PAYMENTS
        )
        return found.posted.amount_minor, found.unreleased.amount_minor

    async def deposit(self, account_id: str) -> int:
        """What its deposit has."""
        found: int = await self.pool.fetchval(
            "SELECT balance_minor FROM deposit WHERE account_id = $1", account_id
        )
        return found

    async def work(self) -> None:
        """Everything that is due."""
        for _ in range(50):
            done = await self.worker.work_due() + await self.worker.look_due()
            if not done + await self.parts.refunds.work_due():
                return
        raise AssertionError("payments do not come to rest")

    async def until(self, day: str, hour: int = 12) -> None:
        """Moves the clock to an hour (UTC) of a day, and does what is due."""
        moment = datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)
        ahead = int(moment.timestamp() * 1000) - self.clock.now_ms()
        assert ahead >= 0, "time does not go back"
        # What waits for settlement too long would close the gate.
        await self.authz.settle()
        self.clock.advance(ahead)
        await self.authz.worker.watch.look()
        await self.work()

    def bill(
        self, account_id: str, number: int, due: date, *, balance_minor: int, minimum_minor: int
    ) -> None:
        """A statement that asks for something."""
        self.accounts.bills[account_id] = statement_pb2.BillingSummary(
            account_id=account_id,
            last_statement_number=number,
            statement_balance=usd(balance_minor),
            statement_balance_due=usd(balance_minor),
            minimum_payment_due=usd(minimum_minor),
            due_date=str(due),
        )


@asynccontextmanager
async def stripe_mesh(
    database: Database, money: Redis, emulator: Emulator, **more: Any
) -> AsyncIterator[PaymentsMesh]:
    """The same with an emulator of Stripe."""
    for name, value in (("stripe-key", KEY), ("stripe-webhook", HOOK_SECRET)):
        database.settings.secret_path(name).write_text(value)
    async with payments_mesh(
        database, money, payments_stripe="on", payments_stripe_url=emulator.url, **more
    ) as running:
        yield running


@asynccontextmanager
async def payments_mesh(
    database: Database, money: Redis, *, begins: str = "2027-01-20", **more: Any
) -> AsyncIterator[PaymentsMesh]:
    """Starts at noon (UTC) of a day; `more`: settings."""
    start = datetime.fromisoformat(begins).replace(hour=12, tzinfo=UTC)
    clock = ManualClock(int(start.timestamp() * 1000))
    accounts = FakeAccounts()
    fake = grpc.aio.server()
    add_HolderServiceServicer_to_server(accounts, fake)
    async with (
        authz_mesh(database, money, clock=clock) as authz,
        await connect_pool(database.settings, "payments", max_size=8) as pool,
        grpc.aio.insecure_channel(
            f"unix:{authz.settings.socket}", interceptors=[AsPayments()]
        ) as books,
    ):
        folder = authz.settings.run_path
        fake.add_insecure_port(f"unix:{folder / 'accounts.sock'}")
        await fake.start()
        settings = PaymentsSettings(
            home=authz.settings.home, run_dir=folder, instance="payments", **more
        )
        server = Server(
            settings.socket,
            audit=AuditLog(pool, "a key of the tests", spool_of(settings, "payments")),
        )
        async with (
            unix_channel(folder / "accounts.sock") as holders,
            unix_channel(settings.socket) as channel,
        ):
            parts = add_services(
                server,
                pool,
                books=Books(books),
                holders=Holders(holders),
                settings=settings,
                clock=clock,
            )
            await server.start([])
            try:
                yield PaymentsMesh(
                    authz=authz,
                    accounts=accounts,
                    clock=clock,
                    pool=pool,
                    parts=parts,
                    channel=channel,
                    payments=PaymentServiceStub(channel),
                    sources=FundingSourceServiceStub(channel),
                    office=BackOfficeServiceStub(channel),
                    refunds=RefundServiceStub(channel),
                )
            finally:
                await server.grpc_server.stop(0)
                await fake.stop(0)
                if parts.stripe:
                    await parts.stripe.close()
