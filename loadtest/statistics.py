"""Scenario: statistics while purchases go on, and a month of an account that has very many.

How far counting is behind is seen from outside: from when the authorizer has written an entry until
PostgreSQL shows that it is counted. What it costs is what the kernel says of the process.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from holdfast.accounts.v1 import account_service_pb2
from holdfast.authz.v1 import authorization_pb2, ledger_pb2
from holdfast.stats.v1 import stat_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from loadtest.authorize import opened
from loadtest.errors import BenchFailedError, BooksError
from loadtest.mesh import LIMIT_MINOR, Mesh, open_mesh
from loadtest.messages import CURRENCY
from loadtest.percentiles import Latency
from loadtest.processes import used_between
from loadtest.session import Session
from runtime.channel import unix_channel
from runtime.cli.stats import rebuild_stats
from runtime.clock import SystemClock, datetime_of, ms_of
from runtime.mesh_client import MeshClient, connect
from runtime.postgres import connect_pool
from runtime.queries import load_queries
from runtime.tasks import end
from runtime.validate import timestamp
from stats.intake import Intake
from stats.sources import AccountsClient

#: What is asked for: purchases per second, and what of that is promised.
RATE = 2_000
LAG_P99_MAX_MS = 5_000
CPU_MAX_US = 40
READ_P95_MAX_MS = 20
#: Transactions of the large account in its month, at so many merchants.
TRANSACTIONS = 100_000
MERCHANTS = 300
READS = 100
_DAYS = 28
_PAGE = 1_000
#: How exactly the lag is known.
_LOOK_S = 0.05
_PATIENCE_S = 60.0
_STATS = "stats"
_OWNER = "usr_0a" + "7" * 32

_SQL = load_queries(Path(__file__).with_name("sql") / "statistics.sql")


async def statistics(session: Session) -> None:
    """Counting at a rate, counting again, reading."""
    options = session.options
    async with open_mesh(workers=options.workers) as mesh:
        cards = await opened(session, mesh, options.accounts)
        found = await _counting(session, mesh, cards)
        await session.check_books(mesh, "statistics")
        began = time.perf_counter()
        rebuilt = await rebuild_stats(mesh.stack.settings)
        if rebuilt.differences:
            raise BooksError(f"statistics: {rebuilt.differences[:3]}")
        seconds = time.perf_counter() - began
        found["again"] = {
            "entries": rebuilt.entries,
            "seconds": round(seconds, 2),
            "rate": round(rebuilt.entries / seconds),
            "differences": 0,
        }
        session.say(
            f"statistics: {rebuilt.entries:,} entries counted again in {seconds:.1f} s,"
            " 0 differences"
        )
        found["read"] = await _reading(session, mesh)
    session.document["statistics"] = found


class _Watch:
    """How far counting is, looked at again and again."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        #: By partition: how far it was, and when it was seen to be there.
        self._seen: dict[int, tuple[list[int], list[float]]] = {}

    async def look(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await self.look_once()
            await asyncio.sleep(_LOOK_S)

    async def look_once(self) -> None:
        """One look."""
        rows = await self._connection.fetch(_SQL["positions"])
        now_s = SystemClock().now_ms() / 1000
        for row in rows:
            pseqs, moments = self._seen.setdefault(row["partition"], ([], []))
            if not pseqs or pseqs[-1] < row["pseq"]:
                pseqs.append(row["pseq"])
                moments.append(now_s)

    def counted_s(self, partition: int, pseq: int) -> float:
        """When an entry was seen to be counted."""
        pseqs, moments = self._seen[partition]
        return moments[bisect_left(pseqs, pseq)]


async def _counting(session: Session, mesh: Mesh, cards: Sequence[str]) -> dict[str, Any]:
    options = session.options
    connection = await asyncpg.connect(mesh.stack.owner_dsn)
    looking = await asyncpg.connect(mesh.stack.owner_dsn)
    lags, cpu_us, others = list[float](), list[float](), list[dict[str, int]]()
    entries = 0
    try:
        await mesh.purchase(cards, steps=((RATE, options.warmup_s),))
        await _counted(connection)
        for _ in range(options.runs):
            watch = _Watch(looking)
            await watch.look_once()
            first = await connection.fetch(_SQL["positions"])
            before = mesh.processes.cpu_s()
            task = asyncio.create_task(watch.look())
            run = await mesh.purchase(cards, steps=((RATE, options.seconds),))
            await _counted(connection)
            used = used_between(before, mesh.processes.cpu_s())
            await end(task)
            await watch.look_once()
            rows = await connection.fetch(
                _SQL["recorded"],
                [row["partition"] for row in first],
                [row["pseq"] for row in first],
            )
            lags += [
                watch.counted_s(row["partition"], row["pseq"]) - row["recorded_s"] for row in rows
            ]
            entries += len(rows)
            cpu_us.append(used[_STATS] * 1e6 / len(rows))
            others.append({name: round(one * 1e6 / len(rows)) for name, one in used.items()})
            session.say(
                f"statistics at {run.rate_per_s:,.0f}/s: {len(rows):,} entries,"
                f" stats {cpu_us[-1]:.1f} µs of CPU each"
            )
    finally:
        await connection.close()
        await looking.close()
    lag = Latency.of(lags)
    used_us = sorted(cpu_us)[len(cpu_us) // 2]
    session.say(
        f"statistics lag: p50 {lag.p50_ms:,.0f}  p99 {lag.p99_ms:,.0f}  max {lag.max_ms:,.0f} ms;"
        f" CPU µs per entry {used_us:.1f}"
    )
    return {
        "rate": RATE,
        "entries": entries,
        "lag": asdict(lag),
        "lag_holds": lag.p99_ms < LAG_P99_MAX_MS,
        "cpu_us_per_entry": round(used_us, 1),
        "cpu_holds": used_us <= CPU_MAX_US,
        "cpu_us": others,
    }


async def _counted(connection: Any) -> None:
    """Returns once everything that is settled is counted."""
    until = time.monotonic() + _PATIENCE_S
    while left := await connection.fetchval(_SQL["uncounted"]):
        if time.monotonic() > until:
            raise BenchFailedError(f"{left} entries are not counted after {_PATIENCE_S:.0f} s")
        await asyncio.sleep(_LOOK_S)


async def _reading(session: Session, mesh: Mesh) -> dict[str, Any]:
    """A month of an account with very many transactions, through Envoy, one call at a time."""
    async with connect(mesh.stack.settings, mesh.stack.ports) as client:
        opening = account_service_pb2.OpenAccountRequest(
            request_id="statistics",
            owner_id=_OWNER,
            credit_limit=Money(currency_code=CURRENCY, amount_minor=LIMIT_MINOR),
        )
        account = (await client.accounts.OpenAccount(opening)).account
        month = (
            datetime_of(SystemClock().now_ms()).date().replace(day=1) - timedelta(days=1)
        ).replace(day=1)
        await _fill(mesh, account.id, month)
        every = [one for one in pb.Dimension.values() if one]
        found: dict[str, Any] = {
            "transactions": TRANSACTIONS,
            "merchants": MERCHANTS,
            "plain": await _read(client, account.id, month),
            "by_category": await _read(
                client, account.id, month, breakdowns=[pb.DIMENSION_CATEGORY]
            ),
            "by_everything": await _read(client, account.id, month, breakdowns=every),
        }
    found["holds"] = found["plain"]["p95_ms"] < READ_P95_MAX_MS
    session.say(
        f"statistics: a month with {TRANSACTIONS:,} transactions, p95: plain"
        f" {found['plain']['p95_ms']:.1f} ms, by category {found['by_category']['p95_ms']:.1f} ms,"
        f" by all {len(every)} dimensions {found['by_everything']['p95_ms']:.1f} ms"
    )
    return found


async def _fill(mesh: Mesh, account_id: str, month: date) -> None:
    """Has stats' own code count entries that the ledger does not have: sending them would take
    minutes, and what is read is the same.
    """
    settings = mesh.stack.settings
    async with (
        await connect_pool(settings, _STATS, max_size=1) as pool,
        unix_channel(settings.egress_socket(_STATS)) as channel,
    ):
        intake = Intake(AccountsClient(channel), SystemClock())
        for start in range(0, TRANSACTIONS, _PAGE):
            page = [_entry(account_id, month, number) for number in range(start, start + _PAGE)]
            async with pool.acquire() as connection, connection.transaction():
                await intake.take(connection, page)


def _entry(account_id: str, month: date, number: int) -> ledger_pb2.Entry:
    day = datetime(month.year, month.month, 1 + number % _DAYS, 12, tzinfo=UTC)
    shop = number * 7 % MERCHANTS
    return ledger_pb2.Entry(
        id=f"ent_{account_id[5:7]}{number:032x}",
        partition=int(account_id[5:7], 16),
        pseq=number + 1,
        type=ledger_pb2.Entry.TYPE_FORCE_POST,
        account_id=account_id,
        card_id=f"card_{account_id[5:]}",
        user_id=_OWNER,
        programme_id="prog_bench",
        amount=Money(currency_code=CURRENCY, amount_minor=100 + number % 9_000),
        posted=Money(currency_code=CURRENCY),
        merchant=authorization_pb2.Merchant(
            id=f"m-{shop}",
            descriptor=f"Shop {shop}",
            category_code=f"{5_400 + shop % 40}",
            country_code=("US", "GB", "DE")[shop % 3],
        ),
        effective_time=timestamp(ms_of(day)),
        record_time=timestamp(ms_of(day)),
    )


async def _read(client: MeshClient, account_id: str, month: date, **fields: Any) -> dict[str, Any]:
    request = rpc.GetMonthlyStatsRequest(
        subject_id=account_id, start_date=month.isoformat(), **fields
    )
    seconds = []
    for _ in range(READS):
        began = time.perf_counter()
        (found,) = (await client.stats.GetMonthlyStats(request, timeout=10)).periods
        seconds.append(time.perf_counter() - began)
        if found.totals.purchases.count != TRANSACTIONS:
            raise BooksError(f"statistics: {found.totals.purchases} of {TRANSACTIONS}")
    return asdict(Latency.of(seconds))
