"""`holdfast load`: business actors on a whole mesh, and whether every promise was kept."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from authz.reconcile_flow import Books, drain
from authz.reconcile_store import open_store
from loadtest.load_run import Accounting, LocustFailedError, Order, Report, run_load
from loadtest.load_samples import Summary
from loadtest.load_verdict import P95_MS_LIMIT
from runtime.cli.options import load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.reconcile import reconcile
from runtime.cli.running import run_to_end
from runtime.devstack import state
from runtime.devstack.settings import StackSettings
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import MeshClient, connect

#: Shorter ones end before every phase has begun: Locust looks at the clock once a second.
_SECONDS_MIN = 8
_SETTLE_TIMEOUT_S = 120.0
#: Differences and failures that are listed; all are counted.
_LISTED_MAX = 20


def run(
    *,
    seconds: Annotated[int, typer.Option(min=_SECONDS_MIN, help="How long users act.")] = 60,
    users: Annotated[
        int, typer.Option(min=8, max=1000, help="Users on an ordinary day; twice that in a burst.")
    ] = 50,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write Locust's report here.")
    ] = None,
    p95_ms: Annotated[
        float, typer.Option(min=1, help="Limit of the 95th percentile, in milliseconds.")
    ] = P95_MS_LIMIT,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Use the mesh that runs on this home; its accounts stay. Default: a mesh of its"
            " own, removed afterwards.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Lets shoppers, merchants, a network that repeats itself, cardholders and an operator loose on
    a mesh: warm-up, ordinary day, burst, clearing at night.

    A decline is an answer, no failure. Exit 1 unless the 95th percentile of Authorize and of all
    requests keeps its limit, fewer than 1 % of the requests fail, each one has an answer, each
    answer is in the ledger, and the books balance.
    """
    output = Output(as_json=as_json)
    if importlib.util.find_spec("locust") is None:
        raise CliError(
            "Locust is not installed", hint="run `make setup`", exit_code=ExitCode.ENVIRONMENT
        )
    if html is not None and not html.resolve().parent.is_dir():
        raise CliError(f"{html.resolve().parent} is no folder")
    order = Order(seconds=seconds, users=users, html=html, p95_ms_limit=p95_ms)
    given = load_settings(home) if home is not None else None
    try:
        report = run_to_end(_load(given, order, output))
    except LocustFailedError as error:
        raise CliError(str(error), exit_code=ExitCode.DIFFERENCES) from None
    except TimeoutError:
        raise CliError(
            "the settler does not catch up",
            hint="is this machine very busy?",
            exit_code=ExitCode.DIFFERENCES,
        ) from None
    except grpc.aio.AioRpcError as error:
        raise CliError(
            f"a call failed: {error.code().name}: {error.details()}",
            hint="run `holdfast doctor`; is this machine very busy?",
            exit_code=ExitCode.DIFFERENCES,
        ) from None
    output.result(_document(report), shown=_shown(report))
    if not report.holds:
        raise typer.Exit(ExitCode.DIFFERENCES)


async def _load(given: StackSettings | None, order: Order, output: Output) -> Report:
    with output.progress.status("starting a mesh") as status:
        async with _mesh(given) as mesh:

            async def drained() -> int:
                async with open_store(mesh.settings) as store:
                    return await drain(store, timeout_s=_SETTLE_TIMEOUT_S)

            async def reconciled() -> Books:
                return await reconcile(
                    mesh.settings,
                    settle_timeout_s=_SETTLE_TIMEOUT_S,
                    on_difference=lambda one: output.progress.print(escape(str(one)), style="red"),
                )

            accounting = Accounting(drain=drained, reconcile=reconciled)
            report = await run_load(mesh, order, accounting, tell=status.update)
            status.update("stopping")
        return report


@asynccontextmanager
async def _mesh(given: StackSettings | None) -> AsyncIterator[MeshClient]:
    if given is not None:
        settings, ports = state.running(given)
        async with connect(settings, ports) as mesh:
            yield mesh
        return
    async with temporary_mesh() as stack, connect(stack.settings, stack.ports) as mesh:
        yield mesh


def _document(report: Report) -> dict[str, Any]:
    """The report for programs."""
    results = report.results
    authorizations = results.answers.authorizations.values()
    approved = sum(one.approved for one in authorizations)
    return {
        "verdict": "pass" if report.holds else "fail",
        "checks": [asdict(check) for check in report.checks],
        "seconds": report.order.seconds,
        "users": report.order.users,
        "accounts": report.accounts,
        "approved": approved,
        "declined": len(authorizations) - approved,
        "requests": {name: asdict(one) for name, one in results.by_name.items()},
        "overall": asdict(results.overall),
        "failures": dict(results.failures),
        "errors": list(results.errors)[:_LISTED_MAX],
        "unanswered": list(results.answers.unanswered.values())[:_LISTED_MAX],
        "generator_lag_ms": dict(results.lag_ms),
        "differing": report.differing[:_LISTED_MAX],
        "books": asdict(report.books),
        "html": str(report.order.html) if report.order.html else None,
    }


def _shown(report: Report) -> Group:
    """The report for people: what was asked, what failed, and the verdict."""
    results = report.results
    failures = list(results.failures.items())[:_LISTED_MAX]
    lag = ", ".join(f"{name} {value:.1f} ms" for name, value in results.lag_ms.items())
    books_style = "red" if report.books.differences else ""
    parts: list[RenderableType] = [
        _requests(report),
        Text(f"Locust's own delay, contained in these times: {lag}", style="dim"),
        *(Text(f"{count:,} x {text}", style="red") for text, count in failures),
        *(Text(text, style="red") for text in results.errors[:_LISTED_MAX]),
        *(Text(text, style="red") for text in report.differing[:_LISTED_MAX]),
        Text(report.books.line(), style=books_style),
        Text(),
        _verdict(report),
    ]
    if report.order.html is not None:
        parts.append(Text(f"report: {report.order.html}"))
    return Group(*parts)


def _requests(report: Report) -> Table:
    table = _table("request", "sent", "failed", "p50 ms", "p95 ms", "p99 ms")
    for name, one in (*report.results.by_name.items(), ("all", report.results.overall)):
        table.add_row(name, *_cells(one), style="bold" if name == "all" else "")
    return table


def _cells(one: Summary) -> tuple[str, ...]:
    times = (f"{value:.1f}" for value in (one.p50_ms, one.p95_ms, one.p99_ms))
    return (f"{one.requests:,}", f"{one.failures:,}", *times)


def _verdict(report: Report) -> Table:
    table = _table("promise", "found", "limit", "")
    for check in report.checks:
        word = Text("kept", style="green") if check.holds else Text("BROKEN", style="bold red")
        table.add_row(check.promise, check.found, check.limit, word)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table
