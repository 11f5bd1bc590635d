"""ListAnomalies, and how notify hears of what was found."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import grpc
import pytest

from holdfast.stats.v1 import anomaly_pb2 as pb
from holdfast.stats.v1 import event_feed_service_pb2 as feed
from holdfast.stats.v1 import stats_service_pb2 as rpc
from holdfast.stats.v1.event_feed_service_pb2_grpc import EventFeedServiceStub
from runtime.identity import SPIFFE_HEADER
from tests.accounts_mesh import Refused, refusal_of
from tests.stats_mesh import (
    ACCOUNT,
    ADMIN,
    AUDITOR,
    COMPANY,
    HOLDER,
    MANAGER,
    MERCHANT,
    NOON,
    OTHER_ACCOUNT,
    PERSONAL,
    UNKNOWN_ACCOUNT,
    USER,
    Headers,
    StatsMesh,
)

DAY = timedelta(days=1)
NOTIFY: Headers = ((SPIFFE_HEADER, "spiffe://holdfast.local/service/notify"),)


async def unusual(mesh: StatsMesh, account_id: str, owner_id: str, *, days: int = 1) -> None:
    """An account that is used as always for 30 days, and then as never before."""
    amounts = [100] * 30 + [10_000 * 10**number for number in range(days)]
    await mesh.take(
        *(
            mesh.book.entry(
                "AUTHORIZATION",
                amount_minor,
                at=NOON - (len(amounts) - 1 - number) * DAY,
                authorization_id=f"auth_{number}_{account_id}",
                account_id=account_id,
                company_id=owner_id if owner_id.startswith("co_") else "",
            )
            for number, amount_minor in enumerate(amounts)
        )
    )
    await mesh.watch.step()
    mesh.clock.advance(1_000)


async def listed(mesh: StatsMesh, caller: Headers = ADMIN, **fields: Any) -> Any:
    request = rpc.ListAnomaliesRequest(**fields)
    return await mesh.stats.ListAnomalies(request, metadata=caller)


async def refused(mesh: StatsMesh, caller: Headers = ADMIN, **fields: Any) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await listed(mesh, caller, **fields)
    return refusal_of(caught.value)


async def test_newest_first_page_by_page(mesh: StatsMesh) -> None:
    await unusual(mesh, ACCOUNT, COMPANY)
    await unusual(mesh, PERSONAL, USER, days=2)
    found, token = list[pb.Anomaly](), ""
    while True:
        answer = await listed(mesh, page_size=1, page_token=token)
        found += answer.anomalies
        token = answer.next_page_token
        if not token:
            break
    assert [one.account_id for one in found] == [PERSONAL, PERSONAL, ACCOUNT]
    assert found == list((await listed(mesh)).anomalies)
    mine = await listed(mesh, account_id=ACCOUNT, kind=pb.Anomaly.KIND_SPEND)
    assert list(mine.anomalies) == found[-1:]
    assert found[-1].create_time.ToMilliseconds() == int(NOON.timestamp() * 1000)
    none = await listed(mesh, account_id=ACCOUNT, kind=pb.Anomaly.KIND_COUNTRY)
    assert not none.anomalies


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (ADMIN, {ACCOUNT, OTHER_ACCOUNT, PERSONAL}),
        (AUDITOR, {ACCOUNT, OTHER_ACCOUNT, PERSONAL}),
        (MANAGER, {ACCOUNT}),
        (HOLDER, {PERSONAL}),
    ],
)
async def test_to_each_what_is_theirs(mesh: StatsMesh, caller: Headers, seen: set[str]) -> None:
    for account_id in (ACCOUNT, OTHER_ACCOUNT, PERSONAL):
        if account_id in seen:
            await listed(mesh, caller, account_id=account_id)
            continue
        error = await refused(mesh, caller, account_id=account_id)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    if len(seen) == 1:
        # Those of everybody are for the staff.
        assert (await refused(mesh, caller)).fields == ["account_id"]


async def test_what_cannot_be_meant(mesh: StatsMesh) -> None:
    error = await refused(mesh, account_id="acct_1", kind=99, page_size=-1, page_token="?")
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == ["account_id", "kind", "page_size", "page_token"]
    error = await refused(mesh, account_id=UNKNOWN_ACCOUNT)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    assert (await refused(mesh, MERCHANT)).reason == "PERMISSION_DENIED"
    mesh.accounts.down = True
    error = await refused(mesh, account_id=OTHER_ACCOUNT)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "CHECK_UNAVAILABLE")


async def test_notify_hears_of_it_once_and_in_order(mesh: StatsMesh) -> None:
    await unusual(mesh, ACCOUNT, COMPANY)
    await unusual(mesh, PERSONAL, USER, days=2)
    stub: Any = EventFeedServiceStub(mesh.channel)

    async def after(number: int, page_size: int = 500) -> feed.FollowEventsResponse:
        request = feed.FollowEventsRequest(after=number, page_size=page_size)
        answer: feed.FollowEventsResponse = await stub.FollowEvents(request, metadata=NOTIFY)
        return answer

    answer = await after(0)
    assert [one.number for one in answer.events] == [1, 2, 3]
    assert {one.type for one in answer.events} == {"account.spend_unusual"}
    assert [one.account_id for one in answer.events] == [ACCOUNT, PERSONAL, PERSONAL]
    kept = {one.id for one in (await listed(mesh)).anomalies}
    assert {json.loads(one.data)["anomaly_id"] for one in answer.events} == kept
    first = await after(0, page_size=1)
    assert ([one.number for one in first.events], first.more) == ([1], True)
    assert not (await after(3)).events
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await after(-1, page_size=-1)
    assert refusal_of(caught.value).fields == ["page_size", "after"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.FollowEvents(feed.FollowEventsRequest(), metadata=ADMIN)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
