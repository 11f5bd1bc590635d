"""Scenario: what a mesh costs that nobody uses, and how long it takes to be up again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict

from loadtest.mesh import open_mesh
from loadtest.processes import used_between
from loadtest.session import Session

_SETTLES_S = 2
_WATCHED_S = 5
_MIB = 1 << 20


async def idle(session: Session) -> None:
    """Memory and CPU at rest; the time of `up` on a home that exists."""
    async with open_mesh(workers=session.options.workers) as mesh:
        await asyncio.sleep(_SETTLES_S)
        memory = mesh.processes.memory()
        before = mesh.processes.cpu_s()
        await asyncio.sleep(_WATCHED_S)
        used = used_between(before, mesh.processes.cpu_s())
        await mesh.stack.stop()
        began = time.perf_counter()
        await mesh.stack.start()
        up_s = time.perf_counter() - began
    session.document["idle"] = {
        "up_s": round(up_s, 2),
        "pss_bytes": sum(one.pss for one in memory.values()),
        "cpu_percent": round(100 * sum(used.values()) / _WATCHED_S, 1),
        "memory": {group: asdict(one) for group, one in memory.items()},
        "cpu_percent_of": {
            group: round(100 * seconds / _WATCHED_S, 1) for group, seconds in used.items()
        },
    }
    session.say(
        f"idle: {session.document['idle']['pss_bytes'] / _MIB:,.0f} MiB (PSS),"
        f" {session.document['idle']['cpu_percent']:.1f} % of a core; up again in {up_s:.1f} s"
    )
