"""`holdfast stats`: what was spent, in bars, and whether it was counted rightly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import grpc
import typer
from rich.progress import Progress

from holdfast.stats.v1 import stat_pb2 as pb
from holdfast.stats.v1 import stats_service_pb2 as rpc
from runtime import ids
from runtime.channel import unix_channel
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.cli.stats_report import bars, differences, document, draw
from runtime.cli.stats_usage import usage
from runtime.devstack import state
from runtime.mesh_client import CALL_TIMEOUT_S, connect
from runtime.moved_clock import clock_of_home
from runtime.postgres import connect_pool
from runtime.settings import Settings
from stats.intake import SHARES, Intake
from stats.period import PeriodType, before, period_of
from stats.rebuild import Rebuild, RebuildRunsError, Rebuilt
from stats.settings import StatsSettings
from stats.sources import AccountsClient

_SUBJECTS = ("acct", "card", "usr", "co", "dept")

app = typer.Typer(
    help="Show what was spent, or how the API was used; count everything again and compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("usage")(usage)


class Length(StrEnum):
    """Length of the periods."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@app.command("show")
def show(
    subject_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="An account, card, user, company, department or programme."
        ),
    ],
    *,
    by: Annotated[Length, typer.Option(help="Length of the periods.")] = Length.DAY,
    last: Annotated[int, typer.Option(min=1, max=120, help="How many periods.")] = 14,
    until: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="A day of the last period. Default: today (UTC)."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a chart into this file, too.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draws what was spent in each period as bars, and counts purchases, refunds and declines.

    Exit 1: there is no such thing, or nothing was ever counted for it.
    """
    output = Output(as_json=as_json)
    if not ids.is_programme_id(subject_id) and not ids.is_id(subject_id, *_SUBJECTS):
        raise CliError(
            f"{subject_id!r} is no id of an account, card, user, company, department or programme"
        )
    if png is not None and png.suffix.lower() != ".png":
        raise CliError(f"{png} does not end in .png")
    kind = PeriodType(by.name)
    end = _day(until) if until else clock_day(load_settings(home))
    settings, ports = state.running(load_settings(home))
    found = run_to_end(_ask(settings, ports, subject_id, (_first_day(kind, end, last), end), kind))
    if not found:
        raise CliError(f"nothing was counted for {subject_id}", exit_code=ExitCode.DIFFERENCES)
    if png is not None:
        draw(found, png, title=subject_id)
        output.progress.print(f"wrote {png}", soft_wrap=True)
    output.result(
        {"subject_id": subject_id, "periods": [document(one) for one in found]},
        shown=bars(found),
    )


@app.command("rebuild")
def rebuild(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Let what is counted now replace what was there.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Counts the whole ledger again and compares that with what was counted as it came.

    Works while business goes on. Exit 1 if anything differs.
    """
    output = Output(as_json=as_json)
    settings, _ = state.running(load_settings(home))
    with Progress(console=output.progress, transient=True) as progress:
        task = progress.add_task("counting again", total=None)
        try:
            rebuilt = run_to_end(
                rebuild_stats(
                    settings,
                    repair=repair,
                    on_entries=lambda done, every: progress.update(
                        task, completed=done, total=every
                    ),
                )
            )
        except RebuildRunsError:
            raise CliError(
                "somebody else is counting again", exit_code=ExitCode.ENVIRONMENT
            ) from None
        except (OSError, TimeoutError, asyncpg.PostgresError, grpc.aio.AioRpcError) as error:
            raise CliError(
                f"cannot count again: {error or type(error).__name__}",
                hint="see `holdfast status`; a server may be restarting",
                exit_code=ExitCode.ENVIRONMENT,
            ) from None
    output.result(asdict(rebuilt), shown=differences(rebuilt))
    if rebuilt.differences:
        raise typer.Exit(ExitCode.DIFFERENCES)


async def rebuild_stats(
    settings: Settings, *, repair: bool = False, on_entries: Any = lambda _done, _all: None
) -> Rebuilt:
    """Counts again what the running installation with these settings has."""
    async with (
        await connect_pool(settings, "stats", max_size=2) as pool,
        unix_channel(settings.egress_socket("stats")) as channel,
    ):
        intake = Intake(
            AccountsClient(channel),
            clock_of_home(settings.home),
            week_start=StatsSettings().week_start,
        )
        counting = Rebuild(pool, channel, intake, shares=SHARES, on_entries=on_entries)
        return await counting.run(repair=repair)


def clock_day(settings: Settings) -> date:
    """Today, as the home's clock has it."""
    now_ms = clock_of_home(settings.home).now_ms()
    return datetime.fromtimestamp(now_ms / 1000, UTC).date()


async def _ask(
    settings: Settings, ports: Any, subject_id: str, days: tuple[date, date], by: PeriodType
) -> Sequence[pb.PeriodStats]:
    first, last = (day.isoformat() for day in days)
    named = {"subject_id": subject_id, "start_date": first, "end_date": last}
    try:
        async with connect(settings, ports) as mesh:
            asking: dict[PeriodType, tuple[Any, Any]] = {
                PeriodType.DAY: (mesh.stats.GetDailyStats, rpc.GetDailyStatsRequest),
                PeriodType.WEEK: (mesh.stats.GetWeeklyStats, rpc.GetWeeklyStatsRequest),
                PeriodType.MONTH: (mesh.stats.GetMonthlyStats, rpc.GetMonthlyStatsRequest),
            }
            ask, request = asking[by]
            answer = await ask(request(**named), timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        unknown = error.code() is grpc.StatusCode.NOT_FOUND
        raise CliError(
            error.details() or error.code().name,
            hint="" if unknown else "see `holdfast status`; a server may be restarting",
            exit_code=ExitCode.DIFFERENCES if unknown else ExitCode.ENVIRONMENT,
        ) from None
    return list(answer.periods)


def _first_day(by: PeriodType, end: date, last: int) -> date:
    """The first day of the first of the last periods."""
    period = period_of(by, end)
    for _ in range(last - 1):
        period = before(period)
    return period.start


def _day(text: str) -> date:
    wrong = f"{text!r} is no day such as 2026-11-21, from 2000 to 2099"
    if not re.fullmatch(r"20\d{2}-\d{2}-\d{2}", text):
        raise CliError(wrong)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CliError(wrong) from None
