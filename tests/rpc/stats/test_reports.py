"""CreateReport, GetReport, ListReports, DownloadReport, DeleteReport: files for whose it is."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import grpc
import pytest

from holdfast.authz.v1 import authorization_pb2 as authz
from holdfast.stats.v1 import report_pb2 as pb
from holdfast.stats.v1 import report_service_pb2 as rpc
from runtime.files import make_private_folder
from tests.accounts_mesh import Refused, refusal_of
from tests.stats_mesh import (
    ACCOUNT,
    ADMIN,
    AUDITOR,
    CARD,
    COMPANY,
    DEPARTMENT,
    HOLDER,
    MANAGER,
    MERCHANT,
    NOON,
    OTHER_ACCOUNT,
    OTHER_CARD,
    OTHER_COMPANY,
    PERSONAL,
    PROGRAMME,
    UNKNOWN_ACCOUNT,
    USER,
    Headers,
    StatsMesh,
)

DAY = timedelta(days=1)
SHOP = authz.Merchant(id="m-1", descriptor="Shop", category_code="5411", country_code="GB")
EVIL = authz.Merchant(
    id="=m", descriptor='=HYPERLINK("http://x","y")', category_code="5812", country_code="GB"
)
MONTH = {"start_date": "2026-11-01", "end_date": "2026-11-30"}


async def refused(method: Any, request: Any, caller: Headers = ADMIN) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await method(request, metadata=caller)
    return refusal_of(error.value)


def wanted(subject_id: str = COMPANY, request_id: str = "r1", **fields: Any) -> Any:
    fields.setdefault("type", pb.REPORT_TYPE_SPENDING)
    return rpc.CreateReportRequest(
        request_id=request_id, subject_id=subject_id, **{**MONTH, **fields}
    )


async def created(mesh: StatsMesh, request: Any, caller: Headers = ADMIN) -> pb.Report:
    return (await mesh.reports.CreateReport(request, metadata=caller)).report


async def got(mesh: StatsMesh, name: str, caller: Headers = ADMIN) -> pb.Report:
    request = rpc.GetReportRequest(report_id=name)
    return (await mesh.reports.GetReport(request, metadata=caller)).report


async def made(mesh: StatsMesh, caller: Headers = ADMIN, **fields: Any) -> tuple[pb.Report, bytes]:
    """A report that is ready, and its file."""
    asked = await created(mesh, wanted(**fields), caller)
    assert await mesh.report_worker.work_due()
    report = await got(mesh, asked.id, caller)
    assert report.state == pb.REPORT_STATE_READY, report
    parts = [
        (
            await mesh.reports.DownloadReport(
                rpc.DownloadReportRequest(report_id=report.id, part=number + 1), metadata=caller
            )
        ).data
        for number in range(report.part_count)
    ]
    return report, b"".join(parts)


def rows_of(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode(), newline="")))


async def spend(mesh: StatsMesh) -> None:
    entry = mesh.book.entry
    mesh.accounts.departments[COMPANY, USER] = DEPARTMENT
    await mesh.take(
        entry("FORCE_POST", 1_250, merchant=SHOP),
        entry("FORCE_POST", 1_050, merchant=EVIL, at=NOON - DAY),
        entry("REFUND", 300, merchant=SHOP),
        entry("FORCE_POST", 7_000, merchant=SHOP, at=NOON - 40 * DAY),
        entry("FORCE_POST", 500, merchant=SHOP, currency="JPY", account_id=OTHER_ACCOUNT),
        entry("FEE", 25),
    )


async def test_spending_as_csv(mesh: StatsMesh) -> None:
    await spend(mesh)
    report, file = await made(mesh)
    assert rows_of(file) == [
        {
            "department_id": DEPARTMENT,
            "card_id": CARD,
            "category": category,
            "currency": currency,
            "purchase_count": "1",
            "purchases": bought,
            "refund_count": refunds,
            "refunds": refunded,
            "net_spend": net,
            "declined_count": "0",
        }
        for category, currency, bought, refunds, refunded, net in (
            ("5411", "JPY", "500", "0", "0", "500"),
            ("5411", "USD", "12.50", "1", "3.00", "9.50"),
            ("5812", "USD", "10.50", "0", "0.00", "10.50"),
        )
    ]
    assert (report.progress_percent, report.row_count, report.part_count) == (100, 3, 1)
    assert (report.size_bytes, report.sha256) == (len(file), sha256(file).hexdigest())
    assert report.file_name == f"spending-{COMPANY}-2026-11-01-2026-11-30.csv"
    assert report.end_time.ToDatetime() == NOON.replace(tzinfo=None)
    assert report.expire_time.ToDatetime() == (NOON + 30 * DAY).replace(tzinfo=None)


async def test_by_whatever_is_asked_for(mesh: StatsMesh) -> None:
    await spend(mesh)
    groups = [pb.REPORT_GROUP_MONTH, pb.REPORT_GROUP_MERCHANT]
    _, file = await made(mesh, groups=groups, currency_code="USD", start_date="2026-10-01")
    assert [tuple(row.values())[:7] for row in rows_of(file)] == [
        ("2026-10", "m-1", "Shop", "USD", "1", "70.00", "0"),
        # What a merchant calls itself is no formula.
        ("2026-11", "'=m", '\'=HYPERLINK("http://x","y")', "USD", "1", "10.50", "0"),
        ("2026-11", "m-1", "Shop", "USD", "1", "12.50", "1"),
    ]


async def test_spending_as_json_has_the_totals(mesh: StatsMesh) -> None:
    await spend(mesh)
    _, file = await made(mesh, format=pb.REPORT_FORMAT_JSON, groups=[pb.REPORT_GROUP_CARD])
    found = json.loads(file)
    totals = {one["currency"]: one for one in found["totals"]}
    assert totals["USD"]["net_spend_minor"] == 2_000
    assert totals["USD"]["fee_minor"] == 25
    assert [row["net_spend_minor"] for row in found["rows"]] == [500, 2_000]
    assert found["groups"] == ["card"]


async def test_an_empty_period_is_a_file_without_rows(mesh: StatsMesh) -> None:
    report, file = await made(mesh, format=pb.REPORT_FORMAT_JSON)
    assert json.loads(file)["rows"] == []
    assert (report.row_count, report.part_count) == (0, 1)


async def test_the_same_request_makes_one_report(mesh: StatsMesh) -> None:
    first = await created(mesh, wanted())
    call = mesh.reports.CreateReport(wanted(), metadata=ADMIN)
    assert (await call).report == first
    assert dict(await call.initial_metadata())["idempotent-replayed"] == "true"
    error = await refused(mesh.reports.CreateReport, wanted(PERSONAL))
    assert error.reason == "REQUEST_ID_REUSED"
    assert await mesh.rows("SELECT id FROM report") == [(first.id,)]
    entries = await mesh.rows(
        "SELECT code, reason FROM audit.entry WHERE method LIKE '%CreateReport'"
        " ORDER BY id DESC LIMIT 3"
    )
    assert [tuple(one) for one in entries] == [
        ("ALREADY_EXISTS", "REQUEST_ID_REUSED"),
        ("OK", "REPLAYED"),
        ("OK", ""),
    ]


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (ADMIN, {ACCOUNT, OTHER_ACCOUNT, PERSONAL, CARD, COMPANY, DEPARTMENT, USER, PROGRAMME}),
        (AUDITOR, {ACCOUNT, OTHER_ACCOUNT, PERSONAL, CARD, COMPANY, DEPARTMENT, USER, PROGRAMME}),
        (MANAGER, {ACCOUNT, CARD, COMPANY, DEPARTMENT}),
        (HOLDER, {PERSONAL, USER}),
        (MERCHANT, set()),
    ],
    ids=["admin", "auditor", "manager", "cardholder", "merchant"],
)
async def test_everybody_has_reports_of_their_own(
    mesh: StatsMesh, caller: Headers, seen: set[str]
) -> None:
    """Who may ask for a report may have it and list it; nobody else knows of it."""
    subjects = (
        *(ACCOUNT, OTHER_ACCOUNT, PERSONAL, CARD, OTHER_CARD, COMPANY, OTHER_COMPANY, DEPARTMENT),
        *(USER, PROGRAMME),
    )
    asked, read, listed, removed = (set[str]() for _ in range(4))
    calls: list[tuple[set[str], Any, Any]]
    for number, subject in enumerate(subjects):
        known = await created(mesh, wanted(subject, f"known-{number}"))
        try:
            await created(mesh, wanted(subject, f"own-{number}"), caller)
            asked.add(subject)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (  # noqa: PT017
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.PERMISSION_DENIED,
                grpc.StatusCode.INVALID_ARGUMENT,
            )
        calls = [
            (read, mesh.reports.GetReport, rpc.GetReportRequest(report_id=known.id)),
            (listed, mesh.reports.ListReports, rpc.ListReportsRequest(subject_id=subject)),
            (
                removed,
                mesh.reports.DeleteReport,
                rpc.DeleteReportRequest(report_id=known.id, request_id=f"d-{number}"),
            ),
        ]
        for found, method, request in calls:
            try:
                await method(request, metadata=caller)
                found.add(subject)
            except grpc.aio.AioRpcError as error:
                assert error.code() is not grpc.StatusCode.INTERNAL  # noqa: PT017
    strangers = {OTHER_CARD, OTHER_COMPANY} if caller in (ADMIN, AUDITOR) else set()
    assert asked == read == listed == seen | strangers
    assert removed == (set() if caller == AUDITOR else seen | strangers)


async def test_lists_are_pages_newest_first(mesh: StatsMesh) -> None:
    names = []
    for number in range(3):
        names.append((await created(mesh, wanted(request_id=f"r{number}"))).id)
        mesh.clock.advance(1)
    await created(mesh, wanted(PERSONAL, "other"))
    request = rpc.ListReportsRequest(subject_id=COMPANY, page_size=2)
    first = await mesh.reports.ListReports(request, metadata=MANAGER)
    request.page_token = first.next_page_token
    second = await mesh.reports.ListReports(request, metadata=MANAGER)
    assert [one.id for one in (*first.reports, *second.reports)] == names[::-1]
    assert not second.next_page_token
    everything = await mesh.reports.ListReports(rpc.ListReportsRequest(), metadata=ADMIN)
    assert len(everything.reports) == 4
    error = await refused(mesh.reports.ListReports, rpc.ListReportsRequest(), MANAGER)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"subject_id": "acct_1"}, {"subject_id"}),
        ({"type": 0}, {"type"}),
        ({"type": 9, "format": 99}, {"type", "format"}),
        ({"format": pb.REPORT_FORMAT_XERO_CSV}, {"format"}),
        ({"books": pb.REPORT_BOOKS_HOLDER}, {"books"}),
        ({"start_date": "2026-11-31"}, {"start_date"}),
        ({"end_date": "2026-10-31"}, {"end_date"}),
        ({"end_date": "2029-11-30"}, {"end_date"}),
        ({"currency_code": "XXX"}, {"currency_code"}),
        ({"groups": [0]}, {"groups[0]"}),
        ({"groups": [1, 2, 3, 4, 5, 6]}, {"groups"}),
        ({"request_id": ""}, {"request_id"}),
        ({"type": pb.REPORT_TYPE_ACCOUNTING, "groups": [1]}, {"groups"}),
        ({"type": pb.REPORT_TYPE_ACCOUNTING, "subject_id": CARD}, {"subject_id"}),
        (
            {"type": pb.REPORT_TYPE_ACCOUNTING, "format": pb.REPORT_FORMAT_QUICKBOOKS_IIF},
            {"currency_code"},
        ),
    ],
)
async def test_what_is_wrong_is_named(
    mesh: StatsMesh, fields: dict[str, Any], named: set[str]
) -> None:
    error = await refused(mesh.reports.CreateReport, wanted(**fields))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(error.fields) == named


async def test_what_is_not_there(mesh: StatsMesh) -> None:
    unknown = "rpt_0a" + "9" * 32
    for method, request in (
        (mesh.reports.GetReport, rpc.GetReportRequest(report_id=unknown)),
        (mesh.reports.DownloadReport, rpc.DownloadReportRequest(report_id=unknown)),
        (
            mesh.reports.DeleteReport,
            rpc.DeleteReportRequest(report_id=unknown, request_id="r1"),
        ),
    ):
        error = await refused(method, request)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "REPORT_NOT_FOUND")
    error = await refused(mesh.reports.CreateReport, wanted(UNKNOWN_ACCOUNT))
    assert error.reason == "ACCOUNT_NOT_FOUND"
    error = await refused(mesh.reports.GetReport, rpc.GetReportRequest(report_id="rpt_1"))
    assert set(error.fields) == {"report_id"}


async def test_downloads_of_what_cannot_be(mesh: StatsMesh) -> None:
    report = await created(mesh, wanted())
    request = rpc.DownloadReportRequest(report_id=report.id)
    error = await refused(mesh.reports.DownloadReport, request)
    assert (error.code, error.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "REPORT_NOT_READY",
    )
    await mesh.report_worker.work_due()
    for part in (-1, 2):
        request.part = part
        error = await refused(mesh.reports.DownloadReport, request)
        assert set(error.fields) == {"part"}


async def test_a_removed_report_is_gone_with_its_file(mesh: StatsMesh) -> None:
    report, _ = await made(mesh)
    request = rpc.DeleteReportRequest(report_id=report.id, request_id="d1")
    await mesh.reports.DeleteReport(request, metadata=MANAGER)
    call = mesh.reports.DeleteReport(request, metadata=MANAGER)
    await call
    assert dict(await call.initial_metadata())["idempotent-replayed"] == "true"
    error = await refused(mesh.reports.GetReport, rpc.GetReportRequest(report_id=report.id))
    assert error.reason == "REPORT_NOT_FOUND"
    listed = await mesh.reports.ListReports(
        rpc.ListReportsRequest(subject_id=COMPANY), metadata=MANAGER
    )
    assert not listed.reports
    folder = mesh.documents / report.id
    assert folder.exists()
    await mesh.report_worker.clean()
    assert not folder.exists()


async def test_reports_live_for_so_long(mesh: StatsMesh) -> None:
    report, file = await made(mesh)
    (stored,) = (path for path in mesh.documents.rglob("*") if path.is_file())
    # Sealed: only who has the row can read it.
    assert stored.read_bytes() != file
    assert CARD.encode() not in stored.read_bytes()
    mesh.clock.advance(30 * 86_400_000)
    await mesh.report_worker.clean()
    error = await refused(mesh.reports.GetReport, rpc.GetReportRequest(report_id=report.id))
    assert error.reason == "REPORT_NOT_FOUND"
    assert not stored.exists()


async def test_so_many_wait_and_no_more(mesh: StatsMesh) -> None:
    for number in range(20):
        await created(mesh, wanted(request_id=f"r{number}"))
    error = await refused(mesh.reports.CreateReport, wanted(request_id="one more"[:3]))
    assert (error.code, error.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_REPORTS",
    )
    await created(mesh, wanted(PERSONAL, "another"))
    await mesh.report_worker.work_due()
    await created(mesh, wanted(request_id="after"))


async def test_a_storage_that_gives_no_answer(mesh: StatsMesh) -> None:
    """Nothing is lost: it is tried again; what is stored waits."""
    report = await created(mesh, wanted())
    mesh.documents.parent.mkdir(parents=True, exist_ok=True)
    mesh.documents.write_text("no folder")
    assert await mesh.report_worker.work_due()
    assert (await got(mesh, report.id)).state == pb.REPORT_STATE_RUNNING
    assert not await mesh.report_worker.work_due()
    mesh.documents.unlink()
    make_private_folder(mesh.documents)
    mesh.clock.advance(30_000)
    assert await mesh.report_worker.work_due()
    assert (await got(mesh, report.id)).state == pb.REPORT_STATE_READY
    mesh.documents.rename(mesh.documents.parent / "elsewhere")
    error = await refused(
        mesh.reports.DownloadReport, rpc.DownloadReportRequest(report_id=report.id)
    )
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "REPORTS_UNAVAILABLE")
