"""Entry point of `holdfast`. A command's module is imported only when the command runs."""

from __future__ import annotations

import importlib
import sys

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from runtime.cli.output import CliError, ExitCode, Output

#: Command → its module below `runtime.cli` and its line in `--help`. The module has a function
#: `run`, or, for a group of commands, a `typer.Typer` called `app`.
COMMANDS = {
    "up": ("up", "Start everything and keep it running until Ctrl-C."),
    "down": ("down", "Stop what `up` started, and wait for its end."),
    "restart": ("restart", "Restart a service, or all, while calls go on."),
    "status": ("status", "Show the processes, where they listen, and their state."),
    "demo": ("demo", "Show a whole mesh at work, on a mesh of its own, then remove it."),
    "replay": ("replay", "Send a file of card purchases through the mesh, and check the sums."),
    "load": ("load", "Let users loose on a mesh of its own; exit 1 if a promise is broken."),
    "reconcile": ("reconcile", "Compare every balance with the ledger; exit 1 if one differs."),
    "journal": ("journal", "Show what happened to an account, entry by entry."),
    "stats": ("stats", "Show what was spent, or count everything again and compare."),
    "reports": ("reports", "Have reports made as files, list them, fetch them."),
    "audit": ("audit", "List who did what, and check that nobody has changed the list."),
    "events": ("events", "Show what happens as it happens, and try out who is told of it."),
    "loantape": ("loantape", "Write, compare or export where accounts stood at the end of a day."),
    "rehydrate": ("rehydrate", "Rebuild Valkey from the ledger, when its data is lost or wrong."),
    "token": ("token", "Print an access token for the edge."),
    "clock": ("clock", "Show or move the clock of a home made for trying things out."),
    "keys": ("keys", "Rotate keys and certificates while everything runs."),
    "user": ("user", "Register a user with any roles: the first administrator."),
    "import": ("importing", "Take over people from a CSV file; rows that are wrong are named."),
    "export": ("exporting", "Write people to a CSV file."),
    "openapi": ("openapi", "Print what web clients may call, as OpenAPI."),
    "envoy": ("envoy", "Show or check Envoy's configuration."),
    "bench": ("bench", "Measure how fast this machine authorizes, and check the books."),
    "doctor": ("doctor", "Check this machine and the installation; say what to do."),
}


class LazyGroup(TyperGroup):
    """Knows its commands by name and help line; loads the one that is called."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002
        """Names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | None:  # noqa: ARG002
        """A stand-in that can only be listed."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Loads the command that is called."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        if stand_in is None or name not in COMMANDS:
            return name, stand_in, rest
        module = importlib.import_module(f"runtime.cli.{COMMANDS[name][0]}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command(name)(module.run)
        command = get_command(app)
        command.name = name
        return name, command, rest


app = typer.Typer(
    cls=LazyGroup,
    help="Holdfast, an open card-issuing platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _root() -> None:
    """Holdfast, an open card-issuing platform."""


def main() -> None:
    """Runs a command; failures end with a message, what to do next, and an exit code."""
    try:
        app()
    except CliError as error:
        _fail(error)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001  what is not known is raised again
        _fail(_known(error))


def _fail(error: CliError) -> None:
    Output(as_json="--json" in sys.argv).error(error)
    sys.exit(error.exit_code)


def _known(error: Exception) -> CliError:
    """The failures of the devstack in the words of the command line; others pass as they are."""
    from runtime.devstack import errors  # noqa: PLC0415  `--help` should be quick

    if not isinstance(error, errors.DevstackError):
        raise error
    running = isinstance(error, errors.AlreadyRunningError | errors.NotRunningError)
    code = ExitCode.RUNNING if running else ExitCode.ENVIRONMENT
    return CliError(error.message, hint=error.hint, exit_code=code)
