"""Runs a command's coroutine: Ctrl-C and SIGTERM unwind it, so that it cleans up after itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

import typer

from runtime.cli.output import ExitCode
from runtime.log import configure_logging

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_to_end(work: Coroutine[object, object, T]) -> T:
    """The result of `work`; exit code 130 when a signal ended it.

    Logs go to stderr, and only what somebody must see.
    """
    configure_logging(instance="holdfast", level="ERROR", cached=False)
    return asyncio.run(_guarded(work))


async def _guarded(work: Coroutine[object, object, T]) -> T:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
