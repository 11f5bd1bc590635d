"""GetApiUsage: who sees what, in which order, and each error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from holdfast.stats.v1 import api_usage_service_pb2 as pb
from runtime.identity import ROLES_HEADER, SUBJECT_HEADER
from tests.accounts_mesh import Refused, refusal_of, short_folder
from tests.databases import Database
from tests.stats_mesh import ADMIN, AUDITOR, HOLDER, MANAGER, MERCHANT, USER, Headers
from tests.stats_usage import (
    DAY_MS,
    KEY,
    MERCHANT_ID,
    METHODS,
    NOON_MS,
    OTHER_KEY,
    OTHER_MERCHANT_ID,
    Usage,
    record,
    usage_mesh,
)

#: Somebody who works for a merchant.
CLERK: Headers = ((SUBJECT_HEADER, USER), (ROLES_HEADER, "merchant"))


@pytest.fixture
async def usage(shared_stats: Database) -> AsyncIterator[Usage]:
    """Two merchants, one of them with a key, and somebody without any."""
    with short_folder() as folder:
        async with usage_mesh(shared_stats, folder) as running:
            running.log.merchants = {USER: MERCHANT_ID}
            await running.count(
                *[record(api_key_id=KEY, duration_us=1_000)] * 3,
                record(api_key_id=KEY, method=METHODS[1], http_status=429, duration_us=50),
                record(caller=OTHER_MERCHANT_ID, api_key_id=OTHER_KEY, http_status=503),
                record(caller=OTHER_MERCHANT_ID, method=METHODS[2], duration_us=90_000),
                record(caller=USER, start_ms=NOON_MS - DAY_MS),
                record(caller="", http_status=401),
            )
            yield running


async def ask(usage: Usage, who: Headers = ADMIN, **fields: Any) -> pb.GetApiUsageResponse:
    known: dict[str, Any] = {"start_date": "2026-11-01", "end_date": "2026-11-30"}
    answer: pb.GetApiUsageResponse = await usage.stub.GetApiUsage(
        pb.GetApiUsageRequest(**known | fields), metadata=who
    )
    return answer


async def refused(usage: Usage, who: Headers = ADMIN, **fields: Any) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(usage, who, **fields)
    return refusal_of(error.value)


def names(answer: pb.GetApiUsageResponse, field: str) -> list[tuple[str, int]]:
    return [(getattr(one, field), one.calls) for one in answer.groups]


@pytest.mark.parametrize("caller", [ADMIN, AUDITOR], ids=["admin", "auditor"])
async def test_staff_see_everybody(usage: Usage, caller: Headers) -> None:
    answer = await ask(usage, caller)
    assert names(answer, "method") == [(METHODS[0], 6), (METHODS[1], 1), (METHODS[2], 1)]
    assert (answer.total.calls, answer.more_count) == (8, 0)
    assert answer.counted_until.ToMilliseconds() == NOON_MS
    by_caller = await ask(usage, caller, group_by=[pb.API_USAGE_GROUPING_CALLER])
    assert names(by_caller, "caller") == [
        (MERCHANT_ID, 4),
        (OTHER_MERCHANT_ID, 2),
        ("", 1),
        (USER, 1),
    ]


async def test_a_merchant_sees_its_keys_only(usage: Usage) -> None:
    answer = await ask(usage, MERCHANT, group_by=[pb.API_USAGE_GROUPING_API_KEY])
    assert names(answer, "api_key_id") == [(KEY, 4)]
    assert (answer.total.calls, answer.total.refused) == (4, 1)
    other = await ask(usage, MERCHANT, api_key_id=OTHER_KEY)
    assert not other.groups
    assert other.total == pb.ApiUsage()
    assert (await ask(usage, MERCHANT, caller=MERCHANT_ID)).total.calls == 4
    for caller in (OTHER_MERCHANT_ID, USER, "nobody"):
        error = await refused(usage, MERCHANT, caller=caller)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CALLER_NOT_FOUND")


async def test_a_user_sees_their_merchant_and_themselves(usage: Usage) -> None:
    """For as long as they work there."""
    answer = await ask(usage, CLERK, group_by=[pb.API_USAGE_GROUPING_CALLER])
    assert names(answer, "caller") == [(MERCHANT_ID, 4), (USER, 1)]
    usage.log.merchants = {}
    assert (await ask(usage, CLERK)).total.calls == 1
    assert (await refused(usage, CLERK, caller=MERCHANT_ID)).reason == "CALLER_NOT_FOUND"
    usage.log.down = True
    error = await refused(usage, CLERK)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "CHECK_UNAVAILABLE")


@pytest.mark.parametrize("caller", [MANAGER, HOLDER], ids=["manager", "cardholder"])
async def test_nobody_else_sees_anything(usage: Usage, caller: Headers) -> None:
    assert (await refused(usage, caller)).code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("order", "first"),
    [
        (pb.API_USAGE_ORDER_CALLS, METHODS[0]),
        (pb.API_USAGE_ORDER_ERRORS, METHODS[0]),
        (pb.API_USAGE_ORDER_REFUSED, METHODS[0]),
        (pb.API_USAGE_ORDER_FAILED, METHODS[0]),
        (pb.API_USAGE_ORDER_SLOWEST, METHODS[2]),
    ],
)
async def test_the_first_ones_in_any_order(usage: Usage, order: Any, first: str) -> None:
    answer = await ask(usage, order=order, top=1)
    [group] = answer.groups
    assert (group.method, answer.more_count) == (first, 2)


async def test_days_come_in_their_order(usage: Usage) -> None:
    answer = await ask(usage, group_by=[pb.API_USAGE_GROUPING_DAY])
    assert names(answer, "start_date") == [("2026-11-19", 1), ("2026-11-20", 7)]
    answer = await ask(usage, group_by=[pb.API_USAGE_GROUPING_WEEK])
    assert names(answer, "start_date") == [("2026-11-16", 8)]
    answer = await ask(usage, start_date="2026-11-19", end_date="")
    assert answer.total.calls == 1


async def test_nothing_was_asked(usage: Usage) -> None:
    answer = await ask(usage, start_date="2026-10-01", end_date="2026-10-31")
    assert answer.total == pb.ApiUsage()
    assert not answer.groups


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"start_date": "", "end_date": ""}, ["start_date"]),
        ({"start_date": "2026-02-30"}, ["start_date"]),
        ({"end_date": "2026-10-31"}, ["end_date"]),
        ({"start_date": "2025-10-26"}, ["end_date"]),
        ({"start_date": "2026-08-30", "caller": USER}, ["end_date"]),
        ({"start_date": "2026-08-30", "group_by": [3]}, ["end_date"]),
        ({"group_by": [0, 99]}, ["group_by[0]", "group_by[1]"]),
        ({"group_by": [1, 1]}, ["group_by"]),
        ({"group_by": [4, 5]}, ["group_by"]),
        ({"order": 99}, ["order"]),
        ({"top": 501}, ["top"]),
        ({"top": -1}, ["top"]),
        ({"api_key_id": "key"}, ["api_key_id"]),
        ({"method": "m" * 257, "caller": "c" * 257}, ["method", "caller"]),
    ],
)
async def test_what_cannot_be_meant(usage: Usage, fields: dict[str, Any], wrong: list[str]) -> None:
    error = await refused(usage, **fields)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == wrong


async def test_the_longest_times_that_are_given(usage: Usage) -> None:
    assert (await ask(usage, start_date="2025-10-27")).total.calls == 8
    assert (await ask(usage, start_date="2026-08-31", caller=USER)).total.calls == 1
    error = await refused(usage, MERCHANT, start_date="2026-08-30")
    assert error.fields == ["end_date"]
