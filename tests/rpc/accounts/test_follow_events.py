"""EventFeedService: what happened in accounts, handed over once and in order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from accounts.event_feed_service import ACCOUNTS_MAX, COMPANIES_MAX, EventFeedService
from accounts.ownership_store import OwnershipStore
from holdfast.accounts.v1 import (
    account_service_pb2,
    card_service_pb2,
    dispute_pb2,
    dispute_service_pb2,
    member_service_pb2,
    user_service_pb2,
)
from holdfast.accounts.v1 import event_feed_service_pb2 as pb
from holdfast.accounts.v1.event_feed_service_pb2_grpc import (
    EventFeedServiceStub,
    add_EventFeedServiceServicer_to_server,
)
from runtime.channel import unix_channel
from runtime.events.catalogue import Event
from runtime.events.outbox import EventOutbox, emit
from runtime.server import Server
from tests.accounts_applying import create_user
from tests.accounts_disputing import liability, shopper
from tests.accounts_mesh import OWNER, UNKNOWN_ACCOUNT, AccountsMesh, call, refused, usd
from tests.accounts_people import ANNA, BORIS, CHLOE, as_user, found_company, join

UNKNOWN_COMPANY = "co_0a" + "0" * 32
NOTIFY = ("x-auth-spiffe", "spiffe://holdfast.local/service/notify")


class Feed:
    """The service as notify meets it."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub

    async def after(self, number: int, page_size: int = 500) -> pb.FollowEventsResponse:
        request = pb.FollowEventsRequest(after=number, page_size=page_size)
        answer: pb.FollowEventsResponse = await self.stub.FollowEvents(
            request, metadata=[NOTIFY], timeout=10
        )
        return answer

    async def types(self) -> list[str]:
        return [one.type for one in (await self.after(0)).events]


@pytest.fixture
async def feed(mesh: AccountsMesh) -> AsyncIterator[Feed]:
    await mesh.pool.execute("TRUNCATE event")
    await mesh.pool.execute("UPDATE event_head SET last = 0")
    server = Server(mesh.folder / "feed.sock")
    owners = OwnershipStore(mesh.pool)
    service = EventFeedService(EventOutbox(mesh.pool), owners, mesh.people)
    add_EventFeedServiceServicer_to_server(service, server.services)
    await server.start([])
    async with unix_channel(server.socket) as channel:
        yield Feed(EventFeedServiceStub(channel))
    await server.grpc_server.stop(0)


async def test_what_changes_is_told_in_its_order(mesh: AccountsMesh, feed: Feed) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account.id)
    await call(
        mesh.cards.FreezeCard,
        card_service_pb2.FreezeCardRequest(request_id=mesh.request_id(), card_id=card.id),
    )
    await call(
        mesh.accounts.UpdateCreditLimit,
        account_service_pb2.UpdateCreditLimitRequest(
            request_id=mesh.request_id(), account_id=account.id, credit_limit=usd(7)
        ),
    )
    answer = await feed.after(0)
    assert [one.number for one in answer.events] == [1, 2, 3, 4]
    assert [one.type for one in answer.events] == [
        "account.opened",
        "card.issued",
        "card.frozen",
        "account.limit_changed",
    ]
    assert {one.account_id for one in answer.events} == {account.id}
    assert answer.events[0].owner_id == OWNER
    assert json.loads(answer.events[2].data)["card_id"] == card.id
    assert answer.events[0].create_time.ToMilliseconds() == mesh.clock.now_ms()
    # Page by page, nothing twice.
    first = await feed.after(0, page_size=3)
    assert (len(first.events), first.more) == (3, True)
    rest = await feed.after(3, page_size=3)
    assert ([one.number for one in rest.events], rest.more) == ([4], False)


async def test_a_repeated_request_is_told_once(mesh: AccountsMesh, feed: Feed) -> None:
    account = await mesh.open_account()
    card = await mesh.issue_card(account.id)
    request = card_service_pb2.FreezeCardRequest(request_id="again", card_id=card.id)
    await call(mesh.cards.FreezeCard, request)
    await call(mesh.cards.FreezeCard, request)
    assert (await feed.types()).count("card.frozen") == 1


async def test_a_dispute_is_told_step_by_step(mesh: AccountsMesh, feed: Feed) -> None:
    """Each request twice; what the issuer's own books have is told to nobody."""
    anna = await shopper(mesh)
    dispute = await anna.disputed()
    steps = (
        ("AcknowledgeDispute", dispute_service_pb2.AcknowledgeDisputeRequest()),
        (
            "AdvanceDispute",
            dispute_service_pb2.AdvanceDisputeRequest(
                state=dispute_pb2.Dispute.State.STATE_INVESTIGATING
            ),
        ),
        (
            "GrantProvisionalCredit",
            dispute_service_pb2.GrantProvisionalCreditRequest(amount=usd(6_000)),
        ),
        (
            "ResolveDispute",
            dispute_service_pb2.ResolveDisputeRequest(liability=liability(1_000, 0, 9_000)),
        ),
    )
    for method, request in steps:
        asked: Any = request
        asked.dispute_id = dispute.id
        await anna.staff(method, asked)
        await anna.staff(method, asked)
    found = [one for one in (await feed.after(0)).events if one.type.startswith("dispute.")]
    assert {(one.account_id, one.user_id) for one in found} == {(anna.account_id, ANNA)}
    said = [(one.type.removeprefix("dispute."), json.loads(one.data)) for one in found]
    assert [(name, data["state"], data["amount"]["amount_minor"]) for name, data in said] == [
        ("submitted", "SUBMITTED", 10_000),
        ("acknowledged", "SUBMITTED", 10_000),
        ("investigating", "INVESTIGATING", 10_000),
        ("credit_granted", "INVESTIGATING", 6_000),
        ("credit_reversed", "PARTIALLY_WON", 5_000),
        ("partially_won", "PARTIALLY_WON", 10_000),
    ]
    assert said[-1][1]["won"] == {"amount_minor": 1_000, "currency_code": "USD"}


async def test_people_are_told_by_their_ids(mesh: AccountsMesh, feed: Feed) -> None:
    user_id = "usr_0a" + "7" * 32
    await call(
        mesh.users.CreateUser,
        user_service_pb2.CreateUserRequest(
            request_id="r-1", user_id=user_id, name="Ada Lovelace", email="ada@example.com"
        ),
    )
    await call(
        mesh.users.SuspendUser,
        user_service_pb2.SuspendUserRequest(request_id="r-2", user_id=user_id),
    )
    answer = await feed.after(0)
    assert [one.type for one in answer.events] == ["user.created", "user.suspended"]
    assert {(one.owner_id, one.user_id) for one in answer.events} == {(user_id, user_id)}
    assert "ada" not in str(answer).lower()


async def test_what_commits_late_is_not_passed_over(mesh: AccountsMesh, feed: Feed) -> None:
    """Goal: an event with a lower id that is committed after a higher one was handed over still
    comes. Method: two transactions that overlap.
    """

    def event(number: int) -> Event:
        return Event(
            type="user.updated",
            time_ms=number,
            owner_id=f"usr_0a{number:032x}",
            data={"state": "ACTIVE"},
        )

    async with mesh.pool.acquire() as slow, mesh.pool.acquire() as quick:
        async with slow.transaction():
            await emit(slow, [event(1)])
            await emit(quick, [event(2)])
            (early,) = (await feed.after(0)).events
        (late,) = (await feed.after(early.number)).events
    assert early.owner_id.endswith("2")
    assert late.owner_id.endswith("1")
    assert late.number == early.number + 1


async def test_old_events_are_forgotten(mesh: AccountsMesh, feed: Feed) -> None:
    await mesh.open_account()
    assert await EventOutbox(mesh.pool).forget(before_ms=mesh.clock.now_ms() + 1) == 1
    assert await feed.types() == []
    await mesh.open_account()
    assert [one.number for one in (await feed.after(0)).events] in ([1], [2])


async def test_owners_of_accounts(mesh: AccountsMesh, feed: Feed) -> None:
    account = await mesh.open_account()
    answer = await feed.stub.ResolveOwners(
        pb.ResolveOwnersRequest(account_ids=[account.id, UNKNOWN_ACCOUNT]), metadata=[NOTIFY]
    )
    assert [(one.account_id, one.owner_id) for one in answer.owners] == [(account.id, OWNER)]


async def test_managers_of_companies(mesh: AccountsMesh, feed: Feed) -> None:
    """Administrators and managers, who came first first; neither employees nor who has left."""
    company = await found_company(mesh, ANNA)
    await join(mesh, company.id, BORIS, "MANAGER", by=ANNA)
    await join(mesh, company.id, CHLOE, "EMPLOYEE", by=ANNA)
    request = pb.ResolveManagersRequest(company_ids=[company.id, UNKNOWN_COMPANY])

    async def managers() -> list[tuple[str, str]]:
        answer = await feed.stub.ResolveManagers(request, metadata=[NOTIFY])
        return [(one.company_id, one.user_id) for one in answer.managers]

    assert await managers() == [(company.id, ANNA), (company.id, BORIS)]
    # Who is barred from signing in learns nothing of the company by mail, either.
    await create_user(mesh, BORIS)
    for name, there in (("Suspend", False), ("Reactivate", True), ("Close", False)):
        kind = getattr(user_service_pb2, f"{name}UserRequest")
        change = kind(request_id=mesh.request_id(), user_id=BORIS)
        await call(getattr(mesh.users, f"{name}User"), change)
        assert ((company.id, BORIS) in await managers()) is there
    removing = member_service_pb2.RemoveMemberRequest(
        request_id=mesh.request_id(), company_id=company.id, user_id=BORIS
    )
    await call(mesh.members.RemoveMember, removing, **as_user(ANNA))
    assert await managers() == [(company.id, ANNA)]


async def test_how_somebody_is_reached(mesh: AccountsMesh, feed: Feed) -> None:
    created = await call(
        mesh.users.CreateUser,
        user_service_pb2.CreateUserRequest(
            request_id=mesh.request_id(),
            name="Ada Roe",
            email="ada@example.com",
            phone="+12025550143",
        ),
    )
    request = pb.GetContactRequest(user_id=created.user.id)
    answer = await feed.stub.GetContact(request, metadata=[NOTIFY])
    assert (answer.name, answer.email) == ("Ada Roe", "ada@example.com")
    assert answer.phone == "+12025550143"
    for transition in ("Close", "Erase"):
        kind = getattr(user_service_pb2, f"{transition}UserRequest")
        await call(
            getattr(mesh.users, f"{transition}User"),
            kind(request_id=mesh.request_id(), user_id=created.user.id),
        )
    error = await refused(feed.stub.GetContact, request, principal=NOTIFY)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("FollowEvents", pb.FollowEventsRequest(after=-1, page_size=-1), ["page_size", "after"]),
        ("ResolveOwners", pb.ResolveOwnersRequest(), ["account_ids"]),
        (
            "ResolveOwners",
            pb.ResolveOwnersRequest(account_ids=[UNKNOWN_ACCOUNT] * (ACCOUNTS_MAX + 1)),
            ["account_ids"],
        ),
        ("ResolveOwners", pb.ResolveOwnersRequest(account_ids=["x"]), ["account_ids[0]"]),
        ("ResolveManagers", pb.ResolveManagersRequest(), ["company_ids"]),
        (
            "ResolveManagers",
            pb.ResolveManagersRequest(company_ids=["x", *[UNKNOWN_COMPANY] * COMPANIES_MAX]),
            ["company_ids", "company_ids[0]"],
        ),
        ("GetContact", pb.GetContactRequest(user_id="x"), ["user_id"]),
    ],
)
async def test_what_cannot_be_meant(
    feed: Feed, method: str, request_: Any, fields: list[str]
) -> None:
    error = await refused(getattr(feed.stub, method), request_, principal=NOTIFY)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == fields


async def test_only_notify_may_ask(feed: Feed) -> None:
    other = ("x-auth-spiffe", "spiffe://holdfast.local/service/gateway")
    error = await refused(feed.stub.FollowEvents, pb.FollowEventsRequest(), principal=other)
    assert error.code is grpc.StatusCode.PERMISSION_DENIED
