"""What the commands of `holdfast import` have in common: batches, progress, reports.

A file is read row by row and sent in batches, a few at a time, so that its size does not matter.
Rows name themselves by a reference of the caller's: who imports a file again, or goes on after an
interruption, makes nothing twice. Rows that are refused are reported by their line, the others go
on.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import typer
from rich.console import Group
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from runtime.cli.csv_file import (
    CREATED,
    EXISTED,
    REFUSED,
    UNMATCHED,
    CsvFile,
    Outcome,
    Row,
    Wrong,
    written_results,
)
from runtime.cli.output import CliError, ExitCode, Output

#: Rows of one batch; servers take no more. Messages have at most 256 KiB.
BATCH_ROWS = 500
BATCH_CHARACTERS = 60_000
#: Batches on their way at once.
IN_FLIGHT = 3
#: Errors that a report shows; `--errors` has them all.
SHOWN_MAX = 20
#: How long a batch is repeated that nobody answers, and the pauses in between.
PATIENCE_S = 60.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 5.0

_AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }
)


#: Sends one batch under a request id and returns one outcome for each row, in their order.
Send = Callable[[str, Sequence[Row]], Awaitable[Sequence[Outcome]]]


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of a file so far."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    #: The first of what was wrong, with its line.
    shown: list[tuple[int, Wrong]] = field(default_factory=list)
    #: The last line of which everything before is done.
    done_line: int = 0

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "rows": self.rows,
            **{word: self.counts[word] for word in (CREATED, EXISTED, REFUSED)},
            **{word: self.counts[word] for word in (UNMATCHED,) if self.counts[word]},
            "errors": [{"line": line, **wrong._asdict()} for line, wrong in self.shown],
        }


async def run_import(
    rows: Iterator[Row],
    send: Send,
    *,
    report: Report,
    on_row: Callable[[Row, Outcome], None] = lambda *_: None,
    in_flight: int = IN_FLIGHT,
    patience_s: float = PATIENCE_S,
) -> None:
    """Sends all rows and counts what became of them, in the order of their lines.

    Raises CliError when a batch is refused as a whole, or nobody answers: everything up to
    `report.done_line` is done, and the same file can be imported again.
    """
    run = uuid4().hex
    waiting: deque[tuple[Sequence[Row], asyncio.Task[Sequence[Outcome]]]] = deque()

    async def finish_first() -> None:
        batch, task = waiting.popleft()
        _count(report, batch, await task, on_row)

    try:
        for number, batch in enumerate(_batches(rows)):
            if len(waiting) >= in_flight:
                await finish_first()
            work = _sent(f"import-{run}-{number}", batch, send, patience_s)
            waiting.append((batch, asyncio.create_task(work)))
        while waiting:
            await finish_first()
    except CliError as error:
        if error.hint:
            raise
        done = f"all lines up to {report.done_line} are done; import the same file again to go on"
        raise CliError(error.message, hint=done, exit_code=error.exit_code) from None
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


def import_command(
    path: Path,
    output: Output,
    *,
    columns: Sequence[str],
    required: Sequence[str],
    run: Callable[[Iterator[Row], Report, Callable[[Row, Outcome], None]], None],
    results: Path | None,
    dry_run: bool,
) -> None:
    """Imports a file with progress, and prints the report; exit 1 if rows were refused.

    `run` calls `run_import` with what it is given. `results` gets a line for each row.
    """
    file, report = CsvFile(path, columns=columns, required=required), Report()
    begun = time.monotonic()
    with (
        written_results(results) as tell,
        Progress(console=output.progress, transient=True) as progress,
    ):
        task = progress.add_task("importing", total=file.size or None)

        def on_row(row: Row, outcome: Outcome) -> None:
            tell(row, outcome)
            progress.update(task, completed=file.read_bytes)

        run(file.rows(), report, on_row)
    seconds = round(time.monotonic() - begun, 3)
    document = {"file": str(path), "dry_run": dry_run, **report.document(), "seconds": seconds}
    output.result(document, shown=_shown(report, dry_run=dry_run, seconds=seconds))
    if report.counts[REFUSED] or report.counts[UNMATCHED]:
        raise typer.Exit(ExitCode.DIFFERENCES)


@contextmanager
def exporting(output: Output) -> Iterator[Callable[[int], None]]:
    """Shows how far an export is: what it yields is told how many rows are written."""
    with Progress(console=output.progress, transient=True) as progress:
        task = progress.add_task("exporting", total=None)

        def on_row(count: int) -> None:
            progress.update(task, completed=count, description=f"exporting: {count:,}")

        yield on_row


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    characters = 0
    for row in rows:
        length = sum(len(value) + 4 for value in row.values.values())
        if batch and (len(batch) >= BATCH_ROWS or characters + length > BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(row)
        characters += length
    if batch:
        yield batch


async def _sent(
    request_id: str, batch: Sequence[Row], send: Send, patience_s: float
) -> Sequence[Outcome]:
    """One outcome for each row. What was not answered is asked again under the same id."""
    good = [row for row in batch if not row.wrong]
    answered: Iterator[Outcome] = iter(())
    if good:
        answered = iter(await _answered(request_id, good, send, patience_s))
    return [
        Outcome(word=REFUSED, wrong=row.wrong) if row.wrong else next(answered) for row in batch
    ]


async def _answered(
    request_id: str, rows: Sequence[Row], send: Send, patience_s: float
) -> Sequence[Outcome]:
    until, pause_s = time.monotonic() + patience_s, PAUSE_S_MIN
    while True:
        try:
            outcomes = await send(request_id, rows)
        except grpc.aio.AioRpcError as error:
            lines = f"lines {rows[0].line} to {rows[-1].line}"
            if error.code() not in _AGAIN or time.monotonic() >= until:
                raise CliError(
                    f"{lines}: {error.code().name}: {error.details()}",
                    exit_code=ExitCode.ENVIRONMENT,
                ) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
        else:
            assert len(outcomes) == len(rows), "one outcome for each row"
            return outcomes


def _count(
    report: Report,
    batch: Sequence[Row],
    outcomes: Sequence[Outcome],
    on_row: Callable[[Row, Outcome], None],
) -> None:
    for row, outcome in zip(batch, outcomes, strict=True):
        report.rows += 1
        report.counts[outcome.word] += 1
        free = SHOWN_MAX - len(report.shown)
        report.shown.extend((row.line, wrong) for wrong in outcome.wrong[: max(free, 0)])
        on_row(row, outcome)
    report.done_line = batch[-1].line


def _shown(report: Report, *, dry_run: bool, seconds: float) -> Group:
    """The report for people."""
    counts = report.counts
    made = "would be made" if dry_run else "made"
    line = (
        f"{report.rows:,} rows in {seconds:.1f} s: {counts[CREATED]:,} {made},"
        f" {counts[EXISTED]:,} there before, {counts[REFUSED]:,} refused"
    )
    if counts[UNMATCHED]:
        line += f", {counts[UNMATCHED]:,} kept for staff"
    if not report.shown:
        return Group(Text(line))
    table = Table("line", "field", "what is wrong")
    for number, wrong in report.shown:
        table.add_row(str(number), wrong.field, wrong.description)
    more = "" if len(report.shown) < SHOWN_MAX else f"the first {SHOWN_MAX}; --results has all"
    return Group(table, Text(more), Text(line)) if more else Group(table, Text(line))
