"""`holdfast loantape`: writes the loan tape, makes it again from the ledger's entries, compares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from rich.text import Text

from accounts.billing.convert_tape import FILE_ROWS, as_csv
from accounts.billing.tape_store import Tape, is_complete, rows_of
from accounts.billing.taper import Taper, Written, last_over
from accounts.settings import AccountsSettings
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.cli.running import run_to_end
from runtime.devstack import state
from runtime.moved_clock import clock_of_home
from runtime.postgres import connect_pool
from runtime.settings import Settings

T = TypeVar("T")
#: Days of one call.
DAYS_MAX = 400

app = typer.Typer(
    help="Write the loan tape, make it again from the ledger's entries, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DayArgument = Annotated[str, typer.Argument(metavar="DAY", help="The first day: 2027-01-31.")]
UntilOption = Annotated[str, typer.Option("--until", metavar="DAY", help="The last day.")]
#: What is done with one day.
Work = Callable[[Taper, date, int], Awaitable[Written]]


@app.command("build")
def build(
    day: DayArgument,
    *,
    until: UntilOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Adds the rows that days lack: of those before the first one that was written by itself."""

    async def work(taper: Taper, on: date, now_ms: int) -> Written:
        return await taper.write(on, now_ms=now_ms, again=False)

    _run(work, day, until, home, as_json=as_json, keeps=True)


@app.command("rebuild")
def rebuild(
    day: DayArgument,
    *,
    until: UntilOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes all rows anew, and keeps another version of those that come out otherwise."""

    async def work(taper: Taper, on: date, now_ms: int) -> Written:
        return await taper.write(on, now_ms=now_ms, again=True)

    _run(work, day, until, home, as_json=as_json, keeps=True)


@app.command("verify")
def verify(
    day: DayArgument,
    *,
    until: UntilOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes all rows anew and compares them, byte for byte. Exit 1 if one differs or is missing."""

    async def work(taper: Taper, on: date, now_ms: int) -> Written:
        return await taper.compare(on, now_ms=now_ms)

    _run(work, day, until, home, as_json=as_json, keeps=False)


@app.command("export")
def export(
    day: DayArgument,
    file: Annotated[Path, typer.Argument(help="The CSV file; it must not exist.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes a day's rows to a CSV file."""
    output, on = Output(as_json=as_json), _day(day)
    settings, _ = state.running(load_settings(home))
    run_to_end(_with_pool(settings, lambda pool: _check_complete(pool, on)))
    try:
        with file.open("xb") as target:
            rows = run_to_end(_with_pool(settings, lambda pool: _export(pool, on, target)))
    except OSError as error:
        raise CliError(f"cannot write {file}: {error}", exit_code=ExitCode.USAGE) from None
    output.result({"rows": rows}, shown=Text(f"{rows} rows"))


async def _check_complete(pool: Any, day: date) -> None:
    if not await is_complete(pool, day):
        raise CliError(
            f"the tape of {day} is not complete",
            hint=f"`holdfast loantape build {day}` writes what it lacks",
            exit_code=ExitCode.USAGE,
        )


async def _export(pool: Any, day: date, target: Any) -> int:
    after, count = "", 0
    while True:
        rows = await rows_of(pool, day, after=after, limit=FILE_ROWS)
        text = as_csv(rows)
        target.write(text if not after else text.partition(b"\r\n")[2])
        count += len(rows)
        if len(rows) < FILE_ROWS:
            return count
        after = rows[-1].account_id


def _run(
    work: Work, day: str, until: str, home: Path | None, *, as_json: bool, keeps: bool
) -> None:
    output, first = Output(as_json=as_json), _day(day)
    last = _day(until) if until else first
    if not first <= last < first + timedelta(days=DAYS_MAX):
        raise CliError(
            f"--until must be a day after DAY, and fewer than {DAYS_MAX} days later",
            exit_code=ExitCode.USAGE,
        )
    settings, _ = state.running(load_settings(home))
    delay_ms = AccountsSettings(home=settings.home).accounts_billing_delay_s * 1000
    now_ms = clock_of_home(settings.home).now_ms()
    _refuse_before_its_end(last, now_ms - delay_ms)

    async def through(pool: Any) -> dict[str, Written]:
        taper, found = Taper(pool, known_ms=lambda: now_ms, delay_ms=delay_ms), {}
        on = first
        while on <= last:
            found[str(on)] = await work(taper, on, now_ms)
            if keeps and not found[str(on)].waiting:
                async with pool.acquire() as connection:
                    await Tape(connection).complete(on, now_ms=now_ms)
            on += timedelta(days=1)
        return found

    found = run_to_end(_with_pool(settings, through))
    differs = not keeps and any(one.added or one.waiting for one in found.values())
    output.result(
        {"days": {on: asdict(one) for on, one in found.items()}},
        shown=Text("\n".join(_line(on, one) for on, one in found.items())),
    )
    if differs:
        raise typer.Exit(ExitCode.DIFFERENCES)


def _refuse_before_its_end(day: date, now_ms: int) -> None:
    over = last_over(now_ms)
    if day > over:
        raise CliError(
            f"{day} is not over everywhere yet; the last day that is, is {over}",
            hint="a day is over at 12:00 UTC of the next one",
            exit_code=ExitCode.USAGE,
        )


def _line(day: str, found: Written) -> str:
    text = f"{day}: {found.rows} rows, {found.added} new, {found.changed} of them otherwise"
    waiting = f", {found.waiting} accounts wait" if found.waiting else ""
    examples = f": {' '.join(found.examples)}" if found.examples else ""
    return f"{text}{waiting}{examples}"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CliError(f"{text} is no day; write 2027-01-31", exit_code=ExitCode.USAGE) from None


async def _with_pool(settings: Settings, work: Callable[[Any], Awaitable[T]]) -> T:
    """Works with the login of accounts."""
    try:
        async with await connect_pool(settings, "accounts", max_size=2) as pool:
            return await work(pool)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise CliError(
            f"cannot reach the accounts: {error or type(error).__name__}",
            hint="see `holdfast status`; PostgreSQL may be restarting",
            exit_code=ExitCode.ENVIRONMENT,
        ) from None
