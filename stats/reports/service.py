"""ReportService: convert, load, decide, commit, convert."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from holdfast.stats.v1 import report_service_pb2 as pb
from holdfast.stats.v1.report_service_pb2_grpc import ReportServiceServicer
from runtime import ids
from runtime.audit.log import REPLAYED_REASON
from runtime.clock import Clock
from runtime.errors import ResourceExhausted, Unavailable
from runtime.log import get_logger
from runtime.objects import ObjectsUnavailable
from runtime.pages import cut
from runtime.request_id import REPLAYED
from runtime.request_records import RequestKey
from stats.period import day_of, period_of
from stats.reports import convert
from stats.reports.files import KEY_BYTES, ReportFiles
from stats.reports.report import Report, State, Wanted, queued
from stats.reports.schedule import Schedule
from stats.reports.store import ReportStore, Transaction
from stats.subjects import Subjects

#: Reports of one subject that wait or are made at the same time.
OPEN_MAX = 20
#: What is scheduled about one subject.
SCHEDULES_MAX = 20
#: Programmes are in all partitions.
_PARTITION = 0
_DAY_MS = 86_400_000

_Answer = TypeVar("_Answer", bound=Message)

logger = get_logger()


class ReportService(ReportServiceServicer):
    """Has reports made, and hands them out. `wake` lets whoever makes them look."""

    def __init__(
        self,
        store: ReportStore,
        files: ReportFiles,
        subjects: Subjects,
        clock: Clock,
        *,
        kept_days: int,
        week_start: int,
        wake: Callable[[], None],
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._files = files
        self._subjects = subjects
        self._clock = clock
        self._kept_ms = kept_days * _DAY_MS
        self._week_start = week_start
        self._wake = wake
        self._random_bytes = random_bytes
        self._ids = ids.IdSource(clock, random_bytes)

    async def CreateReport(
        self, request: pb.CreateReportRequest, context: Any
    ) -> pb.CreateReportResponse:
        """Has a report made."""
        key, wanted, start, end = convert.create(request, context)
        await self._subjects.currency_of(wanted.subject_id)
        now_ms = self._clock.now_ms()
        report = queued(
            self._ids.new(ids.REPORT, _partition_of(wanted)),
            wanted,
            (start, end),
            key=self._random_bytes(KEY_BYTES),
            principal=key.principal,
            now_ms=now_ms,
            kept_ms=self._kept_ms,
        )

        async def effect(transaction: Transaction) -> pb.CreateReportResponse:
            if await transaction.count_open(wanted.subject_id) >= OPEN_MAX:
                raise ResourceExhausted(
                    f"{OPEN_MAX} reports about it are not done yet; wait, or delete one",
                    reason="TOO_MANY_REPORTS",
                )
            await transaction.insert(report)
            shown = convert.report(report)
            await transaction.record(after=shown)
            return pb.CreateReportResponse(report=shown)

        answer = await self._once(key, effect, pb.CreateReportResponse, context, now_ms=now_ms)
        self._wake()
        return answer

    async def GetReport(self, request: pb.GetReportRequest, context: Any) -> pb.GetReportResponse:
        """Returns a report."""
        found = await self._found(convert.report_id(request))
        return pb.GetReportResponse(report=convert.report(found))

    async def ListReports(
        self, request: pb.ListReportsRequest, context: Any
    ) -> pb.ListReportsResponse:
        """Lists reports."""
        page = convert.list_reports(request)
        if request.subject_id:
            await self._subjects.currency_of(request.subject_id)
        found = await self._store.reports(
            page, subject_id=request.subject_id, now_ms=self._clock.now_ms()
        )
        shown, token = cut(page, found, lambda one: one.id)
        return pb.ListReportsResponse(
            reports=[convert.report(one) for one in shown], next_page_token=token
        )

    async def DownloadReport(self, request: pb.DownloadReportRequest, context: Any) -> HttpBody:
        """Returns a part of a file."""
        report_id, number = convert.download(request)
        found = await self._found(report_id)
        if found.state is not State.READY:
            raise convert.not_ready(found)
        if number > found.part_count:
            raise convert.no_part(found)
        try:
            part = await self._files.part(found, number)
        except ObjectsUnavailable as error:
            logger.warning("reports_unavailable", error=str(error))
            raise _unavailable() from error
        if part is None:
            logger.error("report_part_missing", report_id=found.id, part=number)
            raise _unavailable()
        return HttpBody(content_type=found.content_type, data=part)

    async def DeleteReport(
        self, request: pb.DeleteReportRequest, context: Any
    ) -> pb.DeleteReportResponse:
        """Removes a report."""
        key = convert.delete(request, context)

        async def effect(transaction: Transaction) -> pb.DeleteReportResponse:
            if not await transaction.delete(request.report_id):
                raise convert.not_found(request.report_id)
            await transaction.record()
            return pb.DeleteReportResponse()

        now_ms = self._clock.now_ms()
        return await self._once(key, effect, pb.DeleteReportResponse, context, now_ms=now_ms)

    async def ScheduleReport(
        self, request: pb.ScheduleReportRequest, context: Any
    ) -> pb.ScheduleReportResponse:
        """Has reports made again and again."""
        key, wanted, interval, user_id = convert.schedule_report(request, context)
        await self._subjects.currency_of(wanted.subject_id)
        if user_id != key.principal:
            # Staff name somebody, who must be known to be told.
            await self._subjects.currency_of(user_id)
        found = await self._subjects.find(wanted.subject_id, "")
        now_ms = self._clock.now_ms()
        schedule = Schedule(
            id=self._ids.new(ids.REPORT_SCHEDULE, _partition_of(wanted)),
            wanted=wanted,
            owner_id=(found.owner_id if found else "") or user_id,
            interval=interval,
            user_id=user_id,
            next_date=period_of(
                interval, day_of(now_ms, ZoneInfo("UTC")), week_start=self._week_start
            ).start,
            active=True,
            create_time_ms=now_ms,
        )

        async def effect(transaction: Transaction) -> pb.ScheduleReportResponse:
            if await transaction.count_schedules(wanted.subject_id) >= SCHEDULES_MAX:
                raise ResourceExhausted(
                    f"{SCHEDULES_MAX} reports about it are scheduled; delete one",
                    reason="TOO_MANY_REPORT_SCHEDULES",
                )
            await transaction.insert_schedule(schedule)
            shown = convert.schedule(schedule)
            await transaction.record(after=shown)
            return pb.ScheduleReportResponse(report_schedule=shown)

        return await self._once(key, effect, pb.ScheduleReportResponse, context, now_ms=now_ms)

    async def ListReportSchedules(
        self, request: pb.ListReportSchedulesRequest, context: Any
    ) -> pb.ListReportSchedulesResponse:
        """Lists what is scheduled."""
        page = convert.list_schedules(request)
        if request.subject_id:
            await self._subjects.currency_of(request.subject_id)
        found = await self._store.schedules(page, subject_id=request.subject_id)
        shown, token = cut(page, found, lambda one: one.id)
        return pb.ListReportSchedulesResponse(
            report_schedules=[convert.schedule(one) for one in shown], next_page_token=token
        )

    async def DeleteReportSchedule(
        self, request: pb.DeleteReportScheduleRequest, context: Any
    ) -> pb.DeleteReportScheduleResponse:
        """Ends a schedule."""
        key = convert.delete_schedule(request, context)

        async def effect(transaction: Transaction) -> pb.DeleteReportScheduleResponse:
            if not await transaction.end_schedule(request.report_schedule_id):
                raise convert.schedule_not_found(request.report_schedule_id)
            await transaction.record()
            return pb.DeleteReportScheduleResponse()

        now_ms = self._clock.now_ms()
        return await self._once(
            key, effect, pb.DeleteReportScheduleResponse, context, now_ms=now_ms
        )

    async def _found(self, report_id: str) -> Report:
        found = await self._store.report(report_id)
        # Removed a while later, it is gone all the same.
        if found is None or found.is_gone(self._clock.now_ms()):
            raise convert.not_found(report_id)
        return found

    async def _once(
        self,
        key: RequestKey,
        effect: Callable[[Transaction], Awaitable[_Answer]],
        kind: type[_Answer],
        context: Any,
        *,
        now_ms: int,
    ) -> _Answer:
        """Has the effect once per request id."""
        async with self._store.transaction(now_ms=now_ms) as transaction:
            stored = await transaction.claim(key)
            if stored is None:
                answer = await effect(transaction)
                await transaction.answer(key, answer.SerializeToString())
                return answer
            stored.require(key)
            await transaction.record(reason=REPLAYED_REASON)
        await context.send_initial_metadata(REPLAYED)
        return kind.FromString(stored.response)


def _partition_of(wanted: Wanted) -> int:
    subject_id = wanted.subject_id
    return _PARTITION if ids.is_programme_id(subject_id) else ids.partition_of(subject_id)


def _unavailable() -> Unavailable:
    return Unavailable(
        "the storage of files gives no answer; try again", reason="REPORTS_UNAVAILABLE"
    )
