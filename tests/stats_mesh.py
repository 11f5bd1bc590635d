"""Stats as its callers meet it: it counts a real ledger, in real PostgreSQL; accounts is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from redis.asyncio import Redis

from holdfast.accounts.v1 import holder_service_pb2 as holders
from holdfast.authz.v1 import ledger_pb2
from holdfast.stats.v1 import report_service_pb2_grpc as reports_grpc
from holdfast.stats.v1 import stat_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from holdfast.stats.v1 import stats_service_pb2_grpc as stats_grpc
from holdfast.stats.v1.event_feed_service_pb2_grpc import (
    add_EventFeedServiceServicer_to_server,
)
from holdfast.stats.v1.stats_service_pb2_grpc import (
    StatsServiceStub,
    add_StatsServiceServicer_to_server,
)
from holdfast.type.v1.money_pb2 import Money
from runtime.audit.spool import Spool
from runtime.audit.writer import AuditLog
from runtime.channel import unix_channel
from runtime.clock import ManualClock
from runtime.events.outbox import EventOutbox
from runtime.follower import Follower
from runtime.identity import ROLES_HEADER, SPIFFE_HEADER, SUBJECT_HEADER
from runtime.objects import objects_of
from runtime.postgres import connect_pool
from runtime.server import Server
from runtime.validate import timestamp
from stats.closer import Closer
from stats.event_feed_service import EventFeedService
from stats.intake import SHARES, Intake
from stats.rebuild import Rebuild
from stats.reports import wiring
from stats.reports.ledger import LedgerClient
from stats.reports.store import ReportStore
from stats.reports.worker import ReportWorker
from stats.service import StatsService
from stats.settings import StatsSettings
from stats.sources import Member
from stats.store import StatsStore
from stats.subjects import Subjects, lookups
from stats.watch import Watch
from tests.authz_mesh import AuthzMesh, authz_mesh
from tests.databases import Database

COMPANY, OTHER_COMPANY = "co_0a" + "1" * 32, "co_0b" + "1" * 32
USER, MANAGER_USER = "usr_0a" + "2" * 32, "usr_0b" + "2" * 32
DEPARTMENT = "dept_0a" + "3" * 32
ACCOUNT, OTHER_ACCOUNT, PERSONAL = (f"acct_{tag}" + "4" * 32 for tag in ("0a", "0b", "0c"))
CARD, OTHER_CARD = "card_0a" + "5" * 32, "card_0b" + "5" * 32
UNKNOWN_ACCOUNT = "acct_0a" + "0" * 32
PROGRAMME = "prog_demo"

Headers = tuple[tuple[str, str], ...]
ADMIN: Headers = ((SUBJECT_HEADER, "tester"), (ROLES_HEADER, "admin"))
AUDITOR: Headers = ((SUBJECT_HEADER, "auditor"), (ROLES_HEADER, "auditor"))
MANAGER: Headers = (
    (SUBJECT_HEADER, MANAGER_USER),
    (ROLES_HEADER, "manager"),
    ("x-auth-company", COMPANY),
)
HOLDER: Headers = ((SUBJECT_HEADER, USER), (ROLES_HEADER, "cardholder"))
MERCHANT: Headers = ((SUBJECT_HEADER, "mer_demo"), (ROLES_HEADER, "merchant"))
_STATS = ((SPIFFE_HEADER, "spiffe://holdfast.local/service/stats"),)

#: Noon of a day, UTC.
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class FakeAccounts:
    """Says what accounts would say."""

    def __init__(self) -> None:
        self.zones: dict[str, str] = {}
        self.departments: dict[Member, str] = {}
        self.asked: list[set[str]] = []
        self.dismissed: set[str] = set()
        self.down = False
        #: Subject → owner and currency.
        self.subjects = {
            ACCOUNT: (COMPANY, "USD"),
            OTHER_ACCOUNT: (OTHER_COMPANY, "USD"),
            PERSONAL: (USER, "USD"),
            CARD: (COMPANY, "USD"),
            OTHER_CARD: (OTHER_COMPANY, "USD"),
            COMPANY: (COMPANY, ""),
            OTHER_COMPANY: (OTHER_COMPANY, ""),
            DEPARTMENT: (COMPANY, ""),
            USER: (USER, ""),
            MANAGER_USER: (MANAGER_USER, ""),
            PROGRAMME: ("", ""),
        }

    async def zones_of(self, account_ids: Collection[str]) -> dict[str, str]:
        self._check()
        self.asked.append(set(account_ids))
        return {one: self.zones[one] for one in account_ids if one in self.zones}

    async def departments_of(self, members: Collection[Member]) -> dict[Member, str]:
        self._check()
        return {one: self.departments[one] for one in members if one in self.departments}

    async def owners_of(self, account_ids: Collection[str]) -> dict[str, str]:
        self._check()
        return {one: self.subjects[one][0] for one in account_ids if one in self.subjects}

    async def subject(self, subject_id: str, user_id: str) -> holders.FindSubjectResponse:
        self._check()
        if subject_id not in self.subjects:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata()
            )
        owner_id, currency = self.subjects[subject_id]
        return holders.FindSubjectResponse(
            owner_id=owner_id, currency_code=currency, dismissed=user_id in self.dismissed
        )

    def _check(self) -> None:
        if self.down:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
            )


class _AsStats(grpc.aio.UnaryUnaryClientInterceptor):
    """Says who calls, as Envoy does."""

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        details = grpc.aio.ClientCallDetails(
            method=client_call_details.method,
            timeout=client_call_details.timeout,
            metadata=grpc.aio.Metadata(*_STATS),
            credentials=None,
            wait_for_ready=None,
        )
        return await continuation(details, request)


class Book:
    """Makes entries as the ledger hands them out."""

    def __init__(self) -> None:
        self._pseqs: dict[int, int] = {}
        #: All that were made, as the ledger hands them out.
        self.entries: list[ledger_pb2.Entry] = []

    async def after(
        self, positions: Mapping[int, int], *, page_size: int
    ) -> Sequence[ledger_pb2.Entry]:
        """What the ledger would answer to who writes a journal."""
        each = page_size // len(positions)
        return [
            one
            for partition, pseq in positions.items()
            for one in [
                entry
                for entry in self.entries
                if entry.partition == partition and entry.pseq > pseq
            ][:each]
        ]

    def entry(
        self,
        kind: str,
        amount_minor: int,
        *,
        at: datetime = NOON,
        recorded: datetime | None = None,
        currency: str = "USD",
        approved_minor: int | None = None,
        **fields: Any,
    ) -> ledger_pb2.Entry:
        account_id = fields.setdefault("account_id", ACCOUNT)
        partition = int(account_id[5:7], 16)
        pseq = self._pseqs[partition] = self._pseqs.get(partition, 0) + 1
        fields.setdefault("company_id", COMPANY)
        fields.setdefault("card_id", CARD)
        fields.setdefault("user_id", USER)
        fields.setdefault("programme_id", PROGRAMME)
        entry = ledger_pb2.Entry(
            id=f"ent_{partition:02x}{pseq:032x}",
            partition=partition,
            pseq=pseq,
            type=ledger_pb2.Entry.Type.Value(f"TYPE_{kind}"),
            amount=Money(currency_code=currency, amount_minor=amount_minor),
            posted=Money(currency_code=currency),
            effective_time=timestamp(int(at.timestamp() * 1000)),
            record_time=timestamp(int((recorded or at).timestamp() * 1000)),
            **fields,
        )
        if entry.authorization_id:
            entry.approved.currency_code = currency
            approved = amount_minor if approved_minor is None else approved_minor
            entry.approved.amount_minor = approved
        self.entries.append(entry)
        return entry


@dataclass(kw_only=True)
class Counting:
    """What counts, on a database of its own; entries are put in by hand."""

    pool: asyncpg.Pool
    clock: ManualClock
    accounts: FakeAccounts
    intake: Intake
    closer: Closer
    watch: Watch
    book: Book

    async def take(self, *entries: ledger_pb2.Entry, again: bool = False) -> None:
        take = self.intake.take_again if again else self.intake.take
        async with self.pool.acquire() as connection, connection.transaction():
            await take(connection, entries)

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        return list(await self.pool.fetch(query, *arguments))


@dataclass(kw_only=True)
class StatsMesh(Counting):
    """A running stats on entries that are put in by hand."""

    channel: grpc.aio.Channel
    stats: stats_grpc.StatsServiceAsyncStub
    reports: reports_grpc.ReportServiceAsyncStub
    report_worker: ReportWorker
    #: Where files lie.
    documents: Path

    async def daily(
        self, subject_id: str, start: str, end: str = "", caller: Headers = ADMIN, **fields: Any
    ) -> Sequence[pb.PeriodStats]:
        request = rpc.GetDailyStatsRequest(
            subject_id=subject_id, start_date=start, end_date=end, **fields
        )
        answer = await self.stats.GetDailyStats(request, metadata=caller)
        return list(answer.periods)

    async def monthly(
        self, subject_id: str, start: str, end: str = "", **fields: Any
    ) -> Sequence[pb.PeriodStats]:
        request = rpc.GetMonthlyStatsRequest(
            subject_id=subject_id, start_date=start, end_date=end, **fields
        )
        answer = await self.stats.GetMonthlyStats(request, metadata=ADMIN)
        return list(answer.periods)


@asynccontextmanager
async def stats_mesh(database: Database, folder: Any) -> AsyncIterator[StatsMesh]:
    """Starts the service on a database; nothing is counted yet."""
    clock, accounts = ManualClock(int(NOON.timestamp() * 1000)), FakeAccounts()
    socket = folder / "stats.a.sock"
    async with (
        await connect_pool(database.settings, "stats") as pool,
        unix_channel(socket) as channel,
    ):
        audit = AuditLog(pool, "a key of the tests", Spool(folder / "audit"))
        server, store, subjects = Server(socket, audit=audit), StatsStore(pool), Subjects(accounts)
        server.services.know_owners(
            {**lookups(subjects, store), **wiring.lookups(subjects, ReportStore(pool))}
        )
        add_StatsServiceServicer_to_server(StatsService(store, subjects), server.services)
        book = Book()
        settings = StatsSettings(home=folder / "home")
        report_worker = wiring.add_reports(
            server,
            pool,
            subjects,
            objects_of(settings),
            book,
            owners=accounts,
            settings=settings,
            clock=clock,
            counted_until_ms=clock.now_ms,
        )
        add_EventFeedServiceServicer_to_server(EventFeedService(EventOutbox(pool)), server.services)
        await server.start([])
        try:
            yield StatsMesh(
                pool=pool,
                clock=clock,
                accounts=accounts,
                intake=Intake(accounts, clock),
                closer=Closer(pool, clock, delay_h=6, counted_until_ms=clock.now_ms),
                watch=Watch(pool, clock, interval_s=1),
                book=book,
                channel=channel,
                stats=StatsServiceStub(channel),
                reports=reports_grpc.ReportServiceStub(channel),
                report_worker=report_worker,
                documents=settings.home / "documents",
            )
        finally:
            await server.grpc_server.stop(0)


@dataclass(kw_only=True)
class LedgerStats:
    """Stats that count what a real authorizer books."""

    authz: AuthzMesh
    pool: asyncpg.Pool
    accounts: FakeAccounts
    followers: list[Follower]
    store: StatsStore
    rebuild: Callable[[], Rebuild]
    ledger: LedgerClient

    async def count(self) -> None:
        """Everything is settled and counted."""
        await self.authz.settle()
        for follower in self.followers:
            await follower.caught_up()


@asynccontextmanager
async def ledger_stats(database: Database, money: Redis) -> AsyncIterator[LedgerStats]:
    """Starts an authorizer, and what follows its ledger."""
    clock, accounts = ManualClock(int(NOON.timestamp() * 1000)), FakeAccounts()
    async with (
        authz_mesh(database, money, clock=clock) as authz,
        await connect_pool(database.settings, "stats") as pool,
        grpc.aio.insecure_channel(
            f"unix:{authz.settings.socket}", interceptors=[_AsStats()]
        ) as books,
    ):
        intake = Intake(accounts, clock)
        yield LedgerStats(
            authz=authz,
            pool=pool,
            accounts=accounts,
            followers=[
                Follower(
                    pool, books, intake.take, prepare=intake.prepare, share=share, shares=SHARES
                )
                for share in range(SHARES)
            ],
            store=StatsStore(pool),
            rebuild=lambda: Rebuild(pool, books, intake, shares=SHARES),
            ledger=LedgerClient(books),
        )
