"""Follows the usage log: each request is counted once.

The position stands in our own schema and moves in the transaction that counts: who dies in between
has counted nothing. Several processes may follow; they take turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from holdfast.gateway.v1 import usage_service_pb2 as log_pb
from holdfast.gateway.v1.usage_service_pb2_grpc import UsageServiceStub
from runtime.clock import Clock, datetime_of
from runtime.follower import follow_for_ever
from runtime.metrics import STATS_USAGE_LAG
from runtime.queries import load_queries
from runtime.validate import milliseconds
from stats.usage_fold import Key, Request, Sum, fold

if TYPE_CHECKING:
    import asyncpg

#: How often is looked when there was nothing new: rows of one caller that come together are one.
POLL_S = 5.0
CALL_TIMEOUT_S = 5.0
#: How often is looked for what is too old, and how much of that goes at once.
FORGET_INTERVAL_S = 3_600.0
FORGET_BATCH = 5_000

_SQL = load_queries(Path(__file__).with_name("sql") / "usage.sql")


class UsageLog(Protocol):
    """What gateway knows."""

    async def after(self, place: int) -> log_pb.FollowUsageResponse:
        """Requests as they were written."""
        ...


class GatewayClient:
    """What gateway knows."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = UsageServiceStub(channel)

    async def after(self, place: int) -> log_pb.FollowUsageResponse:
        """Requests as they were written."""
        request = log_pb.FollowUsageRequest(after=place)
        answer: log_pb.FollowUsageResponse = await self._stub.FollowUsage(
            request, timeout=CALL_TIMEOUT_S
        )
        return answer

    async def merchant_of(self, user_id: str) -> str:
        """The merchant that a user works for; empty: none."""
        request = log_pb.FindMerchantRequest(user_id=user_id)
        answer: log_pb.FindMerchantResponse = await self._stub.FindMerchant(
            request, timeout=CALL_TIMEOUT_S
        )
        return answer.merchant_id


class UsageFollower:
    """Asks for what was logged, counts it, and forgets what is too old."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        log: UsageLog,
        clock: Clock,
        *,
        retention_days: int,
        caller_retention_days: int,
    ) -> None:
        self._pool = pool
        self._log = log
        self._clock = clock
        #: By whether it is everybody's.
        self._retention_days = {True: retention_days, False: caller_retention_days}
        self._forget_at_s = 0.0

    async def run(self) -> None:
        """For ever; no failure ends it."""
        await follow_for_ever(
            self._round, poll_s=POLL_S, unknown="usage_unknown", failed="usage_follower_failed"
        )

    async def step(self) -> bool:
        """Counts one page; True if there is more. Nothing is locked while gateway is asked."""
        place = await self._pool.fetchval(_SQL["select_position"])
        answer = await self._log.after(place)
        if not answer.records:
            return False
        found = fold(_request(one) for one in answer.records)
        # In one order: whoever else adds to the same rows waits, instead of for each other.
        rows = [_row(key, found[key]) for key in sorted(found)]
        last_ms = max(milliseconds(one.start_time) for one in answer.records)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["take_turn"])
            if await connection.fetchval(_SQL["select_position"]) != place:
                # Somebody else was faster: these were counted.
                return True
            await connection.executemany(_SQL["add_usage"], rows)
            await connection.execute(_SQL["move_position"], answer.reached, datetime_of(last_ms))
        STATS_USAGE_LAG.set(max(self._clock.now_ms() - last_ms, 0) / 1000)
        return answer.more

    async def _round(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._forget_at_s:
            await self.forget()
            self._forget_at_s = now_s + FORGET_INTERVAL_S
        return await self.step()

    async def forget(self) -> None:
        """Removes days that are too old."""
        today = datetime_of(self._clock.now_ms()).astimezone(UTC).date()
        for everybody, days in self._retention_days.items():
            first = today - timedelta(days=days)
            gone = "DELETE"
            while gone != "DELETE 0":
                gone = await self._pool.execute(
                    _SQL["forget_usage"], everybody, first, FORGET_BATCH
                )


def _request(one: log_pb.UsageRecord) -> Request:
    start_time = datetime.fromtimestamp(milliseconds(one.start_time) / 1000, UTC)
    return Request(
        day=start_time.date(),
        method=one.method,
        caller=one.caller,
        api_key_id=one.api_key_id,
        http_status=one.http_status,
        grpc_status=one.grpc_status if one.HasField("grpc_status") else None,
        request_bytes=one.request_bytes,
        response_bytes=one.response_bytes,
        duration_us=one.duration_us,
    )


def _row(key: Key, total: Sum) -> Sequence[Any]:
    numbers = sorted(total.ranges)
    return (
        *key,
        total.calls,
        total.errors,
        total.refused,
        total.failed,
        total.request_bytes,
        total.response_bytes,
        total.duration_us,
        total.longest_us,
        numbers,
        [total.ranges[one] for one in numbers],
    )
