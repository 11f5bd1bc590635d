"""Starts an installation in order, keeps it running, and stops it in reverse."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from runtime import dsn, migrations
from runtime.devstack import (
    binaries,
    control,
    envoy,
    external,
    housekeeping,
    leftovers,
    postgres,
    rolling,
    state,
    stripe,
    valkey,
)
from runtime.devstack import home as homes
from runtime.devstack import ports as port_choice
from runtime.devstack import services as service_processes
from runtime.devstack.errors import StartFailedError
from runtime.devstack.lock import FileLock
from runtime.devstack.process import Process, ProcessSpec, State
from runtime.devstack.services import ServiceSpec
from runtime.devstack.settings import StackSettings
from runtime.settings import SLOTS

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to start beside the servers. Nothing: PostgreSQL and the two Valkeys only."""

    services: tuple[ServiceSpec, ...] = ()
    #: Envoy's ports by listener (`ports.choose`); None starts no Envoy.
    ports: Mapping[str, int] | None = None
    #: Adds the Valkey user `test`, who may do everything.
    test_user: bool = False
    #: Off only in tests: a crash of the machine (not of a process) could lose data.
    fsync: bool = True

    @classmethod
    def whole_mesh(cls, settings: StackSettings, *, first_port: int | None = None) -> Self:
        """Every service and Envoy. Ports as `ports.choose` takes them: 0 for free ones."""
        return cls(
            services=service_processes.mesh(authz_workers=settings.authz_workers),
            ports=port_choice.choose(settings, first=first_port),
        )


class Devstack:
    """A running installation: `async with Devstack(settings, plan=…) as stack`.

    Only from the main thread: children die with the thread that spawned them.
    """

    def __init__(self, settings: StackSettings, *, plan: Plan) -> None:
        self._given = settings
        self._plan = plan
        self._processes: dict[str, Process] = {}
        self._stages: list[list[Process]] = []
        self._locks: list[FileLock] = []
        self._home: homes.Home | None = None
        self._settings: StackSettings | None = None
        self._owner_dsn = ""
        self._ready = False
        self._housekeeping: list[asyncio.Task[None]] = []
        self._state: state.StateFile | None = None
        self._control: control.ControlSocket | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts everything and waits until it is ready. What fails or is cancelled is stopped."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops every process, last started first. May be called again; kills after time-outs."""
        self._ready = False
        if self._control is not None:
            await self._control.stop()
            self._control = None
        for task in self._housekeeping:
            task.cancel()
        for stage in reversed(self._stages):
            await asyncio.gather(*(process.stop(hurry=True) for process in stage))
        self._stages.clear()
        if self._state is not None:
            self._state.remove()
            self._state = None
        while self._locks:
            self._locks.pop().release()

    def kill_all(self) -> None:
        """Ends every process at once, without waiting: for those who cannot wait for `stop`."""
        for process in self._processes.values():
            if process.state is not State.STOPPED:
                process.send(signal.SIGKILL)

    @property
    def home(self) -> homes.Home:
        """The folders of the installation."""
        assert self._home is not None, "not started"
        return self._home

    @property
    def settings(self) -> StackSettings:
        """The given settings completed with the run folder and the servers that were started.

        `postgres_dsn` has no login; see `owner_dsn`.
        """
        assert self._settings is not None, "not started"
        return self._settings

    @property
    def owner_dsn(self) -> str:
        """URL of the database with its owner's login."""
        return self._owner_dsn

    @property
    def ports(self) -> Mapping[str, int]:
        """Envoy's ports by listener; empty without Envoy."""
        return self._plan.ports or {}

    @property
    def processes(self) -> Mapping[str, Process]:
        """Every supervised process by instance."""
        return self._processes

    def kill(self, instance: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to one process; it is restarted if it ends."""
        self._processes[instance].send(number)

    async def restart(self, instance: str) -> None:
        """Stops one process and starts it again; returns when it is ready."""
        process = self._processes[instance]
        await process.stop()
        await process.start()

    async def roll(self, *names: str) -> None:
        """What `holdfast restart` does: services are replaced without a gap."""
        await rolling.restart_all(self._processes, {"restart": list(names)}, lambda _: None)

    async def wait_ready(self, *, timeout_s: float = 30.0) -> None:
        """Waits until every process is ready (again)."""
        async with asyncio.timeout(timeout_s):
            for process in self._processes.values():
                await process.wait_ready()

    async def _start(self) -> None:
        root = self._given.home
        homes.make_root(root)
        self._lock(root)
        home = self._home = homes.prepare(self._given)
        if home.servers != root:
            # A copy of this home would lead to the same servers' folder.
            self._lock(home.servers)
        if ended := await leftovers.clear(home):
            logger.warning("leftovers_ended", processes=ended)
        homes.clear_run(home)
        for name in valkey.secrets_of(test_user=self._plan.test_user):
            homes.ensure_secret(self._given.secret_path(name))
        settings = self._settings = self._completed(home)
        self._owner_dsn = self._given.postgres_dsn or postgres.owner_dsn(home, settings)
        self._state = state.StateFile(home, settings=settings, ports=self.ports)
        await self._stage([spec] for spec in await self._servers(home, settings))
        await external.check(self._given)
        await self._migrate(settings)
        emulators = self._emulators(home, settings)
        in_slots = functools.partial(
            service_processes.process,
            home=home,
            settings=settings,
            more=stripe.settings_of_services(emulators[0].listens) if emulators else {},
        )
        await self._stage(
            [
                *([one] for one in emulators),
                *([in_slots(one, slot=slot) for slot in SLOTS] for one in self._plan.services),
            ]
        )
        if self._plan.ports is not None:
            await self._stage([[envoy.spec(home, settings, ports=self._plan.ports)]])
        self._keep_house(home)
        self._control = control.ControlSocket(
            control.socket_path(home.run), functools.partial(rolling.restart_all, self._processes)
        )
        await self._control.start()
        self._ready = True
        self._changed()

    def _lock(self, folder: Path) -> None:
        lock = FileLock(homes.lock_file(folder))
        lock.acquire()
        self._locks.append(lock)

    def _completed(self, home: homes.Home) -> StackSettings:
        given = self._given
        own_dsn, money, cache = (
            postgres.service_dsn(home),
            valkey.url(home, valkey.MONEY),
            valkey.url(home, valkey.CACHE),
        )
        return given.model_copy(
            update={
                "run_dir": home.run,
                "postgres_dsn": dsn.without_login(given.postgres_dsn or own_dsn),
                "redis_url": given.redis_url or money,
                "cache_url": given.cache_url or cache,
            }
        )

    async def _migrate(self, settings: StackSettings) -> None:
        try:
            await migrations.migrate(settings, owner_dsn=self._owner_dsn)
        except migrations.MigrationError as error:
            raise StartFailedError(str(error)) from error

    def _keep_house(self, home: homes.Home) -> None:
        def logs() -> None:
            housekeeping.bound_logs(home.logs)

        chores = [housekeeping.every(housekeeping.LOG_PERIOD_S, logs)]
        if self._plan.ports is not None:
            renew = functools.partial(envoy.renew_certificates, self.settings)
            chores.append(housekeeping.every(housekeeping.CERTIFICATES_PERIOD_S, renew))
            bound = functools.partial(
                envoy.bound_refusals, self.settings, self._processes[envoy.INSTANCE]
            )
            for period_s, at_least in envoy.REFUSALS_TURNS:
                turn = functools.partial(bound, at_least=at_least)
                chores.append(housekeeping.every(period_s, turn))
        self._housekeeping = [asyncio.create_task(chore) for chore in chores]

    def _emulators(self, home: homes.Home, settings: StackSettings) -> Sequence[ProcessSpec]:
        """Of others' services; with the whole mesh only."""
        if settings.stripe_emulator == "off" or self._plan.ports is None:
            return []
        return [stripe.spec(home, settings, ports=self._plan.ports)]

    async def _servers(self, home: homes.Home, settings: StackSettings) -> Sequence[ProcessSpec]:
        """Those servers that nobody else runs for us."""
        given = self._given
        if given.postgres_dsn and given.redis_url and given.cache_url:
            return []
        programs = binaries.within_reach(
            binaries.find(), user=home.user, folder=home.servers.parent
        )
        specs = []
        if not given.postgres_dsn:
            binaries.check_postgres_version(programs)
            await postgres.initialise(home, settings, programs)
            specs.append(postgres.spec(home, settings, programs, fsync=self._plan.fsync))
        valkeys = valkey.specs(home, settings, programs, test_user=self._plan.test_user)
        if not given.redis_url:
            specs.append(valkeys[valkey.MONEY])
        if not given.cache_url:
            specs.append(valkeys[valkey.CACHE])
        return specs

    async def _stage(self, specs: Iterable[Sequence[ProcessSpec]]) -> None:
        """Starts processes side by side and waits until all are ready; the first failure counts.

        A process is given by its slots, one or two.
        """
        stage = [
            Process(slots[0], on_change=self._changed, other=slots[1] if slots[1:] else None)
            for slots in specs
        ]
        self._stages.append(stage)
        self._processes |= {process.spec.instance: process for process in stage}
        starts = [asyncio.create_task(process.start()) for process in stage]
        try:
            for done in asyncio.as_completed(starts):
                await done
        finally:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    def _changed(self) -> None:
        if self._state is not None:
            self._state.write(self._processes.values(), ready=self._ready)
