"""Makes reports, one after the other, and removes those whose time is over.

The rows are the queue. Whoever takes a report says every now and then that it goes on; who dies
says nothing more, and another begins anew, in another folder of the object storage. What is written
in the end is written only by whoever has the report then: there is one file.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from runtime.clock import Clock
from runtime.errors import Unavailable
from runtime.files import make_private_folder
from runtime.log import get_logger
from runtime.metrics import STATS_REPORTS
from runtime.objects import ObjectsUnavailable
from runtime.postgres import UNREACHABLE
from runtime.request_records import forget_requests
from runtime.tasks import woken
from stats.reports.files import KEY_BYTES, ReportFiles
from stats.reports.making import Making
from stats.reports.report import Report, queued
from stats.reports.schedule import DELAY_MS, Schedule
from stats.reports.store import ReportStore, Transaction
from stats.subjects import Subjects

#: How often to look whether a report is to be made, and for what is over.
INTERVAL_S = 2.0
UPKEEP_INTERVAL_S = 60.0
#: A report is taken for this long, and said to go on this often.
LEASE_MS = 30_000
KEEP_S = 1.0
#: One that could not be made so often never will be.
ATTEMPTS_MAX = 5
#: What was asked is remembered for so long.
REQUEST_LIFETIME_MS = 24 * 3_600_000

_DAY_MS = 86_400_000

logger = get_logger()


class LostReport(Exception):
    """Somebody else has it now, or nobody wants it any more."""


class ReportWorker:
    """Works for ever (`run`), or once (`work_due`, `clean`). `folder` is where files lie while they
    are made: below it each report has its own. `counted_until_ms` says up to when everything that
    was recorded is counted; None: not known.
    """

    def __init__(
        self,
        store: ReportStore,
        files: ReportFiles,
        making: Making,
        subjects: Subjects,
        clock: Clock,
        *,
        folder: Path,
        kept_days: int,
        counted_until_ms: Callable[[], int | None],
    ) -> None:
        self._store = store
        self._files = files
        self._making = making
        self._subjects = subjects
        self._clock = clock
        self._folder = folder
        self._kept_ms = kept_days * _DAY_MS
        self._counted_until_ms = counted_until_ms
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A report is to be made: look now."""
        self._wake.set()

    async def run(self) -> None:
        """No failure ends it."""
        cleaned = 0.0
        while True:
            self._wake.clear()
            found = False
            try:
                await self.schedule_due()
                found = await self.work_due()
                if time.monotonic() - cleaned > UPKEEP_INTERVAL_S:
                    await self.clean()
                    cleaned = time.monotonic()
            except UNREACHABLE as error:
                logger.warning("reports_failed", error=f"{type(error).__name__}: {error}")
            except Exception:
                logger.exception("reports_failed")
            if not found:
                await woken(self._wake, longest_s=INTERVAL_S)

    async def work_due(self) -> bool:
        """Makes one report, if one is due; True if one was."""
        now_ms = self._clock.now_ms()
        report = await self._store.take(now_ms=now_ms, until_ms=now_ms + LEASE_MS)
        if report is None:
            return False
        if report.attempts > ATTEMPTS_MAX:
            await self._give_up(report, now_ms=now_ms)
            return True
        folder = self._folder / f"{report.id}.{report.attempts}"
        try:
            await asyncio.to_thread(_begin, self._folder, folder, report.id)
            await self._make(report, folder)
        except LostReport:
            logger.info("report_lost", report_id=report.id, attempts=report.attempts)
        except (ObjectsUnavailable, *UNREACHABLE) as error:
            # It is taken again when its lease is over.
            logger.warning(
                "report_not_made", report_id=report.id, error=f"{type(error).__name__}: {error}"
            )
        except Exception:
            logger.exception("report_not_made", report_id=report.id, attempts=report.attempts)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return True

    async def _give_up(self, report: Report, *, now_ms: int) -> None:
        """Nobody waits for a scheduled report: those who operate see that there is none."""
        why = "TOO_MANY_ATTEMPTS"
        if await self._store.fail(report, now_ms=now_ms, why=why):
            STATS_REPORTS.labels(report.wanted.format, "FAILED").inc()
            logger.error(
                "report_failed", report_id=report.id, schedule_id=report.schedule_id, because=why
            )

    async def schedule_due(self) -> int:
        """Asks for the reports of periods that are over and counted; returns how many. Each is
        asked for in the transaction that moves its schedule on; nothing is locked while accounts is
        asked who is told.
        """
        counted_until_ms = self._counted_until_ms()
        if counted_until_ms is None:
            return 0
        now_ms = self._clock.now_ms()
        due_ms = min(now_ms, counted_until_ms + DELAY_MS)
        try:
            told = {one.id: await self._told(one) for one in await self._store.due(due_ms=due_ms)}
            if not told:
                return 0
            async with self._store.transaction(now_ms=now_ms) as transaction:
                due = await transaction.take_schedules(list(told), due_ms=due_ms)
                for one in due:
                    await self._ask(transaction, one, told[one.id], now_ms=now_ms)
        except Unavailable as error:
            logger.warning("reports_not_asked_for", error=str(error))
            return 0
        return len(due)

    async def _told(self, one: Schedule) -> str:
        """Whom the company has removed is not told any more: its managers are."""
        found = await self._subjects.find(one.wanted.subject_id, one.user_id)
        return "" if found is not None and found.dismissed else one.user_id

    async def _ask(
        self, transaction: Transaction, one: Schedule, told: str, *, now_ms: int
    ) -> None:
        report = queued(
            one.report_id,
            one.wanted,
            (one.period.start, one.period.end),
            key=os.urandom(KEY_BYTES),
            principal=told,
            now_ms=now_ms,
            kept_ms=self._kept_ms,
            schedule_id=one.id,
            owner_id=one.owner_id,
        )
        await transaction.insert(report)
        await transaction.move_schedule(replace(one, next_date=one.following))

    async def clean(self) -> None:
        """Removes what is over, and files that nobody needs."""
        now_ms = self._clock.now_ms()
        while await self._store.expire(now_ms=now_ms):
            pass
        for folder in await self._store.leftovers():
            try:
                await self._files.remove(folder)
            except ObjectsUnavailable as error:
                logger.warning("reports_unavailable", error=str(error))
                return
            await self._store.removed(folder)
        before_ms = now_ms - REQUEST_LIFETIME_MS
        while await forget_requests(self._store.pool, before_ms=before_ms):
            pass

    async def _make(self, report: Report, folder: Path) -> None:
        progress = _Progress(self._store, report, self._clock)
        keeping = asyncio.create_task(progress.keep())
        making = asyncio.create_task(self._making.make(report, folder, progress.reach))
        try:
            await asyncio.wait({keeping, making}, return_when=asyncio.FIRST_COMPLETED)
            if not making.done():
                # Keeping ends only if there is nothing to keep.
                await keeping
            path = await making
            stored = await self._files.store(report, path)
        finally:
            for task in (making, keeping):
                task.cancel()
            await asyncio.gather(making, keeping, return_exceptions=True)
        now_ms = self._clock.now_ms()
        done = await self._store.finish(
            report,
            stored,
            rows=progress.rows,
            now_ms=now_ms,
            expire_ms=now_ms + self._kept_ms,
        )
        if not done:
            raise LostReport
        STATS_REPORTS.labels(report.wanted.format, "READY").inc()
        logger.info("report_ready", report_id=report.id, rows=progress.rows)


class _Progress:
    """How far a report is, told now and then."""

    def __init__(self, store: ReportStore, report: Report, clock: Clock) -> None:
        self._store = store
        self._report = report
        self._clock = clock
        self._percent = 0
        self.rows = 0

    def reach(self, percent: int, rows: int) -> None:
        """So far it has come."""
        self._percent, self.rows = percent, rows

    async def keep(self) -> None:
        """Says that it goes on, until it is somebody else's: then LostReport."""
        while True:
            until_ms = self._clock.now_ms() + LEASE_MS
            if not await self._store.keep(
                self._report, until_ms=until_ms, percent=self._percent, rows=self.rows
            ):
                raise LostReport
            await asyncio.sleep(KEEP_S)


def _begin(folder: Path, own: Path, report_id: str) -> None:
    """Makes the folder of an attempt; those of attempts before it are left from who died."""
    make_private_folder(folder)
    for left in folder.glob(f"{report_id}.*"):
        shutil.rmtree(left, ignore_errors=True)
    make_private_folder(own)
