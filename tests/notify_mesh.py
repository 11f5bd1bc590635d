"""Notify as its callers meet it: real gRPC, real PostgreSQL, events put in by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncpg
import grpc

from holdfast.notify.v1 import event_service_pb2_grpc as event_grpc
from holdfast.notify.v1 import notification_service_pb2_grpc as notification_grpc
from holdfast.notify.v1 import webhook_service_pb2 as webhook_pb
from holdfast.notify.v1 import webhook_service_pb2_grpc as webhook_grpc
from holdfast.notify.v1.event_service_pb2_grpc import (
    EventServiceStub,
    add_EventServiceServicer_to_server,
)
from holdfast.notify.v1.notification_service_pb2_grpc import (
    NotificationServiceStub,
    add_NotificationServiceServicer_to_server,
)
from holdfast.notify.v1.webhook_service_pb2_grpc import (
    WebhookServiceStub,
    add_WebhookServiceServicer_to_server,
)
from holdfast.type.v1.feed_event_pb2 import FeedEvent
from notify import ownership
from notify.dispatcher import Dispatcher
from notify.event_service import EventService
from notify.event_store import EventStore
from notify.intake import Intake
from notify.mutations import Mutations
from notify.notices import unsubscribing, worker
from notify.notices.carrying import Carrier, Message, NotCarried
from notify.notices.kind import Channel
from notify.notices.planner import Planner
from notify.notices.service import NotificationService
from notify.notices.store import NoticeStore
from notify.notices.worker import Contact, Links, NoticeWorker
from notify.secrets import RING, Secrets
from notify.sender import Sender
from notify.sources import Feed
from notify.webhook_service import WebhookService
from notify.webhook_store import WebhookStore
from runtime.audit.spool import Spool
from runtime.audit.writer import AuditLog
from runtime.channel import unix_channel
from runtime.clock import ManualClock
from runtime.events.catalogue import money
from runtime.key_ring import key_ring
from runtime.postgres import connect_pool
from runtime.secrets import FileSecrets
from runtime.server import Server
from runtime.validate import timestamp
from tests.databases import Database, connected

COMPANY, OTHER_COMPANY = "co_0a" + "1" * 32, "co_0b" + "1" * 32
USER, OTHER_USER = "usr_0a" + "2" * 32, "usr_0b" + "2" * 32
ACCOUNT, OTHER_ACCOUNT, PERSONAL = (f"acct_{tag}" + "3" * 32 for tag in ("0a", "0b", "0c"))
CARD = "card_0a" + "4" * 32
DECLINED = {"decline_reason": "INSUFFICIENT_FUNDS"}
ENTRY, AUTHORIZATION = "ent_0c" + "5" * 32, "auth_0c" + "6" * 32

#: Notifications of tests.
CAPS = {Channel.EMAIL: 4, Channel.SMS: 2, Channel.PUSH: 4}
LINKS = Links(site="https://bank.example", api="https://api.bank.example")
NAME, EMAIL, PHONE = "Ada Featherstone", "ada.featherstone@example.com", "+12025550143"

#: Receivers of tests are there.
LOOPBACK = (ip_network("127.0.0.0/8"),)
TIMEOUT_S = 1.0
#: Key of the audit log's chain.
SEAL_KEY = "a key of the tests"

Headers = tuple[tuple[str, str], ...]
ADMIN: Headers = (("x-auth-subject", "tester"), ("x-auth-roles", "admin"))
MANAGER: Headers = (
    ("x-auth-subject", OTHER_USER),
    ("x-auth-roles", "manager"),
    ("x-auth-company", COMPANY),
)
OTHER_MANAGER: Headers = (*MANAGER[:2], ("x-auth-company", OTHER_COMPANY))
HOLDER: Headers = (("x-auth-subject", USER), ("x-auth-roles", "cardholder"))


class FakeAccounts:
    """Another service's events, and owners of accounts."""

    def __init__(self) -> None:
        self.events: list[FeedEvent] = []
        self.asked: list[set[str]] = []
        self.dismissed: set[tuple[str, str]] = set()
        self.down = False
        self.managers: dict[str, tuple[str, ...]] = {COMPANY: (USER, OTHER_USER)}
        self.owners = {ACCOUNT: COMPANY, OTHER_ACCOUNT: OTHER_COMPANY, PERSONAL: USER}

    async def events_after(self, number: int) -> tuple[Sequence[FeedEvent], bool]:
        found = [one for one in self.events if one.number > number][:100]
        return found, len(found) == 100

    async def owners_of(self, account_ids: Collection[str]) -> dict[str, str]:
        self.asked.append(set(account_ids))
        return {one: self.owners[one] for one in account_ids if one in self.owners}

    async def managers_of(self, company_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        return {one: self.managers[one] for one in company_ids if one in self.managers}

    async def has_dismissed(self, company_id: str, user_id: str) -> bool:
        if self.down:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
            )
        return (company_id, user_id) in self.dismissed


class Post:
    """Carries messages, and keeps them."""

    def __init__(self) -> None:
        self.carried: list[Message] = []
        #: Whom it asks for, before it takes a message; raises what it wants to fail with.
        self.fails: list[Exception] = []
        self.contacts = {
            USER: Contact(name=NAME, email=EMAIL, phone=PHONE),
            OTHER_USER: Contact(name="Bo", email="bo@example.com"),
        }
        self.accounts_down = False

    async def carry(self, message: Message) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.carried.append(message)

    async def close(self) -> None:
        pass

    async def contact(self, user_id: str) -> Contact | None:
        if self.accounts_down:
            raise NotCarried("CONTACT_UNAVAILABLE")
        return self.contacts.get(user_id)


@dataclass
class NotifyMesh:
    """A running notify, its stubs, and shortcuts."""

    pool: asyncpg.Pool
    clock: ManualClock
    accounts: FakeAccounts
    intake: Intake
    feed: Feed
    events: event_grpc.EventServiceAsyncStub
    webhooks: webhook_grpc.WebhookServiceAsyncStub
    dispatcher: Dispatcher
    #: That of another process.
    other_dispatcher: Callable[[], Dispatcher]
    channel: grpc.aio.Channel
    notifications: notification_grpc.NotificationServiceAsyncStub
    post: Post
    tokens: unsubscribing.Tokens
    #: What sends to `post`, or to other carriers: one more process each time.
    worker: Callable[..., NoticeWorker]
    _numbers: list[int] = field(default_factory=lambda: [0])

    def request_id(self) -> str:
        self._numbers[0] += 1
        return f"test-{self._numbers[0]}"

    def happen(self, what: str, **more: Any) -> None:
        """Something has happened at accounts."""
        ids = {name: more.pop(name, "") for name in ("account_id", "owner_id", "user_id")}
        self.clock.advance(1)
        self.accounts.events.append(
            FeedEvent(
                number=len(self.accounts.events) + 1,
                type=what,
                data=json.dumps(more),
                create_time=timestamp(self.clock.now_ms()),
                **ids,
            )
        )

    def freeze(self, account_id: str = ACCOUNT, user_id: str = "") -> None:
        self.happen(
            "card.frozen",
            account_id=account_id,
            user_id=user_id,
            card_id=CARD,
            kind="VIRTUAL",
            state="FROZEN",
        )

    def buy(self, what: str = "approved", *, minor: int = 1_000, left: int = 90_000) -> None:
        """The user has bought something."""
        more = {"authorization_id": AUTHORIZATION} if what == "approved" else {}
        self.happen(
            f"authorization.{what}",
            account_id=PERSONAL,
            user_id=USER,
            entry_id=ENTRY,
            amount=money(0 if what == "declined" else minor, "USD"),
            available_credit=money(left, "USD"),
            merchant_id="mer_1",
            **(
                {**DECLINED, "requested_amount": money(minor, "USD")}
                if what == "declined"
                else more
            ),
        )

    async def told(self) -> list[Message]:
        """Everything is taken in, and users are told what is due; returns what they were told."""
        await self.caught_up()
        before = len(self.post.carried)
        while await self.worker().step():
            pass
        return self.post.carried[before:]

    async def endpoint(self, url: str, *, owner_id: str = COMPANY, **fields: Any) -> Any:
        """A new endpoint, with its secret."""
        request = webhook_pb.CreateWebhookEndpointRequest(
            request_id=self.request_id(), owner_id=owner_id, url=url, **fields
        )
        return await self.webhooks.CreateWebhookEndpoint(request, metadata=ADMIN)

    async def delivered(self) -> int:
        """Everything is taken in, and sent if it is due; returns how many attempts that took."""
        await self.caught_up()
        return await self.dispatcher.deliver_due()

    async def caught_up(self) -> None:
        while await self.feed.step():
            pass


async def emptied(database: Database) -> None:
    """Empties the tables of the service."""
    async with connected(database.dsn("notify")) as connection:
        await connection.execute(
            "TRUNCATE event, sequence_head, account_owner, feed_position, request_record,"
            " webhook_endpoint, webhook_delivery, webhook_attempt, notification,"
            " notification_preference, sink_position"
        )


@asynccontextmanager
async def notify_mesh(database: Database, folder: Path) -> AsyncIterator[NotifyMesh]:
    """Starts the service on a clean database; the sources are followed when the test says so."""
    clock, accounts, socket = ManualClock(), FakeAccounts(), folder / "notify.a.sock"
    async with (
        await connect_pool(database.settings, "notify") as pool,
        unix_channel(socket) as channel,
    ):
        audit = AuditLog(pool, SEAL_KEY, Spool(folder / "audit"))
        server = Server(socket, audit=audit)
        intake, store = Intake(accounts, clock, Planner(clock, caps=CAPS)), WebhookStore(pool)
        files = FileSecrets(folder / "secrets")
        secrets = Secrets(key_ring(files, RING, clock))
        tokens = unsubscribing.Tokens(key_ring(files, unsubscribing.RING, clock))
        ring, post, notices = key_ring(files, worker.RING, clock), Post(), NoticeStore(pool)
        add_NotificationServiceServicer_to_server(
            NotificationService(notices, store, clock, tokens=tokens, ring=ring), server.services
        )

        def notice_worker(**carriers: Carrier) -> NoticeWorker:
            carried = {one: carriers.get(one.lower(), post) for one in Channel}
            return NoticeWorker(
                notices, carried, post.contact, clock, tokens=tokens, ring=ring, links=LINKS
            )

        server.services.know_owners(ownership.lookups(store, accounts.has_dismissed))
        add_EventServiceServicer_to_server(
            EventService(EventStore(pool), Mutations(store), intake, clock), server.services
        )
        add_WebhookServiceServicer_to_server(
            WebhookService(store, secrets, clock, allowed=LOOPBACK), server.services
        )
        await server.start([])

        def dispatcher() -> Dispatcher:
            return Dispatcher(pool, *senders, secrets=secrets, intake=intake, clock=clock)

        senders = [Sender(timeout_s=TIMEOUT_S, at_once=64, allowed=LOOPBACK) for _ in range(2)]
        try:
            yield NotifyMesh(
                pool=pool,
                clock=clock,
                accounts=accounts,
                intake=intake,
                feed=Feed(pool, intake, source="accounts", ask=accounts.events_after),
                events=EventServiceStub(channel),
                webhooks=WebhookServiceStub(channel),
                dispatcher=dispatcher(),
                other_dispatcher=dispatcher,
                channel=channel,
                notifications=NotificationServiceStub(channel),
                post=post,
                tokens=tokens,
                worker=notice_worker,
            )
        finally:
            for sender in senders:
                await sender.close()
            await server.grpc_server.stop(0)
