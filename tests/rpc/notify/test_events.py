"""EventService: to each what is theirs, in either direction."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.notify.v1 import event_service_pb2 as pb
from runtime.validate import timestamp
from tests.accounts_mesh import Refused, refusal_of
from tests.notify_mesh import (
    ACCOUNT,
    ADMIN,
    COMPANY,
    HOLDER,
    MANAGER,
    OTHER_ACCOUNT,
    OTHER_COMPANY,
    OTHER_MANAGER,
    PERSONAL,
    USER,
    Headers,
    NotifyMesh,
)

AUDITOR: Headers = (("x-auth-subject", "auditor"), ("x-auth-roles", "auditor"))


async def listed(mesh: NotifyMesh, caller: Headers = ADMIN, **fields: Any) -> pb.ListEventsResponse:
    request = pb.ListEventsRequest(**fields)
    answer: pb.ListEventsResponse = await mesh.events.ListEvents(request, metadata=caller)
    return answer


async def refused(method: Any, request: Any, caller: Headers) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await method(request, metadata=caller)
    return refusal_of(error.value)


def numbers(answer: pb.ListEventsResponse) -> list[tuple[str, int]]:
    return [(one.account_id, one.sequence) for one in answer.events]


@pytest.fixture
async def told(mesh: NotifyMesh) -> NotifyMesh:
    """Three accounts; somebody's card is on a company's."""
    mesh.freeze()
    mesh.freeze(OTHER_ACCOUNT)
    mesh.freeze(PERSONAL)
    mesh.freeze(user_id=USER)
    mesh.happen("user.closed", owner_id=USER, user_id=USER, state="CLOSED")
    await mesh.caught_up()
    return mesh


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (ADMIN, [("", 1), (ACCOUNT, 2), (PERSONAL, 1), (OTHER_ACCOUNT, 1), (ACCOUNT, 1)]),
        (AUDITOR, [("", 1), (ACCOUNT, 2), (PERSONAL, 1), (OTHER_ACCOUNT, 1), (ACCOUNT, 1)]),
        (MANAGER, [(ACCOUNT, 2), (ACCOUNT, 1)]),
        (OTHER_MANAGER, [(OTHER_ACCOUNT, 1)]),
        (HOLDER, [("", 1), (ACCOUNT, 2), (PERSONAL, 1)]),
    ],
)
async def test_to_each_what_is_theirs(
    told: NotifyMesh, caller: Headers, seen: list[tuple[str, int]]
) -> None:
    assert numbers(await listed(told, caller)) == seen
    for event in (await listed(told)).events:
        request = pb.GetEventRequest(event_id=event.id)
        if (event.account_id, event.sequence) in seen:
            answer = await told.events.GetEvent(request, metadata=caller)
            assert answer.event == event
        else:
            error = await refused(told.events.GetEvent, request, caller)
            assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")


async def test_an_event_says_what_happened(told: NotifyMesh) -> None:
    event = (await listed(told, types=["card.*"])).events[0]
    assert event.type == "card.frozen"
    assert (event.account_id, event.owner_id, event.user_id) == (ACCOUNT, COMPANY, USER)
    assert event.data["state"] == "FROZEN"
    assert event.id.startswith("evt_0a")


@pytest.mark.parametrize(
    ("caller", "filters", "seen"),
    [
        (ADMIN, {"account_id": ACCOUNT}, [(ACCOUNT, 2), (ACCOUNT, 1)]),
        (ADMIN, {"owner_id": OTHER_COMPANY}, [(OTHER_ACCOUNT, 1)]),
        (ADMIN, {"account_id": ACCOUNT, "owner_id": OTHER_COMPANY}, []),
        (ADMIN, {"types": ["user.closed"]}, [("", 1)]),
        (HOLDER, {"account_id": ACCOUNT}, [(ACCOUNT, 2)]),
        (HOLDER, {"account_id": OTHER_ACCOUNT}, []),
        (HOLDER, {"owner_id": USER}, [("", 1), (PERSONAL, 1)]),
        (HOLDER, {"owner_id": OTHER_COMPANY}, []),
        (HOLDER, {"types": ["card.frozen"]}, [(ACCOUNT, 2), (PERSONAL, 1)]),
        (MANAGER, {"owner_id": OTHER_COMPANY}, []),
        (MANAGER, {"account_id": OTHER_ACCOUNT}, []),
    ],
)
@pytest.mark.parametrize("oldest_first", [False, True])
async def test_filters_never_widen(
    told: NotifyMesh,
    caller: Headers,
    filters: dict[str, Any],
    seen: list[tuple[str, int]],
    oldest_first: bool,
) -> None:
    answer = await listed(told, caller, oldest_first=oldest_first, **filters)
    assert numbers(answer) == (seen[::-1] if oldest_first else seen)


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_times(told: NotifyMesh, oldest_first: bool) -> None:
    moments = [one.create_time.ToMilliseconds() for one in (await listed(told)).events][::-1]
    answer = await listed(
        told,
        start_time=timestamp(moments[1]),
        end_time=timestamp(moments[3]),
        oldest_first=oldest_first,
    )
    found = [one.create_time.ToMilliseconds() for one in answer.events]
    assert sorted(found) == moments[1:3]


@pytest.mark.parametrize("caller", [ADMIN, HOLDER])
async def test_pages(told: NotifyMesh, caller: Headers) -> None:
    whole = numbers(await listed(told, caller))
    found, token = [], ""
    while True:
        answer = await listed(told, caller, page_size=2, page_token=token)
        found += numbers(answer)
        token = answer.next_page_token
        if not token:
            break
    assert found == whole


async def test_whoever_reads_oldest_first_goes_on_with_what_comes(told: NotifyMesh) -> None:
    first = await listed(told, MANAGER, oldest_first=True)
    assert numbers(first) == [(ACCOUNT, 1), (ACCOUNT, 2)]
    again = await listed(told, MANAGER, oldest_first=True, page_token=first.next_page_token)
    assert (numbers(again), again.next_page_token) == ([], first.next_page_token)
    told.freeze()
    await told.caught_up()
    more = await listed(told, MANAGER, oldest_first=True, page_token=again.next_page_token)
    assert numbers(more) == [(ACCOUNT, 3)]


async def test_who_listens_from_now_on_is_told_nothing_that_was(told: NotifyMesh) -> None:
    """And the place moves on over events that are not wanted."""
    wanted: dict[str, Any] = {"oldest_first": True, "from_now": True, "types": ["card.*"]}
    first = await listed(told, **wanted)
    assert numbers(first) == []
    told.happen("user.closed", owner_id=USER, user_id=USER, state="CLOSED")
    await told.caught_up()
    passed = await listed(told, **wanted, page_token=first.next_page_token)
    assert numbers(passed) == []
    assert passed.next_page_token != first.next_page_token
    told.freeze()
    await told.caught_up()
    for token in (first.next_page_token, passed.next_page_token):
        assert numbers(await listed(told, **wanted, page_token=token)) == [(ACCOUNT, 3)]


async def test_what_cannot_be_meant(mesh: NotifyMesh) -> None:
    request = pb.ListEventsRequest(
        account_id="x", owner_id="y", types=["card.melted"], page_size=-1, page_token="z"
    )
    error = await refused(mesh.events.ListEvents, request, ADMIN)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == ["account_id", "owner_id", "types[0]", "page_size", "page_token"]
    error = await refused(mesh.events.ListEvents, pb.ListEventsRequest(types=["x"] * 21), ADMIN)
    assert error.fields[0] == "types"
    error = await refused(mesh.events.ListEvents, pb.ListEventsRequest(from_now=True), ADMIN)
    assert error.fields == ["from_now"]
    error = await refused(mesh.events.GetEvent, pb.GetEventRequest(event_id="evt_1"), ADMIN)
    assert error.fields == ["event_id"]


async def test_a_page_belongs_to_its_list(told: NotifyMesh) -> None:
    token = (await listed(told, page_size=1)).next_page_token
    request = pb.ListEventsRequest(page_size=1, page_token=token, oldest_first=True)
    assert (await refused(told.events.ListEvents, request, ADMIN)).fields == ["page_token"]
    same = pb.ListEventsRequest(page_size=1, page_token=token)
    assert (await refused(told.events.ListEvents, same, HOLDER)).fields == ["page_token"]


async def test_merchants_see_none(mesh: NotifyMesh) -> None:
    merchant: Headers = (("x-auth-subject", "mer_1"), ("x-auth-roles", "merchant"))
    error = await refused(mesh.events.ListEvents, pb.ListEventsRequest(), merchant)
    assert error.code is grpc.StatusCode.PERMISSION_DENIED
