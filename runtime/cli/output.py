"""How commands speak: tables and progress for people, one JSON document for programs, exit codes.

With `--json` a command prints exactly one JSON document to stdout, also when it fails:
`{"error": {"message": …, "hint": …}}`. What has no end (`events listen`) prints one on each line.
Progress goes to stderr in either case.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

#: The flag that every command takes.
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document to stdout, progress to stderr.")
]


class ExitCode(IntEnum):
    """What `holdfast` tells the shell."""

    OK = 0
    #: The command worked and found differences, or a check failed.
    DIFFERENCES = 1
    #: Wrong arguments, settings or input files.
    USAGE = 2
    #: Nothing runs on this home, or (for `up`) something already does.
    RUNNING = 3
    #: The environment is not as needed: a port, a folder, a program, a server that does not start.
    ENVIRONMENT = 4
    #: Ended by Ctrl-C.
    INTERRUPTED = 130


class CliError(Exception):
    """A failure that people can do something about: shown without a traceback."""

    def __init__(
        self, message: str, *, hint: str = "", exit_code: ExitCode = ExitCode.USAGE
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class Output:
    """Where a command's result and its progress go."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        #: Progress, warnings, logs: never the result.
        self.progress = Console(stderr=True, highlight=False)
        self._result = Console(highlight=False)

    def result(self, document: Any, *, shown: RenderableType | None = None) -> None:
        """Prints the result: `document` as JSON, or what is `shown` to people."""
        if self.as_json:
            typer.echo(json.dumps(document, indent=2, default=str))
        elif shown is not None:
            self._result.print(shown)

    def print(self, shown: RenderableType) -> None:
        """Prints a part of a result that comes bit by bit, to people."""
        self._result.print(shown, soft_wrap=True)

    def error(self, error: CliError) -> None:
        """Prints a failure."""
        if self.as_json:
            typer.echo(json.dumps({"error": {"message": error.message, "hint": error.hint}}))
            return
        self.progress.print("[bold red]error:[/]", end=" ")
        self.progress.print(error.message, markup=False, soft_wrap=True)
        if error.hint:
            self.progress.print("[bold]next:[/]", end="  ")
            self.progress.print(error.hint, markup=False, soft_wrap=True)
