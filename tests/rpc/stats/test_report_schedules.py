"""ScheduleReport, ListReportSchedules, DeleteReportSchedule: a report of each period, told once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from holdfast.stats.v1 import report_pb2 as pb
from holdfast.stats.v1 import report_service_pb2 as rpc
from holdfast.stats.v1 import stat_pb2 as stat
from tests.stats_mesh import (
    ACCOUNT,
    ADMIN,
    AUDITOR,
    COMPANY,
    HOLDER,
    MANAGER,
    MANAGER_USER,
    OTHER_COMPANY,
    USER,
    Headers,
    StatsMesh,
)
from tests.stats_reports import refused


def wanted(request_id: str = "s1", **fields: Any) -> rpc.ScheduleReportRequest:
    named: dict[str, Any] = {
        "subject_id": COMPANY,
        "type": pb.REPORT_TYPE_SPENDING,
        "interval": stat.PERIOD_TYPE_DAY,
    }
    return rpc.ScheduleReportRequest(request_id=request_id, **{**named, **fields})


async def scheduled(
    mesh: StatsMesh, request: rpc.ScheduleReportRequest, caller: Headers = MANAGER
) -> pb.ReportSchedule:
    return (await mesh.reports.ScheduleReport(request, metadata=caller)).report_schedule


def at(mesh: StatsMesh, text: str) -> None:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    mesh.clock.advance(int(moment.timestamp() * 1000) - mesh.clock.now_ms())


async def test_each_period_has_its_report_and_somebody_is_told(mesh: StatsMesh) -> None:
    """Once the period is over everywhere; what is due twice is made once."""
    made = await scheduled(mesh, wanted())
    assert (made.user_id, made.next_start_date) == (MANAGER_USER, "2026-11-20")
    at(mesh, "2026-11-21T12:59:59")
    assert not await mesh.report_worker.schedule_due()
    at(mesh, "2026-11-21T13:00:00")
    assert await mesh.report_worker.schedule_due() == 1
    assert not await mesh.report_worker.schedule_due()
    assert await mesh.report_worker.work_due()
    (report,) = (
        await mesh.reports.ListReports(rpc.ListReportsRequest(subject_id=COMPANY), metadata=MANAGER)
    ).reports
    assert (report.start_date, report.end_date) == ("2026-11-20", "2026-11-20")
    assert report.report_schedule_id == made.id
    (event,) = await mesh.rows("SELECT type, owner_id, user_id, data FROM event")
    assert tuple(event)[:3] == ("report.ready", COMPANY, MANAGER_USER)
    assert json.loads(event["data"]) == {
        "report_id": report.id,
        "start_date": "2026-11-20",
        "end_date": "2026-11-20",
    }
    # Away for days: none is left out.
    at(mesh, "2026-11-24T13:00:00")
    while await mesh.report_worker.schedule_due():
        pass
    rows = await mesh.rows("SELECT start_date::text AS day FROM report ORDER BY 1")
    assert [row["day"] for row in rows] == [f"2026-11-{day}" for day in (20, 21, 22, 23)]


@pytest.mark.parametrize(
    ("interval", "start", "end", "due"),
    [
        (stat.PERIOD_TYPE_WEEK, "2026-11-16", "2026-11-22", "2026-11-23T13:00:00"),
        (stat.PERIOD_TYPE_MONTH, "2026-11-01", "2026-11-30", "2026-12-01T13:00:00"),
    ],
)
async def test_weeks_and_months(
    mesh: StatsMesh, interval: stat.PeriodType.ValueType, start: str, end: str, due: str
) -> None:
    assert (await scheduled(mesh, wanted(interval=interval))).next_start_date == start
    at(mesh, due)
    assert await mesh.report_worker.schedule_due() == 1
    (row,) = await mesh.rows("SELECT start_date::text, end_date::text FROM report")
    assert tuple(row) == (start, end)


async def test_no_report_before_its_period_is_counted(mesh: StatsMesh) -> None:
    """Whoever was away has missed entries: nobody is told of a report without them."""
    await scheduled(mesh, wanted())
    reached: list[int | None] = [None]
    mesh.report_worker._counted_until_ms = lambda: reached[0]
    at(mesh, "2026-11-22T09:00:00")
    over = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000)
    for reached_ms in (None, over - 1):
        reached[0] = reached_ms
        assert not await mesh.report_worker.schedule_due()
    reached[0] = over
    assert await mesh.report_worker.schedule_due() == 1
    (row,) = await mesh.rows("SELECT start_date::text AS day FROM report")
    assert row["day"] == "2026-11-20"


async def test_whom_the_company_has_removed_is_told_nothing(mesh: StatsMesh) -> None:
    """The report is made all the same, and whoever manages the company is told."""
    await scheduled(mesh, wanted())
    at(mesh, "2026-11-21T13:00:00")
    mesh.accounts.down = True
    assert not await mesh.report_worker.schedule_due()
    mesh.accounts.down, mesh.accounts.dismissed = False, {MANAGER_USER}
    assert await mesh.report_worker.schedule_due() == 1
    assert await mesh.report_worker.work_due()
    (event,) = await mesh.rows("SELECT type, owner_id, user_id FROM event")
    assert tuple(event) == ("report.ready", COMPANY, "")
    # Who is back is told again.
    mesh.accounts.dismissed = set()
    at(mesh, "2026-11-22T13:00:00")
    assert await mesh.report_worker.schedule_due() == 1
    assert await mesh.report_worker.work_due()
    told = await mesh.rows("SELECT user_id FROM event ORDER BY create_time")
    assert [row["user_id"] for row in told][1:] == [MANAGER_USER]


async def test_nothing_is_held_while_it_is_asked_who_is_told(
    mesh: StatsMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who was overtaken meanwhile, or has come too late, asks for no report."""
    first = await scheduled(mesh, wanted())
    ended = await scheduled(mesh, wanted("s2", subject_id=ACCOUNT))
    at(mesh, "2026-11-21T13:00:00")
    ask, others = mesh.accounts.subject, [mesh.report_worker]

    async def subject(subject_id: str, user_id: str) -> Any:
        assert mesh.pool.get_idle_size() == mesh.pool.get_size()
        if others:
            worker = others.pop()
            ending = rpc.DeleteReportScheduleRequest(request_id="d", report_schedule_id=ended.id)
            await mesh.reports.DeleteReportSchedule(ending, metadata=ADMIN)
            assert await worker.schedule_due() == 1
        return await ask(subject_id, user_id)

    monkeypatch.setattr(mesh.accounts, "subject", subject)
    assert not await mesh.report_worker.schedule_due()
    rows = await mesh.rows("SELECT schedule_id FROM report")
    assert [row["schedule_id"] for row in rows] == [first.id]


async def test_replays_and_ends(mesh: StatsMesh) -> None:
    made = await scheduled(mesh, wanted())
    assert await scheduled(mesh, wanted()) == made
    other = wanted(interval=stat.PERIOD_TYPE_WEEK)
    assert (await refused(mesh.reports.ScheduleReport, other, MANAGER)).reason == (
        "REQUEST_ID_REUSED"
    )
    listing = rpc.ListReportSchedulesRequest(subject_id=COMPANY)
    for caller in (MANAGER, AUDITOR, ADMIN):
        listed = await mesh.reports.ListReportSchedules(listing, metadata=caller)
        assert list(listed.report_schedules) == [made]
    ending = rpc.DeleteReportScheduleRequest(request_id="d1", report_schedule_id=made.id)
    error = await refused(mesh.reports.DeleteReportSchedule, ending, HOLDER)
    assert error.reason == "REPORT_SCHEDULE_NOT_FOUND"
    await mesh.reports.DeleteReportSchedule(ending, metadata=MANAGER)
    await mesh.reports.DeleteReportSchedule(ending, metadata=MANAGER)
    ending.request_id = "d2"
    error = await refused(mesh.reports.DeleteReportSchedule, ending, MANAGER)
    assert error.reason == "REPORT_SCHEDULE_NOT_FOUND"
    assert not (await mesh.reports.ListReportSchedules(listing, metadata=MANAGER)).report_schedules
    at(mesh, "2026-12-01T00:00:00")
    assert not await mesh.report_worker.schedule_due()


async def test_who_may_be_told(mesh: StatsMesh) -> None:
    """Staff name anybody, others themselves; what is another's is not there."""
    for caller, fields, named in (
        (MANAGER, {"user_id": USER}, {"user_id"}),
        (ADMIN, {}, {"user_id"}),
        (ADMIN, {"user_id": "co_1", "interval": 0}, {"user_id", "interval"}),
        (MANAGER, {"type": 0}, {"type"}),
    ):
        error = await refused(mesh.reports.ScheduleReport, wanted(**fields), caller)
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert set(error.fields) == named
    assert (await scheduled(mesh, wanted(user_id=USER), ADMIN)).user_id == USER
    stranger = wanted("s4", user_id="usr_0a" + "0" * 32)
    error = await refused(mesh.reports.ScheduleReport, stranger, ADMIN)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
    error = await refused(
        mesh.reports.ScheduleReport, wanted("s2", subject_id=OTHER_COMPANY), MANAGER
    )
    assert error.reason == "COMPANY_NOT_FOUND"
    error = await refused(mesh.reports.ScheduleReport, wanted("s3"), AUDITOR)
    assert error.code is grpc.StatusCode.PERMISSION_DENIED


async def test_so_many_and_no_more(mesh: StatsMesh) -> None:
    for number in range(20):
        await scheduled(mesh, wanted(f"s{number}"))
    error = await refused(mesh.reports.ScheduleReport, wanted("more"), MANAGER)
    assert (error.code, error.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_REPORT_SCHEDULES",
    )
