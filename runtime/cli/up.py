"""`holdfast up`: the supervisor, in the foreground."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.text import Text

from runtime import moved_clock
from runtime.cli import processes
from runtime.cli.options import HomeOption, load_settings
from runtime.cli.output import CliError, ExitCode, JsonOption, Output
from runtime.devstack import home as homes
from runtime.devstack import lock, state
from runtime.devstack.errors import AlreadyRunningError
from runtime.devstack.home import lock_file
from runtime.devstack.process import State
from runtime.devstack.settings import StackSettings
from runtime.devstack.supervisor import Devstack, Plan

_REFRESH_S = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    *,
    home: HomeOption = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="First of five ports; 0 takes free ones."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Number of authorizer processes.")
    ] = None,
    movable_clock: Annotated[
        bool,
        typer.Option(
            "--movable-clock",
            help="For trying things out: a new home whose books are moved ahead, `holdfast clock`.",
        ),
    ] = False,
    stripe_emulator: Annotated[
        bool,
        typer.Option(
            "--stripe-emulator", help="For trying things out: charge an emulator of Stripe."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Starts PostgreSQL, both Valkeys, every service and Envoy; stops them on Ctrl-C.

    What dies is started again. State lives in the home folder and survives.
    """
    output = Output(as_json=as_json)
    _log_to(output)
    emulated = "on" if stripe_emulator else None
    settings = load_settings(home, authz_workers=workers, stripe_emulator=emulated)
    # Before the ports: those of a running installation are taken by itself.
    _refuse_second(settings.home)
    _mind_clock(settings, movable=movable_clock)
    plan = Plan.whole_mesh(settings, first_port=port)
    interrupted = asyncio.run(_supervise(settings, plan=plan, output=output))
    if interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)


async def _supervise(settings: StackSettings, *, plan: Plan, output: Output) -> bool:
    """Runs the stack until a signal. Whether the signal came before it was ready."""
    stack = Devstack(settings, plan=plan)
    stop = asyncio.Event()
    began = time.monotonic()
    starting = asyncio.create_task(stack.start())

    def interrupt() -> None:
        if stop.is_set():
            # The second signal: somebody is in a hurry.
            stack.kill_all()
        stop.set()
        starting.cancel()

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        await _shown_start(starting, stack=stack, output=output)
    except asyncio.CancelledError:
        return True
    try:
        _show(settings, seconds=time.monotonic() - began, output=output)
        await stop.wait()
    finally:
        # Also when nobody reads what we print any more.
        await stack.stop()
    return False


async def _shown_start(starting: asyncio.Task[None], *, stack: Devstack, output: Output) -> None:
    """Waits for the start; shows what it waits for."""
    with output.progress.status("starting") as line:
        while not starting.done():
            waiting = [
                name for name, one in stack.processes.items() if one.state is not State.READY
            ]
            line.update(f"starting {', '.join(waiting)}")
            await asyncio.wait([starting], timeout=_REFRESH_S)
    await starting


def _show(settings: StackSettings, *, seconds: float, output: Output) -> None:
    document = state.read(settings.home)
    assert document is not None, "we hold the lock"
    output.result(
        {**state.without_logins(document), "ready_after_s": round(seconds, 2)},
        shown=processes.shown(document),
    )
    if not output.as_json:
        output.progress.print(
            Text(f"\nready in {seconds:.1f} s; stop with Ctrl-C or `holdfast down`", style="bold")
        )


def _refuse_second(home: Path) -> None:
    pid = lock.holder(lock_file(home))
    if pid is not None:
        raise AlreadyRunningError(
            f"{home} is in use by process {pid}",
            pid=pid,
            hint="see `holdfast status`, stop it with `holdfast down`, or use another --home",
        )


def _mind_clock(settings: StackSettings, *, movable: bool) -> None:
    """A home whose clock is moved is for nothing else, from its beginning."""
    home = settings.home
    if moved_clock.is_movable(home):
        if not movable:
            raise CliError(
                f"the books of {home} are {moved_clock.ahead_ms(home) // 1000} s ahead of this"
                " machine: it was made for trying things out",
                hint="start it with --movable-clock, or use another --home",
                exit_code=ExitCode.USAGE,
            )
        return
    if not movable:
        return
    if settings.secret_path(homes.POSTGRES_SECRETS[0]).exists():
        raise CliError(
            f"{home} has kept this machine's time so far: its clock cannot be moved",
            hint="use a new --home",
            exit_code=ExitCode.USAGE,
        )
    if settings.postgres_dsn or settings.redis_url or settings.cache_url:
        raise CliError(
            "--movable-clock is for servers that `holdfast up` starts itself",
            hint="unset HOLDFAST_POSTGRES_DSN, HOLDFAST_REDIS_URL and HOLDFAST_CACHE_URL",
            exit_code=ExitCode.USAGE,
        )
    homes.make_root(home)
    moved_clock.make_movable(home)


def _log_to(output: Output) -> None:
    """What the supervisor notices goes to stderr, in lines for people."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=output.progress.is_terminal, pad_event_to=0),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
