"""kill -9 of stats while it counts and while it closes periods: nothing twice, nothing missed.

Method: a mesh with two stats processes; purchases and refunds of past days go through it while one
or the other is killed, also in the middle of a transaction, in front of a table that we hold. Then
every day is held against what was sent and against the ledger, every closed period against its
days, and counting again finds the same.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import asyncpg
import pytest

from authz.outcome import EntryType
from holdfast.stats.v1 import stat_pb2 as pb
from runtime.cli.stats import rebuild_stats
from runtime.devstack.services import ServiceSpec
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import connect
from runtime.replay.rows import Row
from runtime.replay.sending import Sender
from tests.databases import held

INSTANCES = ("stats", "stats-second")
CARDS = 12
DAYS = 24
ROWS = 1_500
#: How long counting or closing may take once nobody is killed any more.
PATIENCE_S = 90.0
LOOK_S = 0.05
#: Whoever waits in front of a table that is held is in the middle of its transaction.
_WAITING = (
    "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " WHERE NOT l.granted AND c.relname = $1"
)
_COUNTED = "SELECT coalesce(sum(pseq), 0)::bigint FROM stats.ledger_position"
_SETTLED = "SELECT coalesce(sum(position), 0)::bigint FROM authz.partition"
_LEDGER = (
    "SELECT type, count(*) AS number, sum(amount_minor)::bigint AS minor FROM authz.journal_entry"
    " WHERE account_id IS NOT NULL GROUP BY type"
)
_TOTALS = (
    "SELECT day, sum(purchase_count)::bigint, sum(purchase_minor)::bigint,"
    " sum(refund_count)::bigint, sum(refund_minor)::bigint FROM stats.live_total"
    " WHERE subject_id = 'prog_standard' GROUP BY day"
)
#: Periods that are said to be closed, and of which nothing is kept.
_NOT_CLOSED = (
    "SELECT DISTINCT t.subject_id, t.day FROM stats.live_total t, stats.closing c"
    " WHERE c.type = 'DAY' AND t.day < c.closed_until AND t.subject_id ~ '^(acct|prog)_'"
    " AND NOT EXISTS (SELECT FROM stats.stat s WHERE s.subject_id = t.subject_id"
    " AND s.type = 'DAY' AND s.start_date = t.day AND s.currency = t.currency)"
)
_LAST_VERSIONS = (
    "SELECT DISTINCT ON (subject_id, type, start_date, currency) subject_id, body FROM stats.stat"
    " ORDER BY subject_id, type, start_date, currency, version DESC"
)
_DAYS_OF = (
    "SELECT coalesce(sum(purchase_count), 0)::bigint, coalesce(sum(purchase_minor), 0)::bigint,"
    " coalesce(sum(refund_count), 0)::bigint, coalesce(sum(refund_minor), 0)::bigint"
    " FROM stats.live_total WHERE subject_id = $1 AND day BETWEEN $2 AND $3 AND currency = $4"
)


def _two_of_stats(settings: StackSettings) -> Plan:
    whole = Plan.whole_mesh(settings, first_port=0)
    second = ServiceSpec(instance=INSTANCES[1], arguments=("-m", "stats"), niceness=10)
    return replace(whole, services=(*whole.services, second))


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Devstack]:
    with pytest.MonkeyPatch.context() as patch:
        # What comes in for a closed period makes another version at once.
        patch.setenv("HOLDFAST_STATS_CORRECTION_DELAY_S", "0")
        async with temporary_mesh(_two_of_stats) as stack:
            yield stack


@pytest.fixture
async def owner(stack: Devstack) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(stack.owner_dsn)
    yield connection
    await connection.close()


class Town:
    """Sends purchases, and knows what they come to."""

    def __init__(self, stack: Devstack) -> None:
        self._stack = stack
        self._chance = random.Random(11)
        self._today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._lines = itertools.count(2)
        self._runs = itertools.count(1)
        self.days: dict[date, Counter[str]] = {}

    def rows(self, count: int, *, days_ago: tuple[int, int] = (4, 4 + DAYS)) -> list[Row]:
        """Any card, any of these days."""
        found = []
        for _ in range(count):
            amount = self._chance.randrange(1, 50_000) * self._chance.choice((1, 1, 1, -1))
            day = self._today - timedelta(days=self._chance.randrange(*days_ago))
            one = self.days.setdefault(day.date(), Counter())
            one["refunds" if amount < 0 else "purchases"] += 1
            one["refund_minor" if amount < 0 else "purchase_minor"] += abs(amount)
            found.append(
                Row(
                    line=next(self._lines),
                    time=day + timedelta(hours=12),
                    card_last4=f"{self._chance.randrange(CARDS):04}",
                    merchant=f"shop {self._chance.randrange(20)}",
                    amount_minor=amount,
                    currency="USD",
                    original_amount_minor=amount,
                    original_currency="USD",
                )
            )
        return found

    async def send(self, rows: list[Row]) -> None:
        """Each row, whoever dies meanwhile."""
        async with connect(self._stack.settings, self._stack.ports) as mesh:
            sender = Sender(
                mesh,
                run_id=f"town-{next(self._runs)}",
                credit_limit=Decimal(1_000_000),
                rate=None,
                on_bad=lambda _: None,
            )
            await sender.run(rows)
            assert (sender.tally.declined, sender.tally.bad_rows) == (0, 0)


@pytest.fixture(scope="module")
def town(stack: Devstack) -> Town:
    return Town(stack)


async def until(found: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Looks until there is something."""
    end = time.monotonic() + PATIENCE_S
    while not (one := await found()):
        assert time.monotonic() < end, what
        await asyncio.sleep(LOOK_S)
    return one


async def kill_in_front_of(stack: Devstack, owner: Any, table: str) -> None:
    """Both processes, while one of them at least is in the middle of its transaction."""
    async with held(stack.owner_dsn, f"stats.{table}"):
        await until(lambda: owner.fetchval(_WAITING, table), f"nobody writes {table}")
        for instance in INSTANCES:
            stack.kill(instance)
        await asyncio.sleep(0.2)
    await stack.wait_ready(timeout_s=60)


async def counted(owner: Any) -> bool:
    return bool(await owner.fetchval(_SETTLED) == await owner.fetchval(_COUNTED))


async def check_counted(stack: Devstack, owner: Any, town: Town) -> None:
    """Everything that was sent, once; and so says the ledger."""
    await until(lambda: counted(owner), "not everything is counted")
    names = ("purchases", "purchase_minor", "refunds", "refund_minor")
    rows = await owner.fetch(_TOTALS)
    found = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
    assert found == {day: {name: one[name] for name in names} for day, one in town.days.items()}
    ledger = {row["type"]: (row["number"], row["minor"]) for row in await owner.fetch(_LEDGER)}
    for kind, count, minor in (
        (EntryType.CAPTURE, "purchases", "purchase_minor"),
        (EntryType.REFUND, "refunds", "refund_minor"),
    ):
        every = found.values()
        assert ledger[kind] == (
            sum(one[count] for one in every),
            sum(one[minor] for one in every),
        )
    rebuilt = await rebuild_stats(stack.settings)
    assert rebuilt.differences == ()
    assert rebuilt.entries == await owner.fetchval(_COUNTED)


@pytest.mark.timeout(240)
async def test_killed_while_it_counts(stack: Devstack, owner: Any, town: Town) -> None:
    sending = asyncio.create_task(town.send(town.rows(ROWS)))
    try:
        await kill_in_front_of(stack, owner, "live_cell")
        for number in range(6):
            before = await owner.fetchval(_COUNTED)
            if sending.done():
                await town.send(town.rows(200))
            await until(partial(_grown, owner, before), "nobody counts")
            stack.kill(INSTANCES[number % 2])
        await stack.wait_ready(timeout_s=60)
    finally:
        await sending
    await check_counted(stack, owner, town)


async def _grown(owner: Any, before: int) -> bool:
    return bool(await owner.fetchval(_COUNTED) > before)


@pytest.mark.timeout(240)
async def test_killed_while_it_closes(stack: Devstack, owner: Any, town: Town) -> None:
    """And while more comes in for what is closed."""
    # Whether the first closing is over by now or not: there is something to close.
    await town.send(town.rows(60))
    await kill_in_front_of(stack, owner, "stat")
    for number in range(3):
        kept = await owner.fetchval("SELECT count(*) FROM stats.stat")
        await town.send(town.rows(60))
        await until(partial(_kept_more, owner, kept), "nobody closes")
        for instance in INSTANCES[: 1 + number % 2]:
            stack.kill(instance)
        await stack.wait_ready(timeout_s=60)
    await check_counted(stack, owner, town)
    await until(lambda: _all_closed(owner), "not everything is closed")
    await check_closed(owner)


async def _kept_more(owner: Any, kept: int) -> bool:
    return bool(await owner.fetchval("SELECT count(*) FROM stats.stat") > kept)


async def _all_closed(owner: Any) -> bool:
    """Up to the day before yesterday; and nothing is left that has come in since."""
    rows = await owner.fetch("SELECT type, closed_until, done_until FROM stats.closing")
    soon = datetime.now(UTC).date() - timedelta(days=1)
    days = {row["type"]: row["closed_until"] for row in rows if row["done_until"] is None}
    left = await owner.fetchval("SELECT count(*) FROM stats.reopened")
    return len(days) == len(pb.PeriodType.values()) - 1 and days["DAY"] >= soon and not left


async def check_closed(owner: Any) -> None:
    """Goal: each closed period is kept, its versions are numbered without a gap, each differs from
    the one before, and the last is what the days come to.
    """
    assert await owner.fetch(_NOT_CLOSED) == []
    versions = await owner.fetch(
        "SELECT subject_id, array_agg(version ORDER BY version) AS versions,"
        " array_agg(body ORDER BY version) AS bodies FROM stats.stat"
        " GROUP BY subject_id, type, start_date, currency"
    )
    for row in versions:
        assert row["versions"] == list(range(1, len(row["versions"]) + 1))
        assert all(one != two for one, two in itertools.pairwise(row["bodies"]))
    assert any(len(row["versions"]) > 1 for row in versions), "nothing came in late"
    for row in await owner.fetch(_LAST_VERSIONS):
        stats = pb.PeriodStats.FromString(row["body"])
        start, end = (date.fromisoformat(day) for day in (stats.start_date, stats.end_date))
        sums = await owner.fetchrow(_DAYS_OF, row["subject_id"], start, end, stats.currency_code)
        totals = stats.totals
        assert tuple(sums) == (
            totals.purchases.count,
            totals.purchases.amount.amount_minor,
            totals.refunds.count,
            totals.refunds.amount.amount_minor,
        )
