"""What goes wrong: processes are killed at random, connections break, PostgreSQL stays away."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
from redis.exceptions import RedisError

from authz import keys
from runtime.devstack.process import State
from tests.soak.load import Log
from tests.soak.world import World

KILL_PAUSE_S = (0.6, 2.0)
NETWORK_S = (1.0, 2.5)
#: Between faults, and before the first of them.
CALM_S = 1.0
READ_ONLY_S = 0.7
VALKEY_DOWN_S = 0.5
SAMPLE_S = 0.25
#: What is killed at random; in the long absence of PostgreSQL only what needs nobody else.
EVERYTHING = ("authz-0", "authz-1", "settler", "valkey-money", "postgres", "accounts", "envoy")
ALONE = ("authz-0", "settler", "envoy", "accounts")


@dataclass(slots=True, kw_only=True)
class Faults:
    """Does its worst for a while, and counts it."""

    world: World
    log: Log
    injected: Counter[str] = field(default_factory=Counter)
    #: Approved while PostgreSQL was away in one piece.
    authorized_without: int = 0
    #: Most entries that ever waited for settlement, and the largest memory of each process.
    waiting_max: int = 0
    memory_max: Counter[str] = field(default_factory=Counter)

    async def run(self, seconds: float, *, away_s: float) -> None:
        """Faults of every kind; PostgreSQL away in one piece; faults of every kind again."""
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.sleep(CALM_S)
            await self._disturb((seconds - away_s) / 2, EVERYTHING)
            await self._postgres_away(away_s)
            await self._disturb((seconds - away_s) / 2, EVERYTHING)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self.world.valkey.set()
            self.world.postgres.set()

    async def _disturb(self, seconds: float, victims: tuple[str, ...]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(self._kill(victims))
                group.create_task(self._networks())
        self.world.valkey.set()
        self.world.postgres.set()
        await self._writable()

    async def _kill(self, victims: tuple[str, ...]) -> None:
        """Kill -9 of one process that is ready, again and again; the supervisor starts it anew."""
        stack, chooser = self.world.stack, self.world.random
        while True:
            ready = [name for name in victims if stack.processes[name].state is State.READY]
            if ready:
                # Who was spared longest is next, so that in any run everybody has its turn.
                fewest = min(self.injected[f"kill -9 {name}"] for name in ready)
                spared = [name for name in ready if self.injected[f"kill -9 {name}"] == fewest]
                name = chooser.choice(spared)
                stack.kill(name)
                self.injected[f"kill -9 {name}"] += 1
            await asyncio.sleep(chooser.uniform(*KILL_PAUSE_S))

    async def _networks(self) -> None:
        """One bad thing after the other between the services and their servers."""
        world = self.world
        while True:
            world.valkey.set(delay=0.1, cut=0.02, drop=0.02, duplicate=0.5)
            world.valkey.cut_all()
            world.postgres.set(delay=0.1, cut=0.01, drop=0.01)
            await asyncio.sleep(world.random.uniform(*NETWORK_S))
            world.valkey.set()
            world.postgres.set()
            await self._read_only()
            await asyncio.sleep(CALM_S)
            world.valkey.set(down=True)
            await asyncio.sleep(VALKEY_DOWN_S)
            world.valkey.set()
            await asyncio.sleep(CALM_S)
            world.postgres.set(down=True)
            await asyncio.sleep(world.random.uniform(*NETWORK_S))
            world.postgres.set()
            await asyncio.sleep(CALM_S)

    async def _read_only(self) -> None:
        """Valkey turns into a replica of nobody: every write is refused."""
        with suppress(RedisError, OSError):
            await self.world.money.replicaof("127.0.0.1", "1")
            self.injected["valkey read-only"] += 1
            await asyncio.sleep(READ_ONLY_S)
        await self._writable()

    async def _writable(self) -> None:
        """One that was killed meanwhile comes back as a primary by itself."""
        with suppress(RedisError, OSError):
            await self.world.money.replicaof("NO", "ONE")

    async def _postgres_away(self, seconds: float) -> None:
        """Authorizing goes on, the journal waits; workers that are killed come back without it."""
        stack = self.world.stack
        await stack.wait_ready(timeout_s=60)
        postgres = stack.processes["postgres"]
        stack.kill("postgres")
        await postgres.stop()
        self.injected[f"PostgreSQL away for {seconds:.0f} s"] += 1
        before, until = self.log.answers["Authorize"], time.monotonic() + seconds
        await asyncio.sleep(seconds / 3)
        await self._disturb_alone(until - time.monotonic())
        self.authorized_without = self.log.answers["Authorize"] - before
        await postgres.start()

    async def _disturb_alone(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._kill(ALONE)

    async def _watch(self) -> None:
        """What may not grow without bound."""
        names = [keys.journal(tag) for tag in keys.TAGS]
        while True:
            for name, process in self.world.stack.processes.items():
                with suppress(psutil.Error):
                    if process.pid is not None:
                        memory = psutil.Process(process.pid).memory_info().rss
                        self.memory_max[name] = max(self.memory_max[name], memory)
            with suppress(RedisError, OSError):
                async with self.world.money.pipeline(transaction=False) as pipe:
                    for key in names:
                        pipe.xlen(key)
                    lengths = await pipe.execute()
                # The last settled entry stays in each stream.
                waiting = sum(max(length - 1, 0) for length in lengths)
                self.waiting_max = max(self.waiting_max, waiting)
            await asyncio.sleep(SAMPLE_S)
