"""The accounts service as its callers meet it: real gRPC, real PostgreSQL, a fake authorizer."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from accounts import ownership
from accounts.account_service import AccountService
from accounts.applications.notice import Creditor
from accounts.applications.rotation import Rotation
from accounts.applications.wiring import applying
from accounts.applications.worker import Worker
from accounts.billing.store import Statements
from accounts.card_bulk_service import CardBulkService
from accounts.card_service import CardService
from accounts.closing import Closing
from accounts.company_service import CompanyService
from accounts.company_store import Companies
from accounts.disputes.poster import DisputePoster
from accounts.disputes.wiring import dispute_parts
from accounts.holder_service import HolderService
from accounts.member_service import MemberService
from accounts.mutation import Mutations
from accounts.numbers import CardNumbers
from accounts.ownership_store import OwnershipStore
from accounts.person_keys import PersonKeys, person_keys
from accounts.programme_service import ProgrammeService
from accounts.programme_store import Programmes
from accounts.projection_store import ProjectionStore
from accounts.projector import Projector
from accounts.renewals import Renewals
from accounts.rules_flow import RulesFlow
from accounts.sign_in_address import SignInAddress
from accounts.store import Store
from accounts.user_export import UserExport
from accounts.user_service import UserService
from accounts.user_store import UserStore
from accounts.vault.guessing import Guesses
from accounts.vault.keys import vault_keys
from accounts.vault.service import VaultService
from accounts.vault.store import VaultStore
from accounts.vault.vault import Vault
from holdfast.accounts.v1 import account_pb2, account_service_pb2, card_pb2, card_service_pb2
from holdfast.accounts.v1.account_service_pb2_grpc import (
    AccountServiceStub,
    add_AccountServiceServicer_to_server,
)
from holdfast.accounts.v1.application_service_pb2_grpc import (
    ApplicationServiceStub,
    add_ApplicationServiceServicer_to_server,
)
from holdfast.accounts.v1.card_bulk_service_pb2_grpc import (
    CardBulkServiceStub,
    add_CardBulkServiceServicer_to_server,
)
from holdfast.accounts.v1.card_service_pb2_grpc import (
    CardServiceStub,
    add_CardServiceServicer_to_server,
)
from holdfast.accounts.v1.company_service_pb2_grpc import (
    CompanyServiceStub,
    add_CompanyServiceServicer_to_server,
)
from holdfast.accounts.v1.dispute_service_pb2_grpc import (
    DisputeServiceStub,
    add_DisputeServiceServicer_to_server,
)
from holdfast.accounts.v1.holder_service_pb2_grpc import add_HolderServiceServicer_to_server
from holdfast.accounts.v1.member_service_pb2_grpc import (
    MemberServiceStub,
    add_MemberServiceServicer_to_server,
)
from holdfast.accounts.v1.programme_service_pb2_grpc import (
    ProgrammeServiceStub,
    add_ProgrammeServiceServicer_to_server,
)
from holdfast.accounts.v1.statement_service_pb2_grpc import StatementServiceStub
from holdfast.accounts.v1.user_service_pb2_grpc import (
    UserServiceStub,
    add_UserServiceServicer_to_server,
)
from holdfast.accounts.v1.vault_service_pb2_grpc import (
    VaultServiceStub,
    add_VaultServiceServicer_to_server,
)
from holdfast.type.v1.money_pb2 import Money
from runtime import dsn, migrations
from runtime.audit.spool import Spool
from runtime.audit.writer import AuditLog
from runtime.channel import unix_channel
from runtime.clock import ManualClock
from runtime.devstack.supervisor import Devstack
from runtime.identity import ROLES_HEADER
from runtime.ids import IdSource
from runtime.objects import LocalFolder
from runtime.outbox import Outbox
from runtime.postgres import connect_pool
from runtime.secrets import FileSecrets
from runtime.server import Server
from tests.billing_servicers import add_billing
from tests.databases import Database, connected
from tests.fake_authorizer import FakeAuthorizer

OWNER = "co_0a" + "1" * 32
OTHER_OWNER = "usr_0b" + "2" * 32
UNKNOWN_ACCOUNT = "acct_0a" + "3" * 32
UNKNOWN_CARD = "card_0a" + "4" * 32
BIN = "400000"
#: Key of the audit log's chain.
SEAL_KEY = "a key of the tests"
TESTER = ("x-auth-subject", "tester")


@dataclass
class Refused:
    """What a caller sees of an error."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    fields: list[str]


@dataclass
class AccountsMesh:
    """A running accounts service, its stubs, and shortcuts."""

    pool: asyncpg.Pool
    audit: AuditLog
    store: Store
    outbox: Outbox
    projector: Projector
    projections: ProjectionStore
    closing: Closing
    renewals: Renewals
    clock: ManualClock
    authorizer: FakeAuthorizer
    accounts: AccountServiceStub
    cards: CardServiceStub
    card_bulk: CardBulkServiceStub
    programmes: ProgrammeServiceStub
    companies: CompanyServiceStub
    vaults: VaultServiceStub
    vault: Vault
    vault_pool: asyncpg.Pool
    members: MemberServiceStub
    applications: ApplicationServiceStub
    worker: Worker
    applications_rotation: Rotation
    folder: Path
    users: UserServiceStub
    statements: StatementServiceStub
    disputes: DisputeServiceStub
    dispute_poster: DisputePoster
    people: UserStore
    person_keys: PersonKeys
    channel: grpc.aio.Channel
    _numbers: list[int] = field(default_factory=lambda: [0])

    def request_id(self) -> str:
        self._numbers[0] += 1
        return f"test-{self._numbers[0]}"

    async def open_account(
        self, owner_id: str = OWNER, *, limit_minor: int = 100_000
    ) -> account_pb2.Account:
        request = account_service_pb2.OpenAccountRequest(
            request_id=self.request_id(), owner_id=owner_id, credit_limit=usd(limit_minor)
        )
        response: account_service_pb2.OpenAccountResponse = await call(
            self.accounts.OpenAccount, request
        )
        return response.account

    async def issue_card(
        self,
        account_id: str,
        kind: card_pb2.Card.Kind.ValueType = card_pb2.Card.KIND_VIRTUAL,
        *,
        user_id: str = "",
    ) -> card_pb2.Card:
        request = card_service_pb2.IssueCardRequest(
            request_id=self.request_id(), account_id=account_id, kind=kind, user_id=user_id
        )
        response: card_service_pb2.IssueCardResponse = await call(self.cards.IssueCard, request)
        return response.card

    async def count(self, table: str) -> int:
        counted: int = await self.pool.fetchval(f"SELECT count(*) FROM {table}")
        return counted

    async def set_account_state(self, account_id: str, state: str) -> None:
        await self.pool.execute("UPDATE account SET state = $2 WHERE id = $1", account_id, state)

    async def set_card_state(self, card_id: str, state: str) -> None:
        await self.pool.execute("UPDATE card SET state = $2 WHERE id = $1", card_id, state)


def usd(amount_minor: int) -> Money:
    return Money(currency_code="USD", amount_minor=amount_minor)


def _headers(
    principal: tuple[str, str], metadata: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Users are cardholders, others administrators, unless the test says what they are."""
    if any(key == ROLES_HEADER for key, _ in metadata):
        return (principal, *metadata)
    role = "cardholder" if principal[1].startswith("usr_") else "admin"
    return (principal, (ROLES_HEADER, role), *metadata)


async def call(
    method: Any,
    request: Message,
    *,
    metadata: Sequence[tuple[str, str]] = (),
    principal: tuple[str, str] = TESTER,
    timeout_s: float = 10,
) -> Any:
    return await method(request, metadata=_headers(principal, metadata), timeout=timeout_s)


async def call_replayed(method: Any, request: Message, **options: Any) -> tuple[Any, bool]:
    """The answer, and whether it says that it was given before."""
    principal = options.get("principal", TESTER)
    running = method(request, metadata=_headers(principal, options.get("metadata", ())), timeout=10)
    answer = await running
    return answer, ("idempotent-replayed", "true") in tuple(await running.initial_metadata())


async def refused(method: Any, request: Message, **options: Any) -> Refused:
    """The error that a call ends with."""
    try:
        answer = await call(method, request, **options)
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError(f"not refused: {answer}")


def refusal_of(error: grpc.aio.AioRpcError) -> Refused:
    status = rpc_status.from_call(error)
    assert status is not None, error
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
    assert info.domain == "holdfast"
    return Refused(
        code=error.code(),
        reason=info.reason,
        metadata=dict(info.metadata),
        fields=[violation.field for violation in bad_request.field_violations],
    )


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder for sockets: their paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def own_database(stack: Devstack, name: str) -> AsyncIterator[Database]:
    """A copy of the migrated database for several tests; see `emptied`."""
    name = f"{name}_{os.getpid()}"
    await migrations.clone_database(stack.owner_dsn, name=name)
    url = dsn.with_database(stack.settings.postgres_dsn or "", name)
    yield Database(
        name=name,
        owner_dsn=dsn.with_database(stack.owner_dsn, name),
        settings=stack.settings.model_copy(update={"postgres_dsn": url}),
    )
    await migrations.drop_database(stack.owner_dsn, name=name)


async def emptied(database: Database) -> None:
    """Empties the tables of the service."""
    async with connected(database.dsn("accounts")) as connection:
        await connection.execute(
            "TRUNCATE card_freeze, loan_tape, loan_tape_day, charge_waiver,"
            " dispute_document, dispute_event, dispute_posting, dispute,"
            " statement, delinquency_change, billing_posting, billing_entry, billing_account,"
            " person, person_reveal, account_user, account_suspension, default_rules, card,"
            " account, request_record, outbox, change,"
            " application_note, application_document, application,"
            " invitation, company_member, department, company, programme_terms, programme"
        )
        await connection.execute("UPDATE projection SET epoch = 0, step = NULL")
        await connection.execute("UPDATE ledger_position SET pseq = 0")
    async with connected(database.dsn("vault")) as connection:
        await connection.execute("TRUNCATE card_number, reveal")


@asynccontextmanager
async def accounts_mesh(
    database: Database, folder: Path, *, projection_wait_s: float = 5.0, relay: bool = True
) -> AsyncIterator[AccountsMesh]:
    """Starts the service; without `relay` nothing is projected until `outbox.deliver_due`."""
    clock = ManualClock()
    ids = IdSource(clock)
    authorizer = FakeAuthorizer(folder / "authz.sock")
    await authorizer.start()
    socket = folder / "accounts.a.sock"
    async with (
        await connect_pool(database.settings, "accounts") as pool,
        await connect_pool(database.settings, "vault", max_size=4) as vault_pool,
        unix_channel(authorizer.socket) as egress,
        unix_channel(socket) as channel,
    ):
        audit = AuditLog(pool, SEAL_KEY, Spool(folder / "audit"))
        server = Server(socket, audit=audit)
        store, owners, secrets = Store(pool), OwnershipStore(pool), FileSecrets(folder / "secrets")
        people_keys = person_keys(secrets, clock)
        people = UserStore(pool, people_keys)
        address = SignInAddress(egress, people, clock, mfa_age_s=300)
        projector = Projector(egress, address.deliver)
        outbox = Outbox(pool, projector.deliver)
        mutations = Mutations(store, outbox, clock, projection_wait_s=projection_wait_s)
        accounts = AccountService(store, owners, mutations, ids, clock)
        disputes = dispute_parts(
            pool,
            egress,
            mutations,
            people=people_keys,
            owners=owners,
            objects=LocalFolder(folder / "documents"),
            clock=clock,
            delay_ms=0,
        )
        server.services.know_owners({**ownership.lookups(owners), **disputes.lookups})
        add_DisputeServiceServicer_to_server(disputes.service, server.services)
        keys = vault_keys(secrets, clock)
        vault = Vault(VaultStore(vault_pool), keys, clock, reveals_per_hour=3)
        numbers = CardNumbers(vault, bin_digits=BIN)
        cards = CardService(store, mutations, ids, clock, numbers=numbers)
        add_CardBulkServiceServicer_to_server(
            CardBulkService(
                store, outbox, numbers, people_keys, clock, projection_wait_s=projection_wait_s
            ),
            server.services,
        )
        guesses = Guesses(per_minute=3)
        add_VaultServiceServicer_to_server(
            VaultService(vault, store, guesses, clock, mfa_age_s=300), server.services
        )
        add_AccountServiceServicer_to_server(accounts, server.services)
        add_CardServiceServicer_to_server(cards, server.services)
        add_billing(server.services, pool, store, mutations, clock)
        holder = HolderService(store, owners, Programmes(pool), Statements(pool), clock)
        add_HolderServiceServicer_to_server(holder, server.services)
        rules = RulesFlow(store, mutations, clock)
        companies = Companies(pool)
        add_ProgrammeServiceServicer_to_server(
            ProgrammeService(Programmes(pool), mutations, clock, rules), server.services
        )
        add_CompanyServiceServicer_to_server(
            CompanyService(companies, mutations, ids, clock, rules), server.services
        )
        add_MemberServiceServicer_to_server(
            MemberService(companies, mutations, ids, clock), server.services
        )
        applications = applying(
            pool,
            mutations,
            outbox,
            vault,
            people=people_keys,
            clock=clock,
            objects=LocalFolder(folder / "documents"),
            creditor=Creditor(name="Test Bank", agency="Test Agency"),
            wait_s=projection_wait_s,
        )
        add_ApplicationServiceServicer_to_server(applications.service, server.services)
        add_UserServiceServicer_to_server(
            UserService(
                people,
                outbox,
                ids,
                clock,
                export=UserExport(pool, applications=applications.export, vault=vault),
                erasing=applications.erasing,
                vault=vault,
                address=address,
            ),
            server.services,
        )
        await server.start([])
        task = asyncio.create_task(outbox.run() if relay else asyncio.sleep(0))
        try:
            yield AccountsMesh(
                pool=pool,
                audit=audit,
                store=store,
                outbox=outbox,
                projector=projector,
                projections=ProjectionStore(pool),
                closing=Closing(store, projector, clock),
                renewals=Renewals(store, outbox, numbers, clock, days=30),
                clock=clock,
                authorizer=authorizer,
                accounts=AccountServiceStub(channel),
                cards=CardServiceStub(channel),
                card_bulk=CardBulkServiceStub(channel),
                programmes=ProgrammeServiceStub(channel),
                companies=CompanyServiceStub(channel),
                vaults=VaultServiceStub(channel),
                vault=vault,
                vault_pool=vault_pool,
                members=MemberServiceStub(channel),
                applications=ApplicationServiceStub(channel),
                worker=applications.worker,
                applications_rotation=applications.rotation,
                folder=folder,
                users=UserServiceStub(channel),
                statements=StatementServiceStub(channel),
                disputes=DisputeServiceStub(channel),
                dispute_poster=disputes.poster,
                people=people,
                person_keys=people_keys,
                channel=channel,
            )
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await server.grpc_server.stop(0)
            await authorizer.stop()
