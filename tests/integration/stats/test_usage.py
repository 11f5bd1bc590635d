"""The usage log is counted exactly, once, whoever dies; and forgotten in time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast.gateway.v1 import usage_service_pb2 as log_pb
from holdfast.stats.v1 import api_usage_service_pb2 as pb
from runtime.validate import milliseconds
from stats import usage_follower
from tests.accounts_mesh import short_folder
from tests.databases import Database
from tests.stats_mesh import ADMIN
from tests.stats_usage import (
    DAY_MS,
    KEY,
    MERCHANT_ID,
    METHODS,
    NOON_MS,
    Usage,
    random_records,
    record,
    usage_mesh,
)

#: By what groups are made, and what makes them.
GROUPINGS = {
    pb.API_USAGE_GROUPING_METHOD: lambda one: {"method": one.method},
    pb.API_USAGE_GROUPING_CALLER: lambda one: {"caller": one.caller},
    pb.API_USAGE_GROUPING_API_KEY: lambda one: {"api_key_id": one.api_key_id},
    pb.API_USAGE_GROUPING_DAY: lambda one: {"start_date": day_of(one).isoformat()},
    pb.API_USAGE_GROUPING_WEEK: lambda one: {
        "start_date": (day_of(one) - timedelta(days=day_of(one).weekday())).isoformat()
    },
}


@pytest.fixture
async def usage(shared_stats: Database) -> AsyncIterator[Usage]:
    with short_folder() as folder:
        async with usage_mesh(shared_stats, folder) as running:
            yield running


def day_of(one: log_pb.UsageRecord) -> Any:
    return datetime.fromtimestamp(milliseconds(one.start_time) / 1000, UTC).date()


async def ask(usage: Usage, **fields: Any) -> pb.GetApiUsageResponse:
    known: dict[str, Any] = {"start_date": "2026-11-01", "end_date": "2026-11-30", "top": 500}
    answer: pb.GetApiUsageResponse = await usage.stub.GetApiUsage(
        pb.GetApiUsageRequest(**known | fields), metadata=ADMIN
    )
    return answer


def percentile(durations: Sequence[int], percent: int) -> int:
    """As PostgreSQL's percentile_disc, from the rows themselves."""
    return sorted(durations)[math.ceil(len(durations) * percent / 100) - 1]


def check(found: pb.ApiUsage, rows: Sequence[log_pb.UsageRecord]) -> None:
    """A sum is what its rows come to."""
    ends = [(one.http_status, one.grpc_status) for one in rows]
    durations = [one.duration_us for one in rows]
    assert found.calls == len(rows)
    assert found.errors == sum(http >= 400 or grpc > 0 for http, grpc in ends)
    assert found.refused == sum(http == 429 or grpc == 8 for http, grpc in ends)
    assert found.failed == sum(http == 503 or grpc == 14 for http, grpc in ends)
    assert found.request_bytes == sum(one.request_bytes for one in rows)
    assert found.response_bytes == sum(one.response_bytes for one in rows)
    assert found.duration_max_us == max(durations)
    assert found.duration_average_us == sum(durations) // len(rows)
    for percent in (50, 95, 99):
        true = percentile(durations, percent)
        assert true <= getattr(found, f"duration_p{percent}_us") <= true + true // 32


@pytest.mark.parametrize(
    "group_by",
    [
        *([one] for one in GROUPINGS),
        [pb.API_USAGE_GROUPING_DAY, pb.API_USAGE_GROUPING_METHOD],
        [pb.API_USAGE_GROUPING_WEEK, pb.API_USAGE_GROUPING_CALLER],
        [pb.API_USAGE_GROUPING_METHOD, pb.API_USAGE_GROUPING_API_KEY],
    ],
)
async def test_sums_are_those_of_the_rows(usage: Usage, group_by: list[Any]) -> None:
    """Every group, by whatever they are made, and all of it; counted in many pages."""
    await usage.count(*random_records(2_000, seed=len(group_by)))
    answer = await ask(usage, group_by=group_by)
    rows: dict[tuple[Any, ...], list[log_pb.UsageRecord]] = {}
    for one in usage.log.records:
        names = {name: text for by in group_by for name, text in GROUPINGS[by](one).items()}
        rows.setdefault(tuple(sorted(names.items())), []).append(one)
    assert len(answer.groups) == len(rows)
    for group in answer.groups:
        fields = ("start_date", "method", "caller", "api_key_id")
        known = {name for key in rows for name, _ in key}
        mine = tuple(sorted((name, getattr(group, name)) for name in fields if name in known))
        check(group, rows[mine])
    check(answer.total, usage.log.records)
    assert answer.counted_until.ToMilliseconds() == usage.newest_ms()


async def test_filters_select_rows(usage: Usage) -> None:
    await usage.count(*random_records(2_000, seed=7))
    answer = await ask(usage, caller=MERCHANT_ID, api_key_id=KEY, method=METHODS[1])
    rows = [
        one
        for one in usage.log.records
        if (one.caller, one.api_key_id, one.method) == (MERCHANT_ID, KEY, METHODS[1])
    ]
    check(answer.total, rows)
    [group] = answer.groups
    check(group, rows)


async def test_whoever_dies_has_counted_nothing(
    usage: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process ends between counting and moving on: another goes on where the last transaction
    ended, and nothing is counted twice or missed. Two that run at the same time take turns.
    """
    usage.log.records = random_records(500, seed=3)
    assert await usage.follower.step()
    statements = dict(usage_follower._SQL)
    statements["move_position"] = (
        "SELECT pg_terminate_backend(pg_backend_pid())"
        " WHERE $1::bigint > 0 AND $2::timestamptz IS NOT NULL"
    )
    monkeypatch.setattr(usage_follower, "_SQL", statements)
    with pytest.raises(Exception, match=r"terminat|closed"):
        await usage.follower.step()
    monkeypatch.undo()
    assert (await ask(usage)).total.calls == 100
    usage.log.page = 7

    async def follow() -> None:
        while await usage.follower.step():
            pass

    await asyncio.gather(*(follow() for _ in range(3)))
    check((await ask(usage)).total, usage.log.records)


async def test_nothing_is_held_while_the_log_is_asked(
    usage: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who was overtaken meanwhile counts nothing."""
    usage.log.records = random_records(150, seed=5)
    ask_log, others = usage.log.after, [usage.follower]

    async def after(place: int) -> log_pb.FollowUsageResponse:
        assert usage.pool.get_idle_size() == usage.pool.get_size()
        answer = await ask_log(place)
        if others:
            assert await others.pop().step()
        return answer

    monkeypatch.setattr(usage.log, "after", after)
    assert await usage.follower.step(), "there is more"
    assert (await ask(usage)).total.calls == 100
    assert not await usage.follower.step()
    check((await ask(usage)).total, usage.log.records)


async def test_a_log_that_is_away_is_asked_again(usage: Usage) -> None:
    usage.log.records = [record()]
    usage.log.down = True
    with pytest.raises(Exception, match="UNAVAILABLE"):
        await usage.follower.step()
    usage.log.down = False
    assert not await usage.follower.step()
    assert not await usage.follower.step(), "there is nothing new"
    assert (await ask(usage)).total.calls == 1


async def test_days_are_forgotten_in_time(usage: Usage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What callers did sooner than what all of them did."""
    monkeypatch.setattr(usage_follower, "FORGET_BATCH", 2)
    await usage.count(
        *(record(start_ms=NOON_MS - days * DAY_MS, method=str(days)) for days in range(40))
    )
    await usage.follower.forget()
    kept = dict(
        await usage.pool.fetch("SELECT everybody, count(*) FROM api_usage GROUP BY everybody")
    )
    assert kept == {True: 31, False: 11}
    await usage.follower.forget()
    usage.clock.advance(DAY_MS)
    await usage.follower.forget()
    assert await usage.pool.fetchval("SELECT count(*) FROM api_usage") == 40
