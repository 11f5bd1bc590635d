"""Runs a machine: the same histories each time, or new ones to explore."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis

from tests.authz_mesh import authz_mesh
from tests.databases import Database
from tests.simulation.machine import Machine

EXPLORE = os.environ.get("HOLDFAST_SIMULATION") == "explore"
EXPLORED = 2_000
TIMEOUT_S = 0 if EXPLORE else 120
STEPS = 40


def run_histories(
    machine: type[Machine], database: Database, money: Redis, *, examples: int
) -> None:
    """Plays histories on a worker, a Valkey and a settler of their own."""
    with asyncio.Runner() as runner:
        machine.runner = runner
        valkey = runner.run(own_client(money))
        context = authz_mesh(database, valkey)
        machine.mesh = runner.run(context.__aenter__())
        # It looks by real time, and takes a clock that jumps meanwhile for a dead settler.
        runner.run(machine.mesh.worker.watch.stop())
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=EXPLORED if EXPLORE else examples,
                    stateful_step_count=STEPS,
                    deadline=None,
                    derandomize=not EXPLORE,
                    phases=list(Phase) if EXPLORE else [Phase.explicit, Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))
            runner.run(valkey.aclose())


async def own_client(money: Redis) -> Redis:
    """The same login on this test's own event loop."""
    return Redis(connection_pool=type(money.connection_pool)(**_pool_arguments(money)))


def _pool_arguments(money: Redis) -> dict[str, Any]:
    pool = money.connection_pool
    return {"connection_class": pool.connection_class, **pool.connection_kwargs}
