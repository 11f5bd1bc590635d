"""A usage log that is put in by hand, and what counts it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc

from holdfast.gateway.v1 import usage_service_pb2 as log_pb
from holdfast.stats.v1 import api_usage_service_pb2_grpc as usage_grpc
from holdfast.stats.v1.api_usage_service_pb2_grpc import (
    ApiUsageServiceStub,
    add_ApiUsageServiceServicer_to_server,
)
from runtime.channel import unix_channel
from runtime.clock import ManualClock
from runtime.postgres import connect_pool
from runtime.server import Server
from runtime.validate import milliseconds, timestamp
from stats.usage_follower import UsageFollower
from stats.usage_service import ApiUsageService
from stats.usage_store import UsageStore
from tests.databases import Database
from tests.stats_mesh import NOON, USER

NOON_MS = int(NOON.timestamp() * 1000)
DAY_MS = 86_400_000
MERCHANT_ID, OTHER_MERCHANT_ID = "mer_demo", "mer_other"
KEY, OTHER_KEY = "key_0a" + "6" * 32, "key_0b" + "6" * 32
METHODS = tuple(f"/holdfast.authz.v1.AuthorizationService/{name}" for name in ("A", "B", "C"))


def record(**fields: Any) -> log_pb.UsageRecord:
    """A request at noon."""
    start_ms = fields.pop("start_ms", NOON_MS)
    known: dict[str, Any] = {
        "method": METHODS[0],
        "http_status": 200,
        "caller": MERCHANT_ID,
        "duration_us": 100,
    }
    return log_pb.UsageRecord(start_time=timestamp(start_ms), **known | fields)


def random_records(number: int, *, seed: int) -> list[log_pb.UsageRecord]:
    """Requests of two weeks, most of them fast."""
    chance = random.Random(seed)
    found = []
    for _ in range(number):
        one = record(
            start_ms=NOON_MS - chance.randrange(14 * DAY_MS),
            method=chance.choice((*METHODS, "")),
            caller=chance.choice((MERCHANT_ID, OTHER_MERCHANT_ID, USER, "")),
            api_key_id=chance.choice(("", KEY, OTHER_KEY)),
            http_status=chance.choices((200, 404, 429, 503), (90, 4, 4, 2))[0],
            duration_us=int(chance.lognormvariate(9, 1.5)),
            request_bytes=chance.randrange(1_000),
            response_bytes=chance.randrange(10_000),
        )
        if chance.random() < 0.5:
            one.grpc_status = chance.choices((0, 5, 8, 14), (90, 4, 4, 2))[0]
        found.append(one)
    return found


@dataclass
class FakeLog:
    """What gateway would say."""

    records: list[log_pb.UsageRecord] = field(default_factory=list)
    page: int = 100
    merchants: dict[str, str] = field(default_factory=dict)
    down: bool = False

    async def after(self, place: int) -> log_pb.FollowUsageResponse:
        self._check()
        found = self.records[place : place + self.page]
        reached = place + len(found)
        return log_pb.FollowUsageResponse(
            records=found, reached=reached, more=reached < len(self.records)
        )

    async def merchant_of(self, user_id: str) -> str:
        self._check()
        return self.merchants.get(user_id, "")

    def _check(self) -> None:
        if self.down:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
            )


@dataclass
class Usage:
    """A running ApiUsageService on a log that is put in by hand."""

    pool: asyncpg.Pool
    clock: ManualClock
    log: FakeLog
    follower: UsageFollower
    stub: usage_grpc.ApiUsageServiceAsyncStub

    async def count(self, *records: log_pb.UsageRecord) -> None:
        """Everything in the log is counted."""
        self.log.records += records
        while await self.follower.step():
            pass

    def newest_ms(self) -> int:
        return max(milliseconds(one.start_time) for one in self.log.records)


@asynccontextmanager
async def usage_mesh(database: Database, folder: Path) -> AsyncIterator[Usage]:
    """Starts the service on empty tables."""
    clock, log = ManualClock(NOON_MS), FakeLog()
    socket = folder / "usage.a.sock"
    async with (
        await connect_pool(database.settings, "stats") as pool,
        unix_channel(socket) as channel,
    ):
        await pool.execute("TRUNCATE api_usage")
        await pool.execute("UPDATE usage_position SET place = 0, counted_until = NULL")
        server = Server(socket)
        add_ApiUsageServiceServicer_to_server(
            ApiUsageService(UsageStore(pool), log.merchant_of), server.services
        )
        await server.start([])
        try:
            follower = UsageFollower(pool, log, clock, retention_days=30, caller_retention_days=10)
            yield Usage(pool, clock, log, follower, ApiUsageServiceStub(channel))
        finally:
            await server.grpc_server.stop(0)
