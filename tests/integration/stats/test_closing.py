"""Closed periods: immutable, numbered, the same when closed again; what comes later is another
version.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from holdfast.authz.v1 import authorization_pb2 as authz
from holdfast.stats.v1 import stat_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from runtime.clock import datetime_of
from stats import closer, store
from stats.closer import Closer
from stats.intake import Intake
from stats.period import SUNDAY, PeriodType
from stats.service import StatsService
from stats.store import StatsStore
from stats.subjects import Subjects
from tests.stats_mesh import (
    ACCOUNT,
    ADMIN,
    CARD,
    COMPANY,
    MANAGER,
    NOON,
    OTHER_ACCOUNT,
    PROGRAMME,
    StatsMesh,
)

DAY = timedelta(days=1)
DAY_MS = 86_400_000
SHOP = authz.Merchant(id="m-1", descriptor="Shop", category_code="5411", country_code="GB")


async def listed(mesh: StatsMesh, subject_id: str, **fields: Any) -> list[pb.Stat]:
    request = rpc.ListStatsRequest(subject_id=subject_id, **fields)
    return list((await mesh.stats.ListStats(request, metadata=ADMIN)).stats)


def told(stats: list[pb.Stat]) -> list[tuple[str, int, int]]:
    return [
        (one.stats.start_date, one.version, one.stats.totals.purchases.amount.amount_minor)
        for one in stats
    ]


async def test_a_day_is_closed_when_it_is_over_everywhere(mesh: StatsMesh) -> None:
    await mesh.take(mesh.book.entry("FORCE_POST", 40, merchant=SHOP))
    await mesh.closer.close_due()
    # From noon: twelve hours to midnight, twelve to the last timezone, six to wait.
    mesh.clock.advance(30 * 3_600_000 - 1)
    await mesh.closer.close_due()
    assert await listed(mesh, ACCOUNT) == []
    mesh.clock.advance(1)
    await mesh.closer.close_due()
    (found,) = await listed(mesh, ACCOUNT)
    assert (found.version, found.subject_id) == (1, ACCOUNT)
    assert found.id.startswith("stat_0a")
    assert found.stats == (await mesh.daily(ACCOUNT, "2026-11-20"))[0]
    answer = await mesh.stats.GetStat(rpc.GetStatRequest(stat_id=found.id), metadata=MANAGER)
    assert answer.stat == found


async def test_every_length_and_subject(mesh: StatsMesh) -> None:
    await mesh.take(mesh.book.entry("FORCE_POST", 40, merchant=SHOP))
    mesh.clock.advance(40 * DAY_MS)
    await mesh.closer.close_due()
    kinds = ["MONTH", "WEEK", "DAY"]
    for subject_id, expected in (
        (ACCOUNT, kinds),
        (COMPANY, kinds),
        (PROGRAMME, kinds),
        (CARD, ["MONTH"]),
    ):
        stats = await listed(mesh, subject_id)
        found = {pb.PeriodType.Name(one.stats.type).removeprefix("PERIOD_TYPE_") for one in stats}
        assert found == set(expected), subject_id
    (month,) = await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_MONTH)
    assert {one.dimension: [s.key for s in one.slices] for one in month.stats.breakdowns}[
        pb.DIMENSION_MERCHANT
    ] == ["m-1"]


async def test_closed_again_it_is_the_same(mesh: StatsMesh) -> None:
    await mesh.take(mesh.book.entry("FORCE_POST", 40), mesh.book.entry("REFUND", 50))
    mesh.clock.advance(40 * DAY_MS)
    await mesh.closer.close_due()
    before = await mesh.rows("SELECT * FROM stat ORDER BY id")
    await mesh.pool.execute("TRUNCATE closing")
    await mesh.closer.close_due()
    assert await mesh.rows("SELECT * FROM stat ORDER BY id") == before
    # And if it had to be made anew, it would have the same id and content.
    await mesh.pool.execute("TRUNCATE closing, stat")
    await mesh.closer.close_due()
    again = await mesh.rows("SELECT * FROM stat ORDER BY id")
    assert [(row["id"], row["body"]) for row in again] == [
        (row["id"], row["body"]) for row in before
    ]


async def test_what_comes_later_is_another_version(mesh: StatsMesh) -> None:
    await mesh.take(mesh.book.entry("FORCE_POST", 40))
    mesh.clock.advance(3 * DAY_MS)
    await mesh.closer.close_due()
    await mesh.take(mesh.book.entry("FORCE_POST", 2), mesh.book.entry("FORCE_POST", 3))
    assert told(await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_DAY)) == [("2026-11-20", 1, 40)]
    await mesh.closer.close_due()
    found = await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_DAY)
    assert sorted(told(found)) == [("2026-11-20", 1, 40), ("2026-11-20", 2, 45)]
    # What is open is not: nothing is closed for it.
    assert await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_MONTH) == []
    assert await mesh.rows("SELECT * FROM reopened") == []


async def test_who_dies_goes_on_where_it_was(
    mesh: StatsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Method: two subjects a transaction; the third one cannot be written at first."""
    monkeypatch.setattr("stats.closer.BATCH", 2)
    for account in (ACCOUNT, OTHER_ACCOUNT):
        await mesh.take(mesh.book.entry("FORCE_POST", 40, account_id=account))
    mesh.clock.advance(3 * DAY_MS)
    await mesh.pool.execute(
        f"ALTER TABLE stat ADD CONSTRAINT broken CHECK (subject_id <> '{COMPANY}') NOT VALID"
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await mesh.closer.close_due()
    kept = await mesh.rows("SELECT id, create_time FROM stat")
    assert len(kept) == 2
    # Counted while it is being closed: another version, for nobody had been told.
    await mesh.take(mesh.book.entry("FORCE_POST", 2))
    await mesh.pool.execute("ALTER TABLE stat DROP CONSTRAINT broken")
    await mesh.closer.close_due()
    assert sorted(told(await listed(mesh, ACCOUNT))) == [
        ("2026-11-20", 1, 40),
        ("2026-11-20", 2, 42),
    ]
    assert told(await listed(mesh, COMPANY)) == [("2026-11-20", 1, 82)]
    ids = {row["id"] for row in await mesh.rows("SELECT id FROM stat")}
    assert {row["id"] for row in kept} < ids


async def test_a_version_is_of_one_moment(mesh: StatsMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: its breakdowns come to its totals, whoever counts meanwhile. Method: something is
    counted between the two.
    """
    await mesh.take(mesh.book.entry("FORCE_POST", 40, merchant=SHOP))
    mesh.clock.advance(40 * DAY_MS)
    late = [mesh.book.entry("FORCE_POST", 2, merchant=SHOP)]

    async def slices_of(*arguments: Any, **named: Any) -> Any:
        if late:
            await mesh.take(late.pop())
        return await store.slices_of(*arguments, **named)

    monkeypatch.setattr("stats.closer.slices_of", slices_of)
    await mesh.closer.close_due()
    assert not late
    for kind in (pb.PERIOD_TYPE_WEEK, pb.PERIOD_TYPE_MONTH):
        for found in await listed(mesh, ACCOUNT, type=kind):
            for one in found.stats.breakdowns:
                if one.dimension != pb.DIMENSION_DECLINE_REASON:
                    assert [s.purchases for s in one.slices] == [found.stats.totals.purchases]
        last = max(await listed(mesh, ACCOUNT, type=kind), key=lambda one: one.version)
        assert last.stats.totals.purchases.amount.amount_minor == 42


async def test_who_was_overtaken_looks_again_soon(
    mesh: StatsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a row that somebody else changes between the moment of a look and the look itself costs
    a second, and not what a failure costs.
    """
    await mesh.take(mesh.book.entry("FORCE_POST", 40))
    mesh.clock.advance(3 * DAY_MS)
    await mesh.closer.close_due()
    await mesh.take(mesh.book.entry("FORCE_POST", 2))
    looked, again = list[str](), asyncio.Event()
    look = closer._SQL["take_reopened"]

    async def correct_some() -> bool:
        if not looked:
            looked.append("once")
            async with mesh.closer._moment() as connection:
                await connection.fetchval("SELECT count(*) FROM reopened")
                await mesh.pool.execute("UPDATE reopened SET due_time = due_time")
                await connection.fetch(look, datetime_of(mesh.clock.now_ms()), 100)
        found = await Closer.correct_some(mesh.closer)
        again.set()
        return found

    monkeypatch.setattr(mesh.closer, "correct_some", correct_some)
    running = asyncio.create_task(mesh.closer.run())
    try:
        await asyncio.wait_for(again.wait(), closer.INTERVAL_S - 5)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    days = await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_DAY)
    assert sorted(told(days)) == [("2026-11-20", 1, 40), ("2026-11-20", 2, 42)]


async def test_nothing_is_closed_before_it_is_counted(mesh: StatsMesh) -> None:
    await mesh.take(mesh.book.entry("FORCE_POST", 40))
    mesh.clock.advance(10 * DAY_MS)
    reached: list[int | None] = [None]
    mesh.closer._counted_until_ms = lambda: reached[0]
    for reached_ms in (None, int(NOON.timestamp() * 1000)):
        reached[0] = reached_ms
        await mesh.closer.close_due()
        assert await mesh.rows("SELECT * FROM stat") == []
    reached[0] = mesh.clock.now_ms()
    await mesh.closer.close_due()
    assert len(await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_DAY)) == 1


async def test_two_processes_close_one_after_the_other(mesh: StatsMesh) -> None:
    await mesh.take(mesh.book.entry("FORCE_POST", 40))
    mesh.clock.advance(3 * DAY_MS)
    async with mesh.pool.acquire() as connection, connection.transaction():
        await connection.fetchval(
            "SELECT pg_advisory_xact_lock(hashtextextended('stats.closer', 0))"
        )
        assert not await mesh.closer.step(PeriodType.DAY)
    assert await mesh.closer.step(PeriodType.DAY)


async def test_pages_and_refusals(mesh: StatsMesh) -> None:
    for number in range(5):
        await mesh.take(mesh.book.entry("FORCE_POST", 40, at=NOON + number * DAY))
    mesh.clock.advance(7 * DAY_MS)
    await mesh.closer.close_due()
    whole = told(await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_DAY))
    assert [day for day, _, _ in whole] == [f"2026-11-{day}" for day in (24, 23, 22, 21, 20)]
    found: list[pb.Stat] = []
    request = rpc.ListStatsRequest(subject_id=ACCOUNT, type=pb.PERIOD_TYPE_DAY, page_size=2)
    while True:
        answer = await mesh.stats.ListStats(request, metadata=ADMIN)
        found += answer.stats
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert told(found) == whole


async def test_the_last_version_of_each_period_is_the_first(mesh: StatsMesh) -> None:
    """Whatever the ids: they follow from what they are of. So do the pages, one by one."""
    await mesh.take(mesh.book.entry("FORCE_POST", 40, at=NOON + DAY))
    for number in range(8):
        await mesh.take(mesh.book.entry("FORCE_POST", 10**number))
        mesh.clock.advance(3 * DAY_MS)
        await mesh.closer.close_due()
    whole = told(await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_DAY))
    versions = [(day, version) for day, version, _ in whole]
    assert versions == [(f"2026-11-{day}", one) for day in (21, 20) for one in range(8, 0, -1)]
    found: list[pb.Stat] = []
    request = rpc.ListStatsRequest(subject_id=ACCOUNT, type=pb.PERIOD_TYPE_DAY, page_size=1)
    while not found or request.page_token:
        answer = await mesh.stats.ListStats(request, metadata=MANAGER)
        found += answer.stats
        request.page_token = answer.next_page_token
    assert told(found) == whole


async def test_what_is_compared_with_a_corrected_day_is_another_version_too(
    mesh: StatsMesh,
) -> None:
    entry = mesh.book.entry
    await mesh.take(entry("FORCE_POST", 40), entry("FORCE_POST", 9, at=NOON + DAY))
    mesh.clock.advance(4 * DAY_MS)
    await mesh.closer.close_due()
    await mesh.take(mesh.book.entry("FORCE_POST", 2))
    await mesh.closer.close_due()
    days = await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_DAY)
    assert sorted(told(days)) == [
        *(("2026-11-20", 1, 40), ("2026-11-20", 2, 42)),
        *(("2026-11-21", 1, 9), ("2026-11-21", 2, 9)),
    ]
    assert [one.stats.previous.net_spend.amount_minor for one in days if one.version == 2] == [
        42,
        0,
    ]


async def test_weeks_begin_on_the_installations_day(mesh: StatsMesh) -> None:
    """2026-11-22 is a Sunday: closed weeks begin there, and those that are asked for."""
    mesh.closer = Closer(
        mesh.pool, mesh.clock, delay_h=6, counted_until_ms=mesh.clock.now_ms, week_start=SUNDAY
    )
    mesh.intake = Intake(mesh.accounts, mesh.clock, week_start=SUNDAY)
    for number in (1, 2, 8, 9):
        await mesh.take(mesh.book.entry("FORCE_POST", 10**number, at=NOON + number * DAY))
    mesh.clock.advance(20 * DAY_MS)
    await mesh.closer.close_due()
    await mesh.take(mesh.book.entry("FORCE_POST", 1, at=NOON + DAY))
    await mesh.closer.close_due()
    weeks = await listed(mesh, ACCOUNT, type=pb.PERIOD_TYPE_WEEK)
    assert sorted(told(weeks)) == [
        *(("2026-11-15", 1, 10), ("2026-11-15", 2, 11)),
        # What it is compared with has changed.
        *(("2026-11-22", 1, 10**2 + 10**8), ("2026-11-22", 2, 10**2 + 10**8)),
        ("2026-11-29", 1, 10**9),
    ]
    request = rpc.GetWeeklyStatsRequest(subject_id=ACCOUNT, start_date="2026-11-22")
    service = StatsService(StatsStore(mesh.pool), Subjects(mesh.accounts), week_start=SUNDAY)
    (live,) = (await service.GetWeeklyStats(request, None)).periods
    assert (live.start_date, live.end_date) == ("2026-11-22", "2026-11-28")
    (other,) = (await mesh.stats.GetWeeklyStats(request, metadata=ADMIN)).periods
    assert other.start_date == "2026-11-16"
