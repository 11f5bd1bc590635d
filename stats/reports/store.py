"""Reports in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from google.protobuf.message import Message

from runtime import request_records
from runtime.audit import log as audit
from runtime.clock import datetime_of, ms_of
from runtime.events.outbox import emit
from runtime.pages import after
from runtime.paging import Page
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries
from runtime.request_records import RequestKey
from runtime.request_records import Stored as Answered
from stats.period import PeriodType
from stats.reports import happenings
from stats.reports.files import Stored
from stats.reports.report import Books, Format, Group, Report, State, Type, Wanted
from stats.reports.schedule import Schedule

#: Rows that one statement removes.
FORGET_BATCH = 500
#: Schedules of one transaction.
SCHEDULES_BATCH = 50

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "reports.sql")


class Transaction:
    """What is written together."""

    def __init__(self, connection: Any, *, now_ms: int) -> None:
        self.connection = connection
        self.now = datetime_of(now_ms)

    async def record(self, *, after: Message | None = None, reason: str = "") -> None:
        """Adds the audit entry of the running call."""
        await audit.record(self.connection, after=after, reason=reason)

    async def claim(self, key: RequestKey) -> Answered | None:
        """Takes the request id, or returns what it was used for."""
        return await request_records.claim(self.connection, key, self.now)

    async def answer(self, key: RequestKey, response: bytes) -> None:
        """Stores the answer to the claimed request id."""
        await request_records.answer(self.connection, key, response)

    async def count_open(self, subject_id: str) -> int:
        """Reports of a subject that are not done; nobody else asks for one until the commit."""
        await self.connection.execute(_SQL["lock_subject"], subject_id)
        found: int = await self.connection.fetchval(_SQL["count_open"], subject_id)
        return found

    async def insert(self, report: Report) -> bool:
        """Adds a report; False if it is there."""
        wanted = report.wanted
        tag = await self.connection.execute(
            _SQL["insert_report"],
            report.id,
            wanted.subject_id,
            wanted.type,
            wanted.format,
            wanted.currency_code,
            list(wanted.groups),
            wanted.books,
            report.start,
            report.end,
            report.key,
            report.schedule_id,
            report.principal,
            report.owner_id,
            datetime_of(report.create_time_ms),
            datetime_of(report.expire_time_ms),
        )
        return bool(tag == "INSERT 0 1")

    async def count_schedules(self, subject_id: str) -> int:
        """What is scheduled about a subject; nobody else schedules anything until the commit."""
        await self.connection.execute(_SQL["lock_schedules"], subject_id)
        found: int = await self.connection.fetchval(_SQL["count_schedules"], subject_id)
        return found

    async def insert_schedule(self, schedule: Schedule) -> None:
        """Schedules reports."""
        wanted = schedule.wanted
        await self.connection.execute(
            _SQL["insert_schedule"],
            schedule.id,
            wanted.subject_id,
            schedule.owner_id,
            wanted.type,
            wanted.format,
            wanted.currency_code,
            list(wanted.groups),
            wanted.books,
            schedule.interval,
            schedule.user_id,
            schedule.next_date,
            datetime_of(schedule.due_ms),
            datetime_of(schedule.create_time_ms),
        )

    async def take_schedules(self, schedule_ids: Sequence[str], *, due_ms: int) -> list[Schedule]:
        """Those of them that still are due by then, until the end of the transaction."""
        rows = await self.connection.fetch(
            _SQL["take_schedules"], datetime_of(due_ms), schedule_ids
        )
        return [schedule_of(row) for row in rows]

    async def move_schedule(self, schedule: Schedule) -> None:
        """Goes on to its next period."""
        await self.connection.execute(
            _SQL["move_schedule"],
            schedule.id,
            schedule.next_date,
            datetime_of(schedule.due_ms),
        )

    async def end_schedule(self, schedule_id: str) -> bool:
        """Ends a schedule; False if it is not there."""
        return bool(await self.connection.fetchval(_SQL["end_schedule"], schedule_id))

    async def delete(self, report_id: str) -> bool:
        """Removes a report; False if it is not there."""
        if not await self.connection.fetchval(_SQL["delete_report"], report_id, self.now):
            return False
        await self.connection.execute(_SQL["insert_leftovers"], [report_id], self.now)
        return True


class ReportStore:
    """Reads, takes what is due, and opens transactions."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    @asynccontextmanager
    async def transaction(self, *, now_ms: int) -> AsyncIterator[Transaction]:
        """Commits at the end; an exception rolls everything back, the claimed id included."""
        with refusing_when_down():
            async with self.pool.acquire() as connection, connection.transaction():
                yield Transaction(connection, now_ms=now_ms)

    async def report(self, report_id: str) -> Report | None:
        """One report."""
        with refusing_when_down():
            row = await self.pool.fetchrow(_SQL["select_report"], report_id)
        return report_of(row) if row else None

    async def reports(self, page: Page, *, subject_id: str, now_ms: int) -> list[Report]:
        """Reports whose time is not over, newest first."""
        now = datetime_of(now_ms)
        with refusing_when_down():
            rows = await self.pool.fetch(_SQL["list_reports"], *after(page), subject_id, now)
        return [report_of(row) for row in rows]

    async def schedule(self, schedule_id: str) -> Schedule | None:
        """One schedule."""
        with refusing_when_down():
            row = await self.pool.fetchrow(_SQL["select_schedule"], schedule_id)
        return schedule_of(row) if row else None

    async def schedules(self, page: Page, *, subject_id: str) -> list[Schedule]:
        """What is scheduled, newest first."""
        with refusing_when_down():
            rows = await self.pool.fetch(_SQL["list_schedules"], *after(page), subject_id)
        return [schedule_of(row) for row in rows]

    async def due(self, *, due_ms: int) -> list[Schedule]:
        """Some schedules that are due by then."""
        with refusing_when_down():
            rows = await self.pool.fetch(
                _SQL["list_due_schedules"], datetime_of(due_ms), SCHEDULES_BATCH
            )
        return [schedule_of(row) for row in rows]

    async def take(self, *, now_ms: int, until_ms: int) -> Report | None:
        """A report that is to be made; whoever takes it says before `until_ms` that it goes on."""
        row = await self.pool.fetchrow(
            _SQL["claim_report"], datetime_of(now_ms), datetime_of(until_ms)
        )
        return report_of(row) if row else None

    async def keep(self, report: Report, *, until_ms: int, percent: int, rows: int) -> bool:
        """Says how far it is; False: it is somebody else's, or gone."""
        found = await self.pool.fetchval(
            _SQL["keep_report"], report.id, report.attempts, datetime_of(until_ms), percent, rows
        )
        return bool(found)

    async def finish(
        self, report: Report, stored: Stored, *, rows: int, now_ms: int, expire_ms: int
    ) -> bool:
        """The file is there; False: somebody else has made another, or nobody wants it."""
        async with self.pool.acquire() as connection, connection.transaction():
            done = await connection.fetchval(
                _SQL["finish_report"],
                report.id,
                report.attempts,
                datetime_of(now_ms),
                datetime_of(expire_ms),
                rows,
                stored.size_bytes,
                stored.part_count,
                stored.sha256,
            )
            given_up = range(1, report.attempts) if done else [report.attempts]
            await _leave(connection, [f"{report.id}/{one}" for one in given_up], now_ms)
            if done and report.schedule_id:
                await emit(connection, [happenings.report_ready(report, now_ms=now_ms)])
        return bool(done)

    async def fail(self, report: Report, *, now_ms: int, why: str) -> bool:
        """It cannot be made; False: nobody wants it any more, or somebody else has it."""
        async with self.pool.acquire() as connection, connection.transaction():
            failed = await connection.fetchval(
                _SQL["fail_report"], report.id, report.attempts, datetime_of(now_ms), why
            )
            await _leave(connection, [report.id], now_ms)
        return bool(failed)

    async def expire(self, *, now_ms: int) -> int:
        """Removes some of the reports whose time is over; returns how many."""
        async with self.pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["take_expired"], datetime_of(now_ms), FORGET_BATCH)
            await _leave(connection, [row["id"] for row in rows], now_ms)
        return len(rows)

    async def leftovers(self) -> list[str]:
        """Some folders that are to be removed."""
        rows = await self.pool.fetch(_SQL["list_leftovers"], FORGET_BATCH)
        return [row["folder"] for row in rows]

    async def removed(self, folder: str) -> None:
        """A folder is gone."""
        await self.pool.execute(_SQL["delete_leftover"], folder)


async def _leave(connection: Any, folders: Sequence[str], now_ms: int) -> None:
    if folders:
        await connection.execute(_SQL["insert_leftovers"], list(folders), datetime_of(now_ms))


def schedule_of(row: Any) -> Schedule:
    """A row as a schedule."""
    return Schedule(
        id=row["id"],
        wanted=_wanted(row),
        owner_id=row["owner_id"],
        interval=PeriodType(row["interval"]),
        user_id=row["user_id"],
        next_date=row["next_date"],
        active=row["due_time"] is not None,
        create_time_ms=ms_of(row["create_time"]),
    )


def _wanted(row: Any) -> Wanted:
    return Wanted(
        subject_id=row["subject_id"],
        type=Type(row["type"]),
        format=Format(row["format"]),
        currency_code=row["currency_code"],
        groups=tuple(Group(one) for one in row["groups"]),
        books=Books(row["books"]),
    )


def report_of(row: Any) -> Report:
    """A row as a report."""
    return Report(
        id=row["id"],
        wanted=_wanted(row),
        start=row["start_date"],
        end=row["end_date"],
        state=State(row["state"]),
        progress_percent=row["progress_percent"],
        row_count=row["row_count"],
        size_bytes=row["size_bytes"],
        part_count=row["part_count"],
        sha256=row["sha256"],
        failure=row["failure"],
        key=row["key"],
        schedule_id=row["schedule_id"],
        principal=row["principal"],
        owner_id=row["owner_id"],
        attempts=row["attempts"],
        create_time_ms=ms_of(row["create_time"]),
        end_time_ms=ms_of(row["end_time"]) if row["end_time"] else None,
        expire_time_ms=ms_of(row["expire_time"]),
    )
