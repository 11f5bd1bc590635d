"""`holdfast reports`: has reports made, lists them, and fetches their files."""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
from google.protobuf import json_format
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from holdfast.stats.v1 import report_pb2 as pb
from holdfast.stats.v1 import report_service_pb2 as rpc
from runtime import ids
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.devstack import state
from runtime.mesh_client import CALL_TIMEOUT_S, MeshClient, connect

#: How often to look how far a report is.
_LOOK_S = 0.3
_UNSAID = pb.REPORT_BOOKS_UNSPECIFIED
#: Reports that are listed.
_LISTED = 50

T = TypeVar("T")

app = typer.Typer(
    help="Have reports made as files: what was spent, and journals for accounting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class ReportType(StrEnum):
    """What it is."""

    SPENDING = "spending"
    ACCOUNTING = "accounting"


class ReportFormat(StrEnum):
    """What kind of file."""

    CSV = "csv"
    JSON = "json"
    XLSX = "xlsx"
    PDF = "pdf"
    QUICKBOOKS_IIF = "quickbooks-iif"
    QUICKBOOKS_CSV = "quickbooks-csv"
    XERO_CSV = "xero-csv"


class ReportGroup(StrEnum):
    """What spending is broken down by."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    ACCOUNT = "account"
    DEPARTMENT = "department"
    USER = "user"
    CARD = "card"
    CATEGORY = "category"
    MERCHANT = "merchant"
    COUNTRY = "country"


class ReportBooks(StrEnum):
    """Whose books."""

    ISSUER = "issuer"
    HOLDER = "holder"


@app.command("create")
def create(  # noqa: PLR0917  typer calls it
    subject_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="An account, card, user, company, department or programme."
        ),
    ],
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="The first day.")],
    end: Annotated[str, typer.Option("--to", metavar="DATE", help="The last day.")] = "",
    kind: Annotated[ReportType, typer.Option("--type", help="What it is.")] = ReportType.SPENDING,
    format_: Annotated[
        ReportFormat, typer.Option("--format", help="What kind of file.")
    ] = ReportFormat.CSV,
    by: Annotated[
        list[ReportGroup] | None,
        typer.Option("--by", help="What spending is broken down by; may be repeated."),
    ] = None,
    currency: Annotated[str, typer.Option(metavar="CODE", help="Only this currency.")] = "",
    books: Annotated[
        ReportBooks | None, typer.Option("--books", help="Whose books a journal is for.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Wait until it is ready, and write the file here."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Has a report made. With --out, waits and writes the file, or else see `download`."""
    output = Output(as_json=as_json)
    for day in filter(None, (start, end)):
        _check_day(day)
    _check_new(out)
    request = rpc.CreateReportRequest(
        request_id=f"cli-{uuid.uuid4().hex}",
        subject_id=subject_id,
        type=pb.ReportType.Value(f"REPORT_TYPE_{kind.name}"),
        format=pb.ReportFormat.Value(f"REPORT_FORMAT_{format_.name}"),
        start_date=start,
        end_date=end,
        currency_code=currency,
        groups=[pb.ReportGroup.Value(f"REPORT_GROUP_{one.name}") for one in by or ()],
        books=pb.ReportBooks.Value(f"REPORT_BOOKS_{books.name}") if books else _UNSAID,
    )

    async def work(mesh: MeshClient) -> pb.Report:
        answer = await mesh.reports.CreateReport(request, timeout=CALL_TIMEOUT_S)
        if out is None:
            return answer.report
        report = await _ready(mesh, answer.report, output)
        await _fetch(mesh, report, out)
        return report

    report = _run(work, home)
    output.result(_document(report), shown=Text(_line(report, out)))


@app.command("list")
def listed(
    subject_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Only reports about it.")
    ] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists the latest reports."""
    output = Output(as_json=as_json)

    async def work(mesh: MeshClient) -> list[pb.Report]:
        request = rpc.ListReportsRequest(subject_id=subject_id or "", page_size=_LISTED)
        return list((await mesh.reports.ListReports(request, timeout=CALL_TIMEOUT_S)).reports)

    found = _run(work, home)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("report", "days", "format", "state", "rows"):
        table.add_column(heading, no_wrap=heading != "days", overflow="fold")
    for one in found:
        table.add_row(
            one.id,
            f"{one.start_date} to {one.end_date}",
            _word(pb.ReportFormat.Name(one.request.format)),
            _state(one),
            f"{one.row_count:,}",
        )
    output.result({"reports": [_document(one) for one in found]}, shown=table)


@app.command("download")
def download(
    report_id: Annotated[str, typer.Argument(metavar="REPORT", help="The `rpt_` id.")],
    file: Annotated[
        Path | None, typer.Argument(help="Where to; it must not exist. Default: its own name.")
    ] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Waits until a report is ready, and writes its file."""
    output = Output(as_json=as_json)
    if not ids.is_id(report_id, ids.REPORT):
        raise CliError(f"{report_id!r} is no id of a report")
    _check_new(file)

    async def work(mesh: MeshClient) -> tuple[pb.Report, Path]:
        request = rpc.GetReportRequest(report_id=report_id)
        found = (await mesh.reports.GetReport(request, timeout=CALL_TIMEOUT_S)).report
        report = await _ready(mesh, found, output)
        path = file or Path(report.file_name)
        _check_new(path)
        await _fetch(mesh, report, path)
        return report, path

    report, path = _run(work, home)
    output.result({**_document(report), "file": str(path)}, shown=Text(_line(report, path)))


async def _ready(mesh: MeshClient, report: pb.Report, output: Output) -> pb.Report:
    """Waits; a report that failed is an error."""
    with Progress(console=output.progress, transient=True) as progress:
        task = progress.add_task("making the report", total=100)
        while report.state in (pb.REPORT_STATE_QUEUED, pb.REPORT_STATE_RUNNING):
            progress.update(task, completed=report.progress_percent)
            await asyncio.sleep(_LOOK_S)
            request = rpc.GetReportRequest(report_id=report.id)
            report = (await mesh.reports.GetReport(request, timeout=CALL_TIMEOUT_S)).report
    if report.state != pb.REPORT_STATE_READY:
        raise CliError(
            f"{report.id} could not be made: {report.failure}", exit_code=ExitCode.DIFFERENCES
        )
    return report


async def _fetch(mesh: MeshClient, report: pb.Report, path: Path) -> None:
    """Writes all parts, one after the other, and compares the digest."""
    digest = hashlib.sha256()
    try:
        with path.open("xb") as target:
            for number in range(1, report.part_count + 1):
                request = rpc.DownloadReportRequest(report_id=report.id, part=number)
                answer = await mesh.reports.DownloadReport(request, timeout=CALL_TIMEOUT_S)
                target.write(answer.data)
                digest.update(answer.data)
    except OSError as error:
        raise CliError(f"cannot write {path}: {error}", exit_code=ExitCode.USAGE) from None
    if digest.hexdigest() != report.sha256:
        await asyncio.to_thread(path.unlink)
        raise CliError(f"what came of {report.id} is not its file", exit_code=ExitCode.DIFFERENCES)


def _run(work: Callable[[MeshClient], Awaitable[T]], home: Path | None) -> T:
    settings, ports = state.running(load_settings(home))

    async def connected() -> T:
        async with connect(settings, ports) as mesh:
            return await work(mesh)

    try:
        return run_to_end(connected())
    except grpc.aio.AioRpcError as error:
        codes = {
            grpc.StatusCode.NOT_FOUND: ExitCode.DIFFERENCES,
            grpc.StatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
        }
        code = codes.get(error.code(), ExitCode.ENVIRONMENT)
        raise CliError(
            error.details() or error.code().name,
            hint=""
            if code is not ExitCode.ENVIRONMENT
            else "see `holdfast status`; a server may be restarting",
            exit_code=code,
        ) from None


def _check_new(path: Path | None) -> None:
    if path is not None and path.exists():
        raise CliError(f"{path} is there already", exit_code=ExitCode.USAGE)


def _check_day(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        text = ""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise CliError("--from and --to are days such as 2026-11-21")


def _document(report: pb.Report) -> dict[str, Any]:
    return json_format.MessageToDict(report, preserving_proto_field_name=True)


def _line(report: pb.Report, path: Path | None) -> str:
    if path is None:
        return f"{report.id} {_state(report)}"
    return f"{report.id}: {report.row_count:,} rows, wrote {path}"


def _state(report: pb.Report) -> str:
    word = pb.ReportState.Name(report.state).removeprefix("REPORT_STATE_").lower()
    running = report.state == pb.REPORT_STATE_RUNNING
    return f"{word} {report.progress_percent} %" if running else word


def _word(name: str) -> str:
    return name.removeprefix("REPORT_FORMAT_").lower().replace("_", "-")
