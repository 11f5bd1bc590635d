"""Processes look for work several times a second, and nearly always there is none: then each look
is one question, and nothing is locked for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import pytest

from accounts.billing.biller import Biller
from accounts.disputes.store import Disputes
from holdfast.authz.v1 import ledger_service_pb2 as ledger
from holdfast.type.v1.feed_event_pb2 import FeedEvent
from notify.sources import Feed
from runtime.clock import ManualClock
from runtime.events.outbox import EventOutbox
from runtime.follower import Follower
from runtime.outbox import Outbox, Row
from runtime.postgres import connect_pool
from tests.accounts_mesh import short_folder
from tests.databases import Database

Look = Callable[[asyncpg.Pool], Awaitable[object]]


async def _unwanted(*_: Any) -> None:
    raise AssertionError("there is nothing to take")


async def _events(pool: asyncpg.Pool) -> object:
    return await EventOutbox(pool).after(0, limit=10)


async def _deliver(pool: asyncpg.Pool) -> object:
    async def deliver(row: Row) -> None:
        raise AssertionError(row)

    return (await Outbox(pool, deliver).deliver_due()).pending


async def _bill(pool: asyncpg.Pool) -> object:
    now_ms = ManualClock().now_ms()
    biller = Biller(pool, known_ms=lambda: now_ms, delay_ms=0, committed=lambda: None)
    return await biller.work_due()


async def _overdue(pool: asyncpg.Pool) -> object:
    return await Disputes(pool).has_overdue(now_ms=ManualClock().now_ms())


@pytest.mark.parametrize("look", [_events, _deliver, _bill, _overdue])
async def test_who_finds_nothing_has_asked_once(database: Database, look: Look) -> None:
    async with _counted(database, "accounts") as (pool, asked):
        for _ in range(2):
            asked.clear()
            assert not await look(pool)
    assert len(asked) == 1, asked


async def test_a_feed_that_has_nothing_is_asked_outside_of_any_transaction(
    database: Database,
) -> None:
    async def ask(number: int) -> tuple[Sequence[FeedEvent], bool]:
        assert (number, pool.get_idle_size()) == (0, pool.get_size())
        return (), False

    async with _counted(database, "notify") as (pool, asked):
        intake: Any = None
        feed = Feed(pool, intake, source="accounts", ask=ask)
        for _ in range(2):
            asked.clear()
            assert not await feed.step()
    assert len(asked) == 1, asked


async def test_a_ledger_that_has_nothing_is_asked_outside_of_any_transaction(
    database: Database,
) -> None:
    async def answer(request: ledger.FollowEntriesRequest, _: Any) -> ledger.FollowEntriesResponse:
        assert (len(request.after) > 0, pool.get_idle_size()) == (True, pool.get_size())
        return ledger.FollowEntriesResponse()

    async with _counted(database, "accounts") as (pool, asked), _served(answer) as channel:
        follower = Follower(pool, channel, _unwanted)
        for _ in range(2):
            asked.clear()
            assert not await follower.step()
    assert len(asked) == 1, asked


@asynccontextmanager
async def _counted(
    database: Database, service: str
) -> AsyncIterator[tuple[asyncpg.Pool, list[str]]]:
    """A pool of one connection, and the statements that it was given."""
    asked: list[str] = []
    async with await connect_pool(database.settings, service, max_size=1) as pool:
        async with pool.acquire() as connection:
            connection.add_query_logger(lambda one: asked.append(one.query))
        yield pool, asked


@asynccontextmanager
async def _served(follow: Callable[..., Awaitable[Any]]) -> AsyncIterator[grpc.aio.Channel]:
    """A ledger that is only followed."""
    handler = grpc.unary_unary_rpc_method_handler(
        follow,
        request_deserializer=ledger.FollowEntriesRequest.FromString,
        response_serializer=ledger.FollowEntriesResponse.SerializeToString,
    )
    with short_folder() as folder:
        socket = folder / "ledger.sock"
        server = grpc.aio.server()
        server.add_registered_method_handlers(
            "holdfast.authz.v1.LedgerService", {"FollowEntries": handler}
        )
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            yield channel
        await server.stop(0)
