"""`holdfast stats usage`: how the API was used."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Group
from rich.table import Table
from rich.text import Text

from holdfast.stats.v1 import api_usage_service_pb2 as pb
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.clock import SystemClock, datetime_of
from runtime.devstack import state
from runtime.mesh_client import CALL_TIMEOUT_S, connect

#: What people are told is wrong with what they have asked.
_ASKED_WRONGLY = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})
_MS = 1_000


class By(StrEnum):
    """What sums are made by."""

    METHOD = "method"
    CALLER = "caller"
    KEY = "key"
    DAY = "day"
    WEEK = "week"


class Order(StrEnum):
    """Which sums come first."""

    CALLS = "calls"
    ERRORS = "errors"
    REFUSED = "refused"
    FAILED = "failed"
    SLOWEST = "slowest"
    TIME = "time"


_GROUPINGS = {
    By.METHOD: pb.API_USAGE_GROUPING_METHOD,
    By.CALLER: pb.API_USAGE_GROUPING_CALLER,
    By.KEY: pb.API_USAGE_GROUPING_API_KEY,
    By.DAY: pb.API_USAGE_GROUPING_DAY,
    By.WEEK: pb.API_USAGE_GROUPING_WEEK,
}
_FIELDS = {
    By.METHOD: "method",
    By.CALLER: "caller",
    By.KEY: "api_key_id",
    By.DAY: "start_date",
    By.WEEK: "start_date",
}


def usage(
    *,
    last: Annotated[int, typer.Option(min=1, max=400, help="How many days.")] = 7,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="The last day (UTC). Default: today.")
    ] = None,
    by: Annotated[
        list[By] | None, typer.Option(help="What sums are made by; several times for several.")
    ] = None,
    order: Annotated[Order | None, typer.Option(help="Which sums come first.")] = None,
    top: Annotated[int, typer.Option(min=1, max=500, help="How many sums.")] = 20,
    method: Annotated[str, typer.Option(help="Only this gRPC method.")] = "",
    caller: Annotated[str, typer.Option(help="Only this caller.")] = "",
    key: Annotated[str, typer.Option(metavar="ID", help="Only this API key.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows how often the API was asked at the edge, how that ended and how long it took."""
    output = Output(as_json=as_json)
    wanted = by or [By.METHOD]
    try:
        end = datetime.strptime(until, "%Y-%m-%d") if until else datetime_of(SystemClock().now_ms())  # noqa: DTZ007
    except ValueError:
        raise CliError(f"{until!r} is no day such as 2026-11-21") from None
    request = pb.GetApiUsageRequest(
        start_date=(end - timedelta(days=last - 1)).date().isoformat(),
        end_date=end.date().isoformat(),
        group_by=[_GROUPINGS[one] for one in wanted],
        method=method,
        caller=caller,
        api_key_id=key,
        order=pb.ApiUsageOrder.Value(f"API_USAGE_ORDER_{order.name if order else 'UNSPECIFIED'}"),
        top=top,
    )
    settings, ports = state.running(load_settings(home))
    answer = run_to_end(_ask(settings, ports, request))
    document = MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    output.result(_numbers(document), shown=_table(answer, wanted))


async def _ask(settings: Any, ports: Any, request: pb.GetApiUsageRequest) -> pb.GetApiUsageResponse:
    try:
        async with connect(settings, ports) as mesh:
            answer: pb.GetApiUsageResponse = await mesh.api_usage.GetApiUsage(
                request, timeout=CALL_TIMEOUT_S
            )
    except grpc.aio.AioRpcError as error:
        wrong = error.code() in _ASKED_WRONGLY
        raise CliError(
            error.details() or error.code().name,
            hint="" if wrong else "see `holdfast status`; a server may be restarting",
            exit_code=ExitCode.USAGE if wrong else ExitCode.ENVIRONMENT,
        ) from None
    return answer


def _numbers(document: Any) -> Any:
    """Without the quotes that JSON of protobuf puts around 64 bits."""
    if isinstance(document, dict):
        return {
            name: int(value) if isinstance(value, str) and value.isdigit() else _numbers(value)
            for name, value in document.items()
        }
    return [_numbers(one) for one in document] if isinstance(document, list) else document


def _table(answer: pb.GetApiUsageResponse, by: list[By]) -> Group:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for one in by:
        table.add_column(one, overflow="fold")
    for heading in ("calls", "errors", "refused", "failed", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group in answer.groups:
        table.add_row(*(_name(group, one) for one in by), *_counts(group))
    table.add_row("all", *[""] * (len(by) - 1), *_counts(answer.total), style="bold")
    more = f"and {answer.more_count:,} more; --top shows up to 500"
    return Group(table, *([Text(more, style="dim")] if answer.more_count else []))


def _name(group: pb.ApiUsage, by: By) -> str:
    found: str = getattr(group, _FIELDS[by])
    return found.removeprefix("/holdfast.") or "(none)"


def _counts(one: pb.ApiUsage) -> tuple[str, ...]:
    counts = (one.calls, one.errors, one.refused, one.failed)
    durations = (one.duration_p50_us, one.duration_p95_us, one.duration_p99_us)
    return (
        *(f"{count:,}" for count in counts),
        *(f"{duration_us / _MS:,.1f}" for duration_us in durations),
    )
