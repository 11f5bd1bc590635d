"""ListUsage and GetUsage: what administrators see. FollowUsage and FindMerchant: what stats is
told, and nobody else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import grpc
import pytest

from gateway import usage_service
from gateway.usage import UsageRow
from gateway.usage_service import UsageService
from gateway.usage_store import UsageStore
from holdfast.gateway.v1 import usage_service_pb2 as pb
from holdfast.gateway.v1.usage_service_pb2_grpc import (
    UsageServiceStub,
    add_UsageServiceServicer_to_server,
)
from runtime.channel import unix_channel
from runtime.clock import ManualClock, datetime_of
from runtime.identity import ROLES_HEADER, SPIFFE_HEADER, SUBJECT_HEADER
from runtime.paging import Page, Position
from runtime.postgres import connect_pool
from runtime.server import Server
from runtime.validate import timestamp
from tests.accounts_mesh import refusal_of, short_folder
from tests.databases import Database

STATS = ((SPIFFE_HEADER, "spiffe://holdfast.local/service/stats"),)
NOTIFY = ((SPIFFE_HEADER, "spiffe://holdfast.local/service/notify"),)
ADMIN = ((SUBJECT_HEADER, "operator"), (ROLES_HEADER, "admin"))
USER, KEY = "usr_0a" + "2" * 32, "key_0a" + "6" * 32
NOW_MS = ManualClock().now_ms()


class Gateway(NamedTuple):
    """A running UsageService."""

    stub: Any
    store: UsageStore


@pytest.fixture
async def gateway(shared_gateway: Database) -> AsyncIterator[Gateway]:
    with short_folder() as folder:
        socket = folder / "usage.a.sock"
        async with (
            await connect_pool(shared_gateway.settings, "gateway") as pool,
            unix_channel(socket) as channel,
        ):
            await pool.execute("TRUNCATE usage")
            store, server = UsageStore(pool), Server(socket)
            await store.keep_days(datetime_of(NOW_MS).date(), retention_days=30)

            async def merchant_of(user_id: str) -> str:
                return {USER: "mer_1"}.get(user_id, "")

            add_UsageServiceServicer_to_server(UsageService(store, merchant_of), server.services)
            await server.start([])
            try:
                yield Gateway(UsageServiceStub(channel), store)
            finally:
                await server.grpc_server.stop(0)


def row(number: int) -> UsageRow:
    return UsageRow(
        start_time=datetime_of(NOW_MS - number),
        listener="edge",
        method="/holdfast.authz.v1.AuthorizationService/Authorize",
        http_method="POST",
        http_status=200,
        grpc_status=0 if number % 2 else None,
        request_bytes=number,
        response_bytes=2,
        duration_us=3,
        service_us=1,
        caller="mer_1",
        trace_id=f"trace-{number}",
        api_key_id=KEY,
    )


async def test_requests_come_in_the_order_in_which_they_were_written(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in that of their times; page by page, each once."""
    monkeypatch.setattr(usage_service, "FOLLOW_PAGE", 2)
    await gateway.store.write([row(number) for number in range(5)])
    found, place, pages = list[pb.UsageRecord](), 0, list[bool]()
    while not pages or pages[-1]:
        answer = await gateway.stub.FollowUsage(pb.FollowUsageRequest(after=place), metadata=STATS)
        place, pages = answer.reached, [*pages, answer.more]
        found += answer.records
    assert pages == [True, True, False]
    assert [one.request_bytes for one in found] == [0, 1, 2, 3, 4]
    assert [one.HasField("grpc_status") for one in found] == [False, True] * 2 + [False]
    assert {(one.caller, one.api_key_id) for one in found} == {("mer_1", KEY)}
    answer = await gateway.stub.FollowUsage(pb.FollowUsageRequest(after=place), metadata=STATS)
    assert (list(answer.records), answer.reached, answer.more) == ([], place, False)


def _sizes(answer: pb.ListUsageResponse) -> list[int]:
    """Each row has its own."""
    return [one.request_bytes for one in answer.records]


async def test_requests_are_listed_newest_first(gateway: Gateway) -> None:
    other = row(7)._replace(caller="mer_2", method="", http_status=404, grpc_status=None)
    await gateway.store.write([*(row(number) for number in range(5)), other])
    found, token = list[int](), ""
    while not found or token:
        request = pb.ListUsageRequest(page_size=2, page_token=token)
        answer = await gateway.stub.ListUsage(request, metadata=ADMIN)
        found, token = [*found, *_sizes(answer)], answer.next_page_token
    assert found == [0, 1, 2, 3, 4, 7]
    for request, sizes in (
        (pb.ListUsageRequest(caller="mer_2"), [7]),
        (pb.ListUsageRequest(trace_id="trace-3"), [3]),
        (pb.ListUsageRequest(method=row(0).method, caller="mer_2"), []),
        (pb.ListUsageRequest(start_time=timestamp(NOW_MS - 1)), [0, 1]),
    ):
        assert _sizes(await gateway.stub.ListUsage(request, metadata=ADMIN)) == sizes


async def test_totals_by_method(gateway: Gateway) -> None:
    other = row(7)._replace(caller="mer_2", method="", http_status=404, grpc_status=None)
    await gateway.store.write([*(row(number) for number in range(5)), other])
    times: dict[str, Any] = {"start_time": timestamp(NOW_MS - 7), "end_time": timestamp(NOW_MS + 1)}
    answer = await gateway.stub.GetUsage(pb.GetUsageRequest(**times), metadata=ADMIN)
    assert [(one.method, one.calls, one.errors) for one in answer.methods] == [
        (row(0).method, 5, 0),
        ("", 1, 1),
    ]
    assert (answer.methods[0].request_bytes, answer.methods[0].duration_p95_us) == (10, 3)
    times["end_time"] = timestamp(NOW_MS)
    mine = pb.GetUsageRequest(caller="mer_1", **times)
    (only,) = (await gateway.stub.GetUsage(mine, metadata=ADMIN)).methods
    assert only.calls == 4, "until before its end"


def _token(request: pb.ListUsageRequest, place: str) -> str:
    """Page tokens are not signed: anybody can make one."""
    scope = f"usage {request.caller} {request.method} {request.trace_id}"
    return Page(size=1, after=None, scope=scope).token_after(Position(NOW_MS, place))


async def test_what_cannot_be_meant_by_administrators(gateway: Gateway) -> None:
    none = pb.ListUsageRequest()
    late: dict[str, Any] = {"start_time": timestamp(NOW_MS), "end_time": timestamp(NOW_MS)}
    long = late | {"end_time": timestamp(NOW_MS + 32 * 86_400_000)}
    for method, request, fields in (
        ("ListUsage", pb.ListUsageRequest(caller="x" * 257, page_size=-1), ["caller", "page_size"]),
        ("ListUsage", pb.ListUsageRequest(page_token="junk"), ["page_token"]),
        ("ListUsage", pb.ListUsageRequest(page_token=_token(none, "one")), ["page_token"]),
        ("ListUsage", pb.ListUsageRequest(page_token=_token(none, "9" * 19)), ["page_token"]),
        ("ListUsage", pb.ListUsageRequest(page_token=_token(none, "\u00b2")), ["page_token"]),
        ("GetUsage", pb.GetUsageRequest(), ["start_time", "end_time"]),
        ("GetUsage", pb.GetUsageRequest(**late), ["end_time"]),
        ("GetUsage", pb.GetUsageRequest(**long), ["end_time"]),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await getattr(gateway.stub, method)(request, metadata=ADMIN)
        refusal = refusal_of(error.value)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT, (method, request)
        assert refusal.fields == fields


async def test_for_whom_somebody_works(gateway: Gateway) -> None:
    for user_id, merchant_id in ((USER, "mer_1"), ("usr_0a" + "3" * 32, "")):
        request = pb.FindMerchantRequest(user_id=user_id)
        found = await gateway.stub.FindMerchant(request, metadata=STATS)
        assert found.merchant_id == merchant_id


@pytest.mark.parametrize("who", [ADMIN, NOTIFY], ids=["admin", "another service"])
async def test_nobody_else_is_told(gateway: Gateway, who: Any) -> None:
    for method, request in (
        (gateway.stub.FollowUsage, pb.FollowUsageRequest()),
        (gateway.stub.FindMerchant, pb.FindMerchantRequest(user_id=USER)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await method(request, metadata=who)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_what_cannot_be_meant(gateway: Gateway) -> None:
    for method, request, field in (
        (gateway.stub.FollowUsage, pb.FollowUsageRequest(after=-1), "after"),
        (gateway.stub.FindMerchant, pb.FindMerchantRequest(), "user_id"),
        (gateway.stub.FindMerchant, pb.FindMerchantRequest(user_id="mer_1"), "user_id"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await method(request, metadata=STATS)
        assert refusal_of(error.value).fields == [field]
