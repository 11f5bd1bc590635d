"""`holdfast replay FILE`: real purchases through the whole mesh, each cent checked at the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from authz.reconcile_flow import Books
from runtime.cli import replay_report
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.reconcile import reconcile
from runtime.cli.replay_report import Report
from runtime.cli.running import run_to_end
from runtime.devstack import lock, state
from runtime.devstack.home import lock_file
from runtime.devstack.settings import StackSettings
from runtime.devstack.temporary import temporary_mesh
from runtime.mesh_client import MeshClient, connect
from runtime.replay import checking
from runtime.replay.rows import BadRow, RowFile, UnreadableFileError
from runtime.replay.sending import ReplayAbortedError, Sender

#: Enough for the cards of a big council over three years: one of them spent 5,755,081.12.
CREDIT_LIMIT_DEFAULT = "10000000.00"

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_REFRESH_S = 0.2
_SETTLE_TIMEOUT_S = 30.0


def run(
    file: Annotated[Path, typer.Argument(help="Table of purchases: .csv or .csv.gz.")],
    *,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many rows.", metavar="ROWS")
    ] = None,
    credit_limit: Annotated[
        str, typer.Option(metavar="AMOUNT", help="Of each account, in the card's currency.")
    ] = CREDIT_LIMIT_DEFAULT,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="At most so many purchases per second.")
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option("--run", help="Go on with an interrupted run of the same file."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sends each purchase through the mesh over mTLS, authorized and then captured.

    One account and one card for each card_last4. An amount below zero is a refund: for the card's
    most recent purchase at the same merchant of at least that amount, else for none. Bad rows are
    skipped; each is told with its line. At the end, for each card and to the cent: approved +
    declined + refunded + skipped = the file, and approved + refunded = the ledger. If no mesh runs
    on this home, one is started for the replay and removed afterwards.

    Exit 0: everything agrees. 1: something differs. 2: the file cannot be read to its end.
    """
    output = Output(as_json=as_json)
    given = load_settings(home)
    name = run_id or f"run-{uuid.uuid4().hex[:12]}"
    if not _RUN_ID.fullmatch(name):
        raise CliError("--run is 1 to 32 letters, digits, hyphens or underscores")
    try:
        with RowFile(file) as rows:
            replay = _Replay(
                rows, limit=limit, credit_limit=_amount(credit_limit), rate=rate, run_id=name
            )
            report = run_to_end(replay.run(given, output))
    except UnreadableFileError as error:
        raise CliError(str(error), hint="holdfast replay --help names the columns") from None
    except ReplayAbortedError as error:
        raise CliError(
            str(error),
            hint=f"what was sent is safe; go on with `--run {name}` and the same file and limit",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
    output.result(replay_report.document(report), shown=replay_report.shown(report))
    if not report.agrees:
        raise typer.Exit(ExitCode.DIFFERENCES)
    if report.ended_early:
        raise typer.Exit(ExitCode.USAGE)


class _Replay:
    """One replay from the file to the report."""

    def __init__(
        self,
        rows: RowFile,
        *,
        limit: int | None,
        credit_limit: Decimal,
        rate: float | None,
        run_id: str,
    ) -> None:
        self._rows = rows
        self._limit = limit
        self._credit_limit = credit_limit
        self._rate = rate
        self._run_id = run_id
        self._bad: list[BadRow] = []

    async def run(self, given: StackSettings, output: Output) -> Report:
        """Sends, waits for the ledger, compares."""
        async with _mesh(given, output) as (mesh, temporary):
            sender = Sender(
                mesh,
                run_id=self._run_id,
                credit_limit=self._credit_limit,
                rate=self._rate,
                on_bad=lambda bad: self._tell(bad, output),
            )
            output.progress.print(
                f"run {self._run_id}; credit limit of each account {self._credit_limit:,.2f}"
                " in the card's currency",
                soft_wrap=True,
            )
            began = time.monotonic()
            await self._shown_sending(sender, output)
            seconds = time.monotonic() - began
            tally = sender.tally
            with output.progress.status("comparing each card with the ledger"):
                try:
                    results = await checking.check_cards(mesh, tally.cards.values())
                except TimeoutError:
                    raise ReplayAbortedError("the settler does not catch up") from None
                except grpc.aio.AioRpcError as error:
                    text = f"{error.code().name}: {error.details()}"
                    raise ReplayAbortedError(f"the ledger cannot be read: {text}") from None
                books = await _reconciled(mesh) if temporary else None
            return Report(
                run_id=self._run_id,
                temporary=temporary,
                credit_limit=self._credit_limit,
                tally=tally,
                results=results,
                bad=self._bad,
                seconds=seconds,
                ended_early=self._rows.ended_early,
                books=books,
            )

    async def _shown_sending(self, sender: Sender, output: Output) -> None:
        """Sends the rows; shows how far it is, how fast, and what was answered."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=output.progress, transient=True) as progress:
            task = progress.add_task("", total=1.0)
            began = time.monotonic()
            sending = asyncio.create_task(
                sender.run(itertools.islice(self._rows.rows(), self._limit))
            )
            try:
                while not sending.done():
                    tally = sender.tally
                    done = self._rows.fraction
                    if self._limit is not None:
                        done = max(done, tally.rows / self._limit)
                    decided = tally.approved + tally.declined + tally.refunded
                    rate = decided / max(time.monotonic() - began, _REFRESH_S)
                    text = (
                        f"{rate:,.0f}/s  {tally.approved:,} approved, {tally.declined:,} declined,"
                        f" {tally.refunded:,} refunded, {tally.bad_rows:,} bad rows skipped"
                    )
                    progress.update(task, completed=done, description=text)
                    await asyncio.wait([sending], timeout=_REFRESH_S)
            finally:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    def _tell(self, bad: BadRow, output: Output) -> None:
        if len(self._bad) < replay_report.BAD_ROWS_KEPT:
            self._bad.append(bad)
        output.progress.print(f"[yellow]line {bad.line}:[/] {escape(bad.reason)}", soft_wrap=True)


@asynccontextmanager
async def _mesh(given: StackSettings, output: Output) -> AsyncIterator[tuple[MeshClient, bool]]:
    """A client of the home's mesh, or of one of our own; whether it is the latter."""
    if lock.holder(lock_file(given.home)) is not None:
        settings, ports = state.running(given)
        async with connect(settings, ports) as client:
            yield client, False
        return
    output.progress.print(
        f"nothing runs on {given.home}: starting a mesh for this replay only", soft_wrap=True
    )
    async with temporary_mesh() as stack, connect(stack.settings, stack.ports) as client:
        yield client, True


async def _reconciled(mesh: MeshClient) -> Books:
    """A mesh of our own is gone afterwards: nobody else can reconcile it."""
    return await reconcile(
        mesh.settings, settle_timeout_s=_SETTLE_TIMEOUT_S, on_difference=lambda _: None
    )


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text.replace(",", ""))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise CliError(f"--credit-limit {text!r} is no amount such as {CREDIT_LIMIT_DEFAULT}")
    return amount
