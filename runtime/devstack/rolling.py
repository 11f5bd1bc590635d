"""Restarts on request: services slot by slot, without a gap; all else is away for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from runtime.devstack.errors import DevstackError
from runtime.devstack.process import Process, State

logger = structlog.get_logger(__name__)

#: After the new process serves, until the old one is told to go: Envoy looks at slots that do not
#: answer five times a second.
OVERLAP_S = 0.5
ALL = "all"


def named(processes: Mapping[str, Process], names: Sequence[str]) -> list[Process]:
    """The processes of these names: instances (`authz-0`), services (`authz`), or `all`, which is
    every service and no server: neither Envoy nor the stores.
    """
    found: dict[str, Process] = {}
    for name in names:
        matching = {
            instance: process
            for instance, process in processes.items()
            if name in {instance, service_of(instance)} or (name == ALL and process.replaceable)
        }
        if not matching:
            known = dict.fromkeys((ALL, *map(service_of, processes), *processes))
            raise DevstackError(f"there is no {name}", hint=f"there are {', '.join(known)}")
        found |= matching
    return list(found.values())


def service_of(instance: str) -> str:
    """authz-1 → authz."""
    name, _, number = instance.rpartition("-")
    return name if number.isdigit() else instance


async def restart(process: Process) -> dict[str, Any]:
    """Restarts one process; returns what is told about it."""
    began = time.monotonic()
    if process.replaceable and process.state is not State.STOPPED:
        await process.replace(overlap_s=OVERLAP_S)
        gap_s = 0.0
    else:
        await process.stop()
        stopped = time.monotonic()
        await process.start()
        gap_s = time.monotonic() - stopped
    step = {
        "instance": process.spec.instance,
        "pid": process.pid,
        "seconds": round(time.monotonic() - began, 2),
        "gap_s": round(gap_s, 2),
    }
    logger.info("process_restarted", **step)
    return step


async def restart_all(
    processes: Mapping[str, Process],
    request: Mapping[str, Any],
    tell: Callable[[dict[str, Any]], None],
) -> None:
    """What `holdfast restart` asks for: one process after the other."""
    names = request.get("restart")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DevstackError("the supervisor knows one request: restart, with a list of names")
    for process in named(processes, names):
        tell(await restart(process))
