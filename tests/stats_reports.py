"""Reports as tests ask for them."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import grpc
import pytest

from holdfast.authz.v1 import authorization_pb2 as authz
from holdfast.stats.v1 import report_pb2 as pb
from holdfast.stats.v1 import report_service_pb2 as rpc
from tests.accounts_mesh import Refused, refusal_of
from tests.stats_mesh import (
    ADMIN,
    COMPANY,
    DEPARTMENT,
    NOON,
    OTHER_ACCOUNT,
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
