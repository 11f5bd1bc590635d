"""kill -9 of notify amid webhooks: each is delivered at least once and in its account's order, none
is lost, and no endpoint is given up for it.

Method: notify as a process of its own, on a fake of what accounts tells. An endpoint takes every
event, and thinks a little over each; another one takes nothing. Notify is killed again and again,
each time while events are under way: they were received, and notify never heard so. Before that,
new ones happen, so that also the intake is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from holdfast.accounts.v1 import event_feed_service_pb2 as feed_pb
from holdfast.accounts.v1.event_feed_service_pb2_grpc import (
    EventFeedServiceServicer,
    add_EventFeedServiceServicer_to_server,
)
from holdfast.notify.v1 import webhook_pb2
from holdfast.notify.v1 import webhook_service_pb2 as pb
from holdfast.notify.v1.webhook_service_pb2_grpc import WebhookServiceStub
from holdfast.type.v1.feed_event_pb2 import FeedEvent
from runtime.channel import unix_channel
from runtime.clock import SystemClock
from runtime.devstack import environment
from runtime.settings import Settings
from runtime.validate import timestamp
from tests.databases import Database
from tests.notify_mesh import ADMIN, CARD, COMPANY
from tests.webhook_receiver import Receiver, receiver

ACCOUNTS = [f"acct_{number:02x}" + "3" * 32 for number in range(6)]
ROUNDS, PER_ROUND = 4, 60
SECRETS = ("postgres-notify", "audit-seal")
THINKS_S = 0.02
UNDER_WAY = 3
#: Nothing stands still for longer, however slow the machine is.
PATIENCE_S = 60.0


class FakeAccounts(EventFeedServiceServicer):
    """What accounts tells; all accounts are one company's."""

    def __init__(self) -> None:
        self.events: list[FeedEvent] = []

    def freeze(self, account_id: str) -> None:
        """A card of an account was frozen."""
        self.events.append(
            FeedEvent(
                number=len(self.events) + 1,
                type="card.frozen",
                account_id=account_id,
                data=json.dumps({"card_id": CARD, "kind": "VIRTUAL", "state": "FROZEN"}),
                create_time=timestamp(SystemClock().now_ms()),
            )
        )

    async def FollowEvents(
        self, request: feed_pb.FollowEventsRequest, context: Any
    ) -> feed_pb.FollowEventsResponse:
        del context
        found = self.events[request.after : request.after + 20]
        more = request.after + len(found) < len(self.events)
        return feed_pb.FollowEventsResponse(events=found, more=more)

    async def ResolveOwners(
        self, request: feed_pb.ResolveOwnersRequest, context: Any
    ) -> feed_pb.ResolveOwnersResponse:
        del context
        return feed_pb.ResolveOwnersResponse(
            owners=[
                feed_pb.AccountOwner(account_id=one, owner_id=COMPANY)
                for one in request.account_ids
            ]
        )

    async def ResolveManagers(
        self, request: feed_pb.ResolveManagersRequest, context: Any
    ) -> feed_pb.ResolveManagersResponse:
        """Nobody manages anything."""
        del request, context
        return feed_pb.ResolveManagersResponse()

    async def CheckManager(
        self, request: feed_pb.CheckManagerRequest, context: Any
    ) -> feed_pb.CheckManagerResponse:
        del request, context
        return feed_pb.CheckManagerResponse()

    async def GetContact(
        self, request: feed_pb.GetContactRequest, context: Any
    ) -> feed_pb.GetContactResponse:
        """Nobody can be reached."""
        del request
        await context.abort(grpc.StatusCode.NOT_FOUND, "nobody")
        raise AssertionError("it was aborted")


@dataclass(kw_only=True)
class World:
    """What is running."""

    settings: Settings
    accounts: FakeAccounts
    inbox: Receiver
    webhooks: Any
    environment: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    #: What was received and not answered, at each kill.
    cut_off: list[int] = field(default_factory=list)

    async def start(self) -> None:
        """Starts notify."""
        log = (self.settings.home / "notify.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "notify", env=self.environment, stdout=log, stderr=log
        )
        log.close()

    async def kill(self) -> None:
        """Ends it where nobody expects it."""
        assert self.process is not None, "it was started"
        self.process.kill()
        self.cut_off.append(self.inbox.under_way)
        await self.process.wait()

    async def asked(self, method: Any, request: Any) -> Any:
        """Repeats a request until somebody is there to answer it."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await method(request, metadata=ADMIN, timeout=10)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)

    async def endpoint(self, path: str) -> str:
        """A new endpoint of the company."""
        request = pb.CreateWebhookEndpointRequest(
            request_id=path.strip("/"), owner_id=COMPANY, url=self.inbox.url(path)
        )
        made = await self.asked(self.webhooks.CreateWebhookEndpoint, request)
        found: str = made.webhook_endpoint.id
        return found

    async def in_state(self, endpoint_id: str, state: Any) -> list[webhook_pb2.WebhookDelivery]:
        request = pb.ListWebhookDeliveriesRequest(
            endpoint_id=endpoint_id, state=state, page_size=500
        )
        answer = await self.asked(self.webhooks.ListWebhookDeliveries, request)
        return list(answer.deliveries)


async def until(happened: Callable[[], bool], what: str) -> None:
    """Waits for something, but not for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.002)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as folder:
        home, run_dir = Path(folder) / "home", Path(folder) / "run"
        (home / "secrets").mkdir(parents=True, mode=0o700)
        run_dir.mkdir(mode=0o700)
        settings = database.settings.model_copy(update={"home": home, "run_dir": run_dir})
        for name in SECRETS:
            shutil.copy(database.settings.secret_path(name), settings.secret_path(name))
        accounts, others = FakeAccounts(), grpc.aio.server()
        add_EventFeedServiceServicer_to_server(accounts, others)
        others.add_insecure_port(f"unix:{settings.egress_socket('notify')}")
        await others.start()
        async with unix_channel(settings.socket_of("notify")) as channel, receiver() as inbox:
            inbox.delay_s = THINKS_S
            found = World(
                settings=settings,
                accounts=accounts,
                inbox=inbox,
                webhooks=WebhookServiceStub(channel),
                environment={
                    **environment.of_service(settings, "notify"),
                    "HOLDFAST_WEBHOOK_NETWORKS": "127.0.0.0/8",
                },
            )
            await found.start()
            try:
                yield found
            finally:
                await found.kill()
                await others.stop(0)


@pytest.mark.timeout(300)
async def test_notify_killed_amid_webhooks(world: World) -> None:
    good, dead = await world.endpoint("/ok"), await world.endpoint("/fail")
    inbox, total = world.inbox, ROUNDS * PER_ROUND

    def taken() -> int:
        return len({one.headers["webhook-id"] for one in inbox.at("/ok")})

    for number in range(ROUNDS):
        before = taken()
        for place in range(PER_ROUND):
            world.accounts.freeze(ACCOUNTS[place % len(ACCOUNTS)])
        if number == ROUNDS - 1:
            break
        await until(lambda b=before: taken() >= b + 10, "nothing comes")  # type: ignore[misc]
        await until(lambda: inbox.under_way >= UNDER_WAY, "nothing is under way")
        await world.kill()
        await world.start()
    await until(lambda: taken() == total, "events are lost")

    now_s = int(time.time())
    assert all(abs(int(one.headers["webhook-timestamp"]) - now_s) < 300 for one in inbox.received)
    for account_id in ACCOUNTS:
        mine = [
            one.event["sequence"]
            for one in inbox.at("/ok")
            if one.event["account_id"] == account_id
        ]
        first = list(dict.fromkeys(mine))
        assert first == list(range(1, total // len(ACCOUNTS) + 1)), "in order, none missing"
        for earlier, later in itertools.pairwise(mine):
            assert later <= earlier + 1, "what comes again comes in order, too"
    bodies = {one.headers["webhook-id"]: one.body for one in inbox.at("/ok")}
    assert all(bodies[one.headers["webhook-id"]] == one.body for one in inbox.at("/ok"))
    assert sum(world.cut_off) >= UNDER_WAY, "the kills must have been felt"
    assert len(inbox.at("/ok")) > total, "what was cut off has come again"

    states = webhook_pb2.WebhookDelivery.State
    deadline = time.monotonic() + PATIENCE_S
    while len(await world.in_state(good, states.STATE_DELIVERED)) < total:
        assert time.monotonic() < deadline, "deliveries stay open"
        await asyncio.sleep(0.1)
    for endpoint_id, state in ((good, states.STATE_DELIVERED), (dead, states.STATE_PENDING)):
        assert len(await world.in_state(endpoint_id, state)) == total
        request = pb.GetWebhookEndpointRequest(endpoint_id=endpoint_id)
        answer = await world.asked(world.webhooks.GetWebhookEndpoint, request)
        active = webhook_pb2.WebhookEndpoint.STATE_ACTIVE
        assert answer.webhook_endpoint.state == active, "nobody is given up within minutes"
