"""`holdfast clock`: shows or moves the clock of a home that was made for it."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.text import Text

from runtime import moved_clock
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, JsonOption, Output
from runtime.clock import datetime_of

_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def run(
    ahead: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Move it on by this: 90m, 12h, 31d. Never back."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows what time it is in the books of a home that was started with `up --movable-clock`, or
    moves it on: cycles close, payments fall due, holds expire. All follow within 0.2 s.
    """
    output = Output(as_json=as_json)
    root = load_settings(home).home
    if not moved_clock.is_movable(root):
        raise CliError(
            f"the clock of {root} is this machine's",
            hint="only a new home, started with `holdfast up --movable-clock`, has one that moves",
        )
    try:
        if ahead is not None:
            moved_clock.move_ahead(root, _milliseconds(ahead))
        now_ms = moved_clock.clock_of_home(root).now_ms()
        ahead_s = moved_clock.ahead_ms(root) // 1000
    except moved_clock.ClockFileError as error:
        raise CliError(str(error)) from None
    output.result(
        {"now": datetime_of(now_ms).isoformat(), "ahead_s": ahead_s},
        shown=Text(f"{datetime_of(now_ms):%Y-%m-%d %H:%M:%S} UTC, {ahead_s:,} s ahead"),
    )


def _milliseconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([mhd])", text)
    if found is None:
        raise CliError(f"{text!r} is no time: write 90m, 12h or 31d")
    return int(found[1]) * _UNITS_MS[found[2]]
