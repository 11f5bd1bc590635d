"""GetReport, ListReports, DownloadReport, DeleteReport: files for those whose it is."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from holdfast.stats.v1 import report_pb2 as pb
from holdfast.stats.v1 import report_service_pb2 as rpc
from runtime.files import make_private_folder
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
from tests.stats_reports import (
    created,
    got,
    made,
    refused,
    wanted,
)


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
    """Who may ask for a report may have it and list it; nobody else knows of it, but for auditors,
    who read what others asked for.
    """
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
    assert read == listed == seen | strangers
    assert asked == removed == (set() if caller == AUDITOR else seen | strangers)


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
    listing = rpc.ListReportsRequest(subject_id=COMPANY)
    mesh.clock.advance(30 * 86_400_000 - 1)
    assert (await got(mesh, report.id)).id == report.id
    assert (await mesh.reports.ListReports(listing, metadata=ADMIN)).reports
    # From then on it is gone, whether it was removed already or not.
    mesh.clock.advance(1)
    for method, request in (
        (mesh.reports.GetReport, rpc.GetReportRequest(report_id=report.id)),
        (mesh.reports.DownloadReport, rpc.DownloadReportRequest(report_id=report.id)),
    ):
        assert (await refused(method, request)).reason == "REPORT_NOT_FOUND"
    assert not (await mesh.reports.ListReports(listing, metadata=ADMIN)).reports
    assert stored.exists()
    await mesh.report_worker.clean()
    assert not stored.exists()


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
