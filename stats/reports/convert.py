"""Reports on the wire."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from holdfast.stats.v1 import report_pb2 as pb
from holdfast.stats.v1 import report_service_pb2 as rpc
from holdfast.stats.v1 import stat_pb2 as stat_pb
from runtime import ids
from runtime.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from runtime.identity import current_identity
from runtime.money import is_currency
from runtime.paging import Page, page_of
from runtime.request_records import RequestKey, key_of
from runtime.validate import Violations, timestamp
from stats.convert import check_subject, day_fields
from stats.period import PeriodType
from stats.reports.report import (
    DAYS_MAX,
    FORMATS,
    GROUPS_DEFAULT,
    GROUPS_MAX,
    Books,
    Format,
    Group,
    Report,
    State,
    Type,
    Wanted,
)
from stats.reports.schedule import Schedule

_TYPES = {pb.ReportType.Value(f"REPORT_TYPE_{one}"): one for one in Type}
_FORMATS = {
    pb.REPORT_FORMAT_UNSPECIFIED: Format.CSV,
    **{pb.ReportFormat.Value(f"REPORT_FORMAT_{one}"): one for one in Format},
}
_GROUPS = {pb.ReportGroup.Value(f"REPORT_GROUP_{one}"): one for one in Group}
_BOOKS = {
    pb.REPORT_BOOKS_UNSPECIFIED: Books.ISSUER,
    **{pb.ReportBooks.Value(f"REPORT_BOOKS_{one}"): one for one in Books},
}
_INTERVALS = {stat_pb.PeriodType.Value(f"PERIOD_TYPE_{one}"): one for one in PeriodType}
#: What a journal may be of: entries name no department, and not every one a card.
_BOOKED = (ids.ACCOUNT, ids.USER, ids.COMPANY)
#: Files that do not say in which currency they are.
_ONE_CURRENCY = (Format.QUICKBOOKS_IIF, Format.XERO_CSV)


def create(request: rpc.CreateReportRequest, context: Any) -> tuple[RequestKey, Wanted, date, date]:
    """Checks CreateReport."""
    violations = Violations()
    key = key_of(request, context, violations)
    found = wanted(request, violations)
    start, end = day_fields(request, violations)
    if start and end and end < start:
        violations.add("end_date", "must not be before start_date")
    elif start and end and end >= start + timedelta(days=DAYS_MAX):
        violations.add("end_date", f"is too far: a report has at most {DAYS_MAX} days")
    violations.raise_if_any()
    assert found is not None, "nothing was wrong"
    assert start is not None, "nothing was wrong"
    assert end is not None, "nothing was wrong"
    return key, found, start, end


def wanted(request: Any, violations: Violations) -> Wanted | None:
    """Checks what is wanted, whatever its days; None if something is wrong."""
    check_subject(request.subject_id, violations)
    violations.enum("type", request.type, _TYPES, required=True)
    violations.enum("format", request.format, _FORMATS)
    violations.enum("books", request.books, _BOOKS)
    if request.currency_code and not is_currency(request.currency_code):
        violations.add("currency_code", "must be an ISO 4217 currency code, e.g. USD")
    for number, one in enumerate(request.groups):
        violations.enum(f"groups[{number}]", one, _GROUPS, required=True)
    if len(request.groups) > GROUPS_MAX:
        violations.add("groups", f"must be at most {GROUPS_MAX}")
    type_, format_ = _TYPES.get(request.type), _FORMATS.get(request.format)
    if type_ is None or format_ is None:
        return None
    if format_ not in FORMATS[type_]:
        known = ", ".join(FORMATS[type_])
        violations.add("format", f"must be one of those of this type: {known}")
    if type_ is Type.SPENDING and request.books:
        violations.add("books", "is only for accounting")
    if type_ is Type.ACCOUNTING:
        _check_journal(request, format_, violations)
    if violations.found:
        return None
    groups = tuple(dict.fromkeys(_GROUPS[one] for one in request.groups))
    return Wanted(
        subject_id=request.subject_id,
        type=type_,
        format=format_,
        currency_code=request.currency_code,
        groups=(groups or GROUPS_DEFAULT) if type_ is Type.SPENDING else (),
        books=_BOOKS[request.books],
    )


def report_id(request: Any) -> str:
    """Checks GetReport."""
    violations = Violations()
    violations.id("report_id", request.report_id, ids.REPORT)
    violations.raise_if_any()
    return str(request.report_id)


def download(request: rpc.DownloadReportRequest) -> tuple[str, int]:
    """Checks DownloadReport."""
    violations = Violations()
    violations.id("report_id", request.report_id, ids.REPORT)
    if request.part < 0:
        violations.add("part", "must not be negative")
    violations.raise_if_any()
    return request.report_id, request.part or 1


def delete(request: rpc.DeleteReportRequest, context: Any) -> RequestKey:
    """Checks DeleteReport."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("report_id", request.report_id, ids.REPORT)
    violations.raise_if_any()
    return key


def schedule_report(
    request: rpc.ScheduleReportRequest, context: Any
) -> tuple[RequestKey, Wanted, PeriodType, str]:
    """Checks ScheduleReport; returns also who is told."""
    violations = Violations()
    key = key_of(request, context, violations)
    found = wanted(request, violations)
    violations.enum("interval", request.interval, _INTERVALS, required=True)
    identity = current_identity()
    user_id = request.user_id or identity.principal
    if not ids.is_id(user_id, ids.USER):
        wrong = "must be an id that starts with usr_" if request.user_id else "is required"
        violations.add("user_id", wrong)
    elif "admin" not in identity.roles and user_id != identity.principal:
        violations.add("user_id", "must be yourself")
    violations.raise_if_any()
    assert found is not None, "nothing was wrong"
    return key, found, _INTERVALS[request.interval], user_id


def delete_schedule(request: rpc.DeleteReportScheduleRequest, context: Any) -> RequestKey:
    """Checks DeleteReportSchedule."""
    violations = Violations()
    key = key_of(request, context, violations)
    violations.id("report_schedule_id", request.report_schedule_id, ids.REPORT_SCHEDULE)
    violations.raise_if_any()
    return key


def list_reports(request: rpc.ListReportsRequest) -> Page:
    """Checks ListReports."""
    return _page(request, "reports")


def list_schedules(request: rpc.ListReportSchedulesRequest) -> Page:
    """Checks ListReportSchedules."""
    return _page(request, "schedules")


def _page(request: Any, what: str) -> Page:
    violations = Violations()
    if request.subject_id:
        check_subject(request.subject_id, violations)
    page = page_of(
        request.page_size,
        request.page_token,
        scope=f"{what}|{request.subject_id}",
        violations=violations,
    )
    violations.raise_if_any()
    return page


def report(found: Report) -> pb.Report:
    """A report."""
    ready = found.state is State.READY
    shown = pb.Report(
        id=found.id,
        request=asked(found.wanted),
        start_date=found.start.isoformat(),
        end_date=found.end.isoformat(),
        state=pb.ReportState.Value(f"REPORT_STATE_{found.state}"),
        progress_percent=found.progress_percent,
        row_count=found.row_count,
        size_bytes=found.size_bytes,
        part_count=found.part_count if ready else 0,
        sha256=found.sha256,
        file_name=found.file_name,
        content_type=found.content_type,
        failure=found.failure,
        report_schedule_id=found.schedule_id,
        create_time=timestamp(found.create_time_ms),
        expire_time=timestamp(found.expire_time_ms),
    )
    if found.end_time_ms is not None:
        shown.end_time.CopyFrom(timestamp(found.end_time_ms))
    return shown


def asked(found: Wanted) -> pb.ReportRequest:
    """What is wanted of a report."""
    journal = found.type is Type.ACCOUNTING
    return pb.ReportRequest(
        subject_id=found.subject_id,
        type=pb.ReportType.Value(f"REPORT_TYPE_{found.type}"),
        format=pb.ReportFormat.Value(f"REPORT_FORMAT_{found.format}"),
        currency_code=found.currency_code,
        groups=[pb.ReportGroup.Value(f"REPORT_GROUP_{one}") for one in found.groups],
        books=pb.ReportBooks.Value(f"REPORT_BOOKS_{found.books if journal else 'UNSPECIFIED'}"),
    )


def schedule(found: Schedule) -> pb.ReportSchedule:
    """A schedule."""
    return pb.ReportSchedule(
        id=found.id,
        request=asked(found.wanted),
        interval=stat_pb.PeriodType.Value(f"PERIOD_TYPE_{found.interval}"),
        user_id=found.user_id,
        next_start_date=found.next_date.isoformat(),
        create_time=timestamp(found.create_time_ms),
    )


def schedule_not_found(name: str) -> NotFound:
    """The error for a schedule that is not there, or another's."""
    return NotFound(
        "no such report schedule",
        reason="REPORT_SCHEDULE_NOT_FOUND",
        metadata={"report_schedule_id": name},
    )


def not_found(name: str) -> NotFound:
    """The error for a report that is not there, or another's."""
    return NotFound("no such report", reason="REPORT_NOT_FOUND", metadata={"report_id": name})


def not_ready(found: Report) -> FailedPrecondition:
    """The error for a report that cannot be downloaded."""
    return FailedPrecondition(
        f"the report is {found.state}",
        reason="REPORT_NOT_READY",
        metadata={"state": str(found.state)},
    )


def no_part(found: Report) -> InvalidArgument:
    """The error for a part that a file does not have."""
    return InvalidArgument.of([Violation("part", f"must be 1 to {found.part_count}")])


def _check_journal(request: Any, format_: Format, violations: Violations) -> None:
    if request.groups:
        violations.add("groups", "is only for spending")
    subject = request.subject_id
    if ids.is_any_id(subject) and not (
        ids.is_programme_id(subject) or ids.is_id(subject, *_BOOKED)
    ):
        violations.add("subject_id", "must be an account, user, company or programme in a journal")
    if format_ in _ONE_CURRENCY and not request.currency_code:
        violations.add("currency_code", "is required for this format: its files have one currency")
