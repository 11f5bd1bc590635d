"""One supervised process: started, watched until ready, restarted when it dies, stopped."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

from runtime.devstack.child import Child
from runtime.devstack.errors import StartFailedError
from runtime.devstack.osuser import OsUser

logger = structlog.get_logger(__name__)

_PROBE_PAUSE_S = 0.03
_PROBE_PAUSE_S_MAX = 0.25
_LOG_TAIL_LINES = 12
_LOG_TAIL_BYTES = 8192
#: Signals that a process survives: after them it is as ready as before.
_SURVIVED = frozenset(
    {signal.SIGSTOP, signal.SIGCONT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
)


class State(StrEnum):
    """What a supervised process is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing-off"
    STOPPING = "stopping"


async def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """How one process is started, recognised as ready, and stopped."""

    #: Its name in the status table, its log file and its environment.
    instance: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    #: Where it listens, for people.
    listens: str
    #: Answers whether it is ready; asked until it is.
    ready: Callable[[], Awaitable[bool]]
    user: OsUser | None = None
    #: What an earlier life may have left and a new one cannot bear, e.g. a socket.
    obstacles: tuple[Path, ...] = ()
    before_stop: Callable[[], Awaitable[None]] = _nothing
    stop_signal: signal.Signals = signal.SIGTERM
    #: Instead of the stop signal when everything is stopped, and nobody is left who calls it.
    hurry_signal: signal.Signals | None = None
    stop_timeout_s: float = 8.0
    #: Sent by the kernel when the supervisor dies.
    death_signal: signal.Signals = signal.SIGKILL
    ready_timeout_s: float = 30.0
    #: How far it gives way to others when there is not enough processor for all.
    niceness: int = 0


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Pauses between restarts: doubling up to a cap, from the beginning after a stable run."""

    initial_s: float = 0.2
    cap_s: float = 10.0
    stable_after_s: float = 30.0
    _next_s: float = field(default=0.0, init=False)

    def pause_s(self, *, ran_for_s: float) -> float:
        """Seconds to wait before the next start, given how long the last run lasted."""
        if ran_for_s >= self.stable_after_s or self._next_s == 0.0:
            self._next_s = self.initial_s
        pause = self._next_s
        self._next_s = min(self._next_s * 2, self.cap_s)
        return pause


class Process:
    """Keeps one process running from `start` to `stop`."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        on_change: Callable[[], None],
        other: ProcessSpec | None = None,
    ) -> None:
        """`other`: the same process in its other slot, if both may run at the same time."""
        self.spec = spec
        self._other = other
        self.state = State.STOPPED
        #: Starts after the first one that were not asked for.
        self.restarts = 0
        self.last_exit: int | None = None
        self._on_change = on_change
        self._backoff = Backoff()
        self._child: Child | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.running else None

    async def start(self) -> None:
        """Starts it and waits until it is ready; StartFailedError shows the end of its log."""
        assert self._watcher is None, "started twice"
        await self._launch()
        self._begin_watching()

    async def stop(self, *, hurry: bool = False) -> None:
        """Stops it and waits for its end: its stop signal first, SIGKILL after the timeout."""
        await self._end_watching()
        if self._child is not None and self._child.running:
            self._set(State.STOPPING)
            await self.spec.before_stop()
            await self._end(self._child, self.spec, hurry=hurry)
        self._set(State.STOPPED)

    @property
    def replaceable(self) -> bool:
        """Whether `replace` is possible."""
        return self._other is not None

    async def replace(self, *, overlap_s: float) -> None:
        """Restarts it without a gap: starts its other slot, gives those who call it `overlap_s` to
        see that both are there, and stops the one that ran before, which drains.

        StartFailedError: the new one did not live that long; the old one goes on.
        """
        assert self._other is not None, "it has one slot only"
        spec, previous = self._other, self.spec
        child = self._spawn(spec)
        try:
            await self._started(child, spec)
            await asyncio.sleep(overlap_s)
            if not child.running:
                raise _not_ready(spec, f"ended with code {await child.wait()}")
        except BaseException:
            child.send(signal.SIGKILL)
            raise
        # Whatever became of the old one meanwhile: if it died, its successor in its slot counts.
        await self._end_watching()
        leaving, self._child = self._child, child
        self.spec, self._other = spec, previous
        self._set(State.READY)
        self._begin_watching()
        if leaving is not None and leaving.running:
            await self._end(leaving, previous, hurry=False)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal. Unless the process survives it, it counts as not ready from now on."""
        if number not in _SURVIVED:
            self._set(State.STARTING)
        if self._child is not None:
            self._child.send(number)

    async def wait_ready(self) -> None:
        """Waits until it is ready (again)."""
        await self._ready.wait()

    def _begin_watching(self) -> None:
        self._watcher = asyncio.create_task(self._watch(), name=f"watch-{self.spec.instance}")

    async def _end_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None

    async def _end(self, child: Child, spec: ProcessSpec, *, hurry: bool) -> None:
        number = (spec.hurry_signal if hurry else None) or spec.stop_signal
        if not await child.stop(number, timeout_s=spec.stop_timeout_s):
            logger.warning("process_killed", instance=spec.instance)

    async def _watch(self) -> None:
        """Restarts the process whenever it ends, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            assert self._child is not None
            self.last_exit = await self._child.wait()
            pause_s = self._backoff.pause_s(ran_for_s=loop.time() - started)
            self.restarts += 1
            logger.warning(
                "process_ended",
                instance=self.spec.instance,
                exit_code=self.last_exit,
                restart_in_s=pause_s,
                restarts=self.restarts,
            )
            self._set(State.BACKING_OFF)
            await asyncio.sleep(pause_s)
            try:
                await self._launch()
            except StartFailedError as error:
                logger.error("process_not_ready", instance=self.spec.instance, reason=str(error))  # noqa: TRY400

    async def _launch(self) -> None:
        self._set(State.STARTING)
        self._child = self._spawn(self.spec)
        self._on_change()
        await self._started(self._child, self.spec)
        self._set(State.READY)

    def _spawn(self, spec: ProcessSpec) -> Child:
        for path in spec.obstacles:
            path.unlink(missing_ok=True)
        return Child(
            spec.argv,
            env=spec.env,
            cwd=spec.cwd,
            log=spec.log,
            user=spec.user,
            death_signal=spec.death_signal,
            niceness=spec.niceness,
        )

    async def _started(self, child: Child, spec: ProcessSpec) -> None:
        """Waits until it is ready; StartFailedError if it never will be."""
        if await _becomes_ready(child, spec):
            return
        ended = not child.running
        if not ended:
            await child.stop(spec.stop_signal, timeout_s=spec.stop_timeout_s)
        raise _not_ready(
            spec,
            f"ended with code {await child.wait()}"
            if ended
            else f"was not ready after {spec.ready_timeout_s:.0f} s",
        )

    def _set(self, state: State) -> None:
        self.state = state
        if state is State.READY:
            self._ready.set()
        else:
            self._ready.clear()
        self._on_change()


async def _becomes_ready(child: Child, spec: ProcessSpec) -> bool:
    """Probes until ready, the process's end, or the timeout."""
    pause_s = _PROBE_PAUSE_S
    try:
        async with asyncio.timeout(spec.ready_timeout_s):
            while child.running:
                if await spec.ready():
                    return child.running
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.2, _PROBE_PAUSE_S_MAX)
    except TimeoutError:
        return False
    return False


def _not_ready(spec: ProcessSpec, what: str) -> StartFailedError:
    return StartFailedError(f"{spec.instance} {what}", hint=f"{spec.log}:\n{log_tail(spec.log)}")


def log_tail(path: Path) -> str:
    """The last lines of a log file."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])
