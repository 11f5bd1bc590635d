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
    stop_timeout_s: float = 8.0
    #: Sent by the kernel when the supervisor dies.
    death_signal: signal.Signals = signal.SIGKILL
    ready_timeout_s: float = 30.0


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

    def __init__(self, spec: ProcessSpec, *, on_change: Callable[[], None]) -> None:
        self.spec = spec
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
        self._watcher = asyncio.create_task(self._watch(), name=f"watch-{self.spec.instance}")

    async def stop(self) -> None:
        """Stops it and waits for its end: its stop signal first, SIGKILL after the timeout."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        if self._child is not None and self._child.running:
            self._set(State.STOPPING)
            await self.spec.before_stop()
            graceful = await self._child.stop(
                self.spec.stop_signal, timeout_s=self.spec.stop_timeout_s
            )
            if not graceful:
                logger.warning("process_killed", instance=self.spec.instance)
        self._set(State.STOPPED)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal. Unless the process survives it, it counts as not ready from now on."""
        if number not in _SURVIVED:
            self._set(State.STARTING)
        if self._child is not None:
            self._child.send(number)

    async def wait_ready(self) -> None:
        """Waits until it is ready (again)."""
        await self._ready.wait()

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
        for path in self.spec.obstacles:
            path.unlink(missing_ok=True)
        self._set(State.STARTING)
        self._child = Child(
            self.spec.argv,
            env=self.spec.env,
            cwd=self.spec.cwd,
            log=self.spec.log,
            user=self.spec.user,
            death_signal=self.spec.death_signal,
        )
        self._on_change()
        if not await self._becomes_ready(self._child):
            ended = not self._child.running
            if not ended:
                await self._child.stop(self.spec.stop_signal, timeout_s=self.spec.stop_timeout_s)
            what = (
                f"ended with code {await self._child.wait()}"
                if ended
                else f"was not ready after {self.spec.ready_timeout_s:.0f} s"
            )
            raise StartFailedError(
                f"{self.spec.instance} {what}", hint=f"{self.spec.log}:\n{log_tail(self.spec.log)}"
            )
        self._set(State.READY)

    async def _becomes_ready(self, child: Child) -> bool:
        """Probes until ready, the process's end, or the timeout."""
        pause_s = _PROBE_PAUSE_S
        try:
            async with asyncio.timeout(self.spec.ready_timeout_s):
                while child.running:
                    if await self.spec.ready():
                        return child.running
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 1.2, _PROBE_PAUSE_S_MAX)
        except TimeoutError:
            return False
        return False

    def _set(self, state: State) -> None:
        self.state = state
        if state is State.READY:
            self._ready.set()
        else:
            self._ready.clear()
        self._on_change()


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
