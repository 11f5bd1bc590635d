"""Puts what makes and hands out reports together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast.stats.v1.report_service_pb2_grpc import add_ReportServiceServicer_to_server
from runtime import ids
from runtime.clock import Clock
from runtime.objects import ObjectStorage
from runtime.ownership import Belongs, Lookup, Lookups
from runtime.server import Server
from stats.reports import convert
from stats.reports.files import ReportFiles
from stats.reports.ledger import Ledger, Owners
from stats.reports.making import Making
from stats.reports.service import ReportService
from stats.reports.store import ReportStore
from stats.reports.worker import ReportWorker
from stats.settings import StatsSettings
from stats.subjects import Subjects

if TYPE_CHECKING:
    import asyncpg

#: Folder below home in which files are made.
FOLDER = "reports"


def add_reports(
    process: Server,
    pool: asyncpg.Pool,
    subjects: Subjects,
    objects: ObjectStorage,
    books: Ledger,
    *,
    owners: Owners,
    settings: StatsSettings,
    clock: Clock,
    counted_until_ms: Callable[[], int | None],
) -> ReportWorker:
    """Adds the service to a server; returns what makes reports."""
    store, files = ReportStore(pool), ReportFiles(objects)
    kept_days = settings.stats_report_days
    worker = ReportWorker(
        store,
        files,
        Making(pool, books, owners, week_start=settings.week_start),
        subjects,
        clock,
        folder=settings.home / FOLDER,
        kept_days=kept_days,
        counted_until_ms=counted_until_ms,
    )
    service = ReportService(
        store,
        files,
        subjects,
        clock,
        kept_days=kept_days,
        week_start=settings.week_start,
        wake=worker.wake,
    )
    add_ReportServiceServicer_to_server(service, process.services)
    return worker


def lookups(subjects: Subjects, store: ReportStore) -> Lookups:
    """For the interceptor, which asks about managers and cardholders only."""

    async def report(report_id: str, user_id: str) -> Belongs | None:
        found = await store.report(report_id)
        if found is None or ids.is_programme_id(found.wanted.subject_id):
            return None
        return await subjects.belongs(found.wanted.subject_id, user_id)

    async def schedule(schedule_id: str, user_id: str) -> Belongs | None:
        found = await store.schedule(schedule_id)
        if found is None or ids.is_programme_id(found.wanted.subject_id):
            return None
        return await subjects.belongs(found.wanted.subject_id, user_id)

    return {
        ids.REPORT: Lookup(find=report, not_found=convert.not_found),
        ids.REPORT_SCHEDULE: Lookup(find=schedule, not_found=convert.schedule_not_found),
    }
