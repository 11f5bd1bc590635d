"""Reports of what a real ledger has, and of those who are made again by another."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from holdfast.authz.v1 import ledger_service_pb2 as ledger_rpc
from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.stats.v1 import report_pb2 as pb
from holdfast.stats.v1 import report_service_pb2 as rpc
from holdfast.type.v1.money_pb2 import Money
from runtime.metrics import STATS_REPORTS
from stats.period import MONDAY, SATURDAY, SUNDAY, PeriodType, period_of
from stats.reports import ledger as reading
from stats.reports import spending
from stats.reports import worker as working
from stats.reports.journal import ISSUER
from stats.reports.making import Making
from stats.reports.report import Books, Format, Group, Report, State, Type, Wanted
from stats.reports.store import ReportStore
from tests.authz_checks import approved
from tests.authz_mesh import ACCOUNTS, ADMIN, capture_of
from tests.databases import Database
from tests.stats_mesh import COMPANY, NOON, LedgerStats, StatsMesh, ledger_stats

TODAY = NOON.date()


@pytest.fixture
async def running(database: Database, money: Redis) -> AsyncIterator[LedgerStats]:
    async with ledger_stats(database, money) as found:
        yield found


def journal(subject_id: str, format_: Format = Format.CSV, **fields: Any) -> Report:
    return replace(
        Report(
            id="rpt_0a" + "1" * 32,
            wanted=Wanted(
                subject_id=subject_id,
                type=Type.ACCOUNTING,
                format=format_,
                currency_code="",
                groups=(),
                books=Books.ISSUER,
            ),
            start=TODAY,
            end=TODAY,
            state=State.RUNNING,
            progress_percent=0,
            row_count=0,
            size_bytes=0,
            part_count=0,
            sha256="",
            failure="",
            key=bytes(32),
            schedule_id="",
            principal="",
            owner_id="",
            attempts=1,
            create_time_ms=0,
            end_time_ms=None,
            expire_time_ms=0,
        ),
        **fields,
    )


def sums(rows: list[dict[str, str]]) -> dict[str, Decimal]:
    found = defaultdict[str, Decimal](Decimal)
    for row in rows:
        found[row["account"]] += Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
    return found


async def busy(running: LedgerStats, account: str, amount_minor: int) -> None:
    authz = running.authz
    card = await authz.issue_card(account)
    held = await approved(authz, card, amount_minor)
    await authz.authorization.CaptureAuthorization(capture_of(held, amount_minor), metadata=ADMIN)
    await approved(authz, card, 5)
    await authz.posting.PostEntry(
        postings.PostEntryRequest(
            request_id=f"fee-{account}",
            account_id=account,
            kind=postings.POSTING_KIND_FEE,
            amount=Money(currency_code="USD", amount_minor=150),
        ),
        metadata=ACCOUNTS,
    )


@pytest.mark.parametrize("week_start", [MONDAY, SATURDAY, SUNDAY])
async def test_weeks_are_called_as_statistics_call_them(mesh: StatsMesh, week_start: int) -> None:
    """Over a new year, with a week 53."""
    days = [date(2026, 12, 20) + timedelta(days=number) for number in range(24)]
    for one in days:
        at = datetime.combine(one, time(12), UTC)
        await mesh.take(mesh.book.entry("FORCE_POST", 100, at=at))
    wanted = replace(journal(COMPANY).wanted, type=Type.SPENDING, groups=(Group.WEEK,))
    report = replace(journal(COMPANY), wanted=wanted, start=days[0], end=days[-1])
    async with mesh.pool.acquire() as connection, connection.transaction():
        found = {
            row[0]: row[2]
            async for rows, _ in spending.groups(connection, report, week_start=week_start)
            for row in rows
        }
    labels = [period_of(PeriodType.WEEK, one, week_start=week_start).label for one in days]
    assert found == Counter(labels)
    assert ("2026-W53" in found) == (week_start == MONDAY)


async def test_a_journal_is_what_the_ledger_has(
    running: LedgerStats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: all of a programme, in both ways, comes to the ledger's own trial balance; an account's
    comes to its part. Method: purchases and fees in several partitions, in pages of one entry.
    """
    authz = running.authz
    accounts = [await authz.open_account(partition=number) for number in (10, 11, 40)]
    for number, account in enumerate(accounts):
        await busy(running, account, 1_000 + number)
    await running.count()
    monkeypatch.setattr(reading, "PAGE", 1)
    trial = await authz.ledger_service.GetTrialBalance(
        ledger_rpc.GetTrialBalanceRequest(), metadata=ADMIN
    )
    expected = {
        ISSUER[row.ledger_account].name: Decimal(row.balance.amount_minor) / 100
        for row in trial.rows
        if row.balance.amount_minor
    }
    programme = (await running.ledger.after({10: 0}, page_size=1))[0].programme_id
    making = Making(running.pool, running.ledger, running.accounts, week_start=0)
    told = list[tuple[int, int]]()

    async def made(report: Report) -> list[dict[str, str]]:
        path = await making.make(report, tmp_path, lambda *reached: told.append(reached))
        return list(csv.DictReader(io.StringIO(path.read_text())))

    rows = await made(journal(programme))
    assert sums(rows) == expected
    assert told[-1] == (99, len(rows) == 12 and 12)
    by_entry: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_entry.setdefault(row["entry_id"], []).append(row)
    assert len(by_entry) == 6
    assert all(sum(sums(lines).values()) == 0 for lines in by_entry.values())
    # Clearings name the merchants of their authorizations.
    cleared = [row for row in rows if row["type"] == "CAPTURE"]
    assert cleared
    assert all(row["merchant"] and row["merchant_name"] and row["category"] for row in cleared)
    # One account, and days on which nothing was booked.
    rows = await made(journal(accounts[1]))
    assert {row["account_id"] for row in rows} == {accounts[1]}
    assert sums(rows)["Card network settlement"] == Decimal("-10.01")
    tomorrow = TODAY + timedelta(days=1)
    assert not await made(journal(programme, start=tomorrow, end=tomorrow))


async def test_where_days_begin_is_found_by_halving(mesh: StatsMesh) -> None:
    """The number is the one that looking at each entry finds, in every partition at once."""
    hour = timedelta(hours=1)
    for number in range(37):
        mesh.book.entry("FEE", 1, at=NOON + number * hour)
        mesh.book.entry("FEE", 1, at=NOON + 2 * number * hour, account_id="acct_0b" + "4" * 32)
    until = {10: 37, 11: 30}
    for hours in (-1, 0, 1, 17, 36, 37, 80):
        begin_ms = int((NOON + hours * hour).timestamp() * 1000)
        assert await reading.first_after(mesh.book, until, begin_ms) == {
            10: min(max(hours, 0), 37) + 1,
            11: min((max(hours, 0) + 1) // 2, 30) + 1,
        }


def wanted(request_id: str = "r1", **fields: Any) -> rpc.CreateReportRequest:
    fields.setdefault("type", pb.REPORT_TYPE_SPENDING)
    return rpc.CreateReportRequest(
        request_id=request_id, subject_id=COMPANY, start_date="2026-11-20", **fields
    )


async def test_who_dies_is_followed_by_another_and_there_is_one_file(
    mesh: StatsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a report is taken up again, and ends with one file, whatever whoever had it does later.
    Method: the first one stops before it says that the file is there, and says so after another
    has made it, too.
    """
    await mesh.take(mesh.book.entry("FORCE_POST", 40))
    answer = await mesh.reports.CreateReport(wanted(), metadata=ADMIN)
    reached, go_on = asyncio.Event(), asyncio.Event()
    finish = ReportStore.finish

    async def late(*args: Any, **named: Any) -> bool:
        if not reached.is_set():
            reached.set()
            await go_on.wait()
        return await finish(*args, **named)

    monkeypatch.setattr(ReportStore, "finish", late)
    first = asyncio.create_task(mesh.report_worker.work_due())
    await reached.wait()
    assert not await mesh.report_worker.work_due()
    mesh.clock.advance(working.LEASE_MS)
    assert await mesh.report_worker.work_due()
    request = rpc.GetReportRequest(report_id=answer.report.id)
    report = (await mesh.reports.GetReport(request, metadata=ADMIN)).report
    assert report.state == pb.REPORT_STATE_READY
    go_on.set()
    await first
    assert (await mesh.reports.GetReport(request, metadata=ADMIN)).report == report
    await mesh.report_worker.clean()
    files = [path for path in mesh.documents.rglob("*") if path.is_file()]
    assert [path.parent.name for path in files] == ["2"]
    download = rpc.DownloadReportRequest(report_id=report.id)
    found = await mesh.reports.DownloadReport(download, metadata=ADMIN)
    assert len(found.data) == report.size_bytes


async def test_a_report_that_kills_whoever_makes_it_is_given_up(mesh: StatsMesh) -> None:
    """And whoever operates can see it, once."""
    failed = STATS_REPORTS.labels("CSV", "FAILED")
    before = failed._value.get()
    answer = await mesh.reports.CreateReport(wanted(), metadata=ADMIN)
    for _ in range(working.ATTEMPTS_MAX):
        await mesh.report_worker._store.take(
            now_ms=mesh.clock.now_ms(), until_ms=mesh.clock.now_ms() + working.LEASE_MS
        )
        mesh.clock.advance(working.LEASE_MS)
    assert await mesh.report_worker.work_due()
    request = rpc.GetReportRequest(report_id=answer.report.id)
    report = (await mesh.reports.GetReport(request, metadata=ADMIN)).report
    assert (report.state, report.failure) == (pb.REPORT_STATE_FAILED, "TOO_MANY_ATTEMPTS")
    assert not await mesh.report_worker.work_due()
    assert failed._value.get() == before + 1


async def test_a_report_that_nobody_wants_any_more_is_given_up(
    mesh: StatsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes it notices before it is done, and leaves nothing."""
    answer = await mesh.reports.CreateReport(wanted(), metadata=ADMIN)
    monkeypatch.setattr(working, "KEEP_S", 0.01)
    begun = asyncio.Event()

    async def make(*_: Any) -> Path:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError("it is given up")

    monkeypatch.setattr(Making, "make", make)
    working_on = asyncio.create_task(mesh.report_worker.work_due())
    await begun.wait()
    request = rpc.DeleteReportRequest(request_id="d1", report_id=answer.report.id)
    await mesh.reports.DeleteReport(request, metadata=ADMIN)
    assert await asyncio.wait_for(working_on, 10)
    folder = mesh.report_worker._folder
    assert not list(folder.glob(f"{answer.report.id}*"))
