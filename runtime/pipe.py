"""One pipelined connection to a Valkey: commands leave with everything else that is said in
the same turn of the event loop, up to a bound of commands on their way; the rest waits. Nothing is
ever sent twice by itself; an unknown outcome is the caller's to resolve by sending the same request
id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from redis.exceptions import RedisError

from runtime import redis
from runtime.errors import ResourceExhausted, Unavailable
from runtime.log import get_logger
from runtime.metrics import BATCH_COMMANDS
from runtime.script import Script
from runtime.tasks import end
from runtime.wire import Command, Flying, Wire

#: Most commands on their way at once: enough for Valkey never to wait for us, and few enough that
#: what waits longer can still be given up without having acted.
FLIGHT_MAX = 256
#: Wait before a lost connection is tried again.
RECONNECT_S = 0.1
#: How often a silent connection is looked at.
LOOK_S = 1.0

logger = get_logger()


class Pipe:
    """Runs commands over one connection that it opens, has inspected, and reopens when lost; the
    server is given `scripts` first. While there is none, calls are refused with a reason.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Wire]],
        *,
        inspect: Callable[[Wire], Awaitable[None]],
        on_open: Callable[[], Awaitable[None]],
        on_lost: Callable[[str], Awaitable[None]],
        queue_commands: int,
        scripts: Sequence[Script],
        not_ready_reason: str,
    ) -> None:
        self._load_scripts: tuple[Command, ...] = tuple(
            ("SCRIPT", "LOAD", one.text) for one in scripts
        )
        self._not_ready_reason = not_ready_reason
        self._connect = connect
        self._inspect = inspect
        self._on_open = on_open
        self._on_lost = on_lost
        self._queue_commands = queue_commands
        self._waiting: deque[Flying] = deque()
        self._wire: Wire | None = None
        self._flushes = False
        self._closed_because = "the connection to Valkey is being opened"
        self._task: asyncio.Task[None] | None = None
        self._reopen = asyncio.Event()

    async def start(self) -> None:
        """Starts connecting; calls are refused until the connection is open and inspected."""
        self._task = asyncio.create_task(self._run(), name="pipe")

    async def stop(self) -> None:
        """Stops; what still waits is refused."""
        if self._task is not None:
            await end(self._task)

    def reopen(self) -> None:
        """Closes the connection once nothing is on its way and has a new one inspected."""
        self._reopen.set()

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]
    ) -> list[Any]:
        """Runs one script and returns its answer, `[status, …]`, as text."""
        answer: list[Any] = await self.command(
            "EVALSHA", script.sha, str(len(keys)), *keys, *arguments
        )
        return answer

    async def command(self, *command: str | bytes) -> Any:
        """Runs one command. A caller that gives up does not disturb the others; what has not left
        by then never does.
        """
        if self._wire is None:
            raise Unavailable(self._closed_because, reason=self._not_ready_reason)
        if len(self._waiting) >= self._queue_commands:
            raise ResourceExhausted(
                "too many calls wait for Valkey; slow down", reason="OVERLOADED"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, future))
        if not self._flushes:
            self._flushes = True
            loop.call_soon(self._flush)
        return await future

    async def _run(self) -> None:
        while True:
            wire = None
            try:
                wire = await self._connect()
                await wire.execute(self._load_scripts)
                await self._inspect(wire)
                await self._serve(wire)
                self._closed_because = "the connection to Valkey is being inspected again"
            except (RedisError, OSError, Unavailable, TimeoutError) as error:
                because = str(error) or type(error).__name__
                if because != self._closed_because:  # it is tried ten times a second
                    logger.warning("pipe_lost", because=because)
                self._closed_because = because
            except Exception:  # a fault of ours must close the gate, not end the task in silence
                self._closed_because = "internal error in the connection to Valkey"
                logger.exception("pipe_failed")
            finally:
                self._wire = None
                if wire is not None:
                    wire.close()
                    _fail(wire.take_flight())
                self._fail_waiting()
            await self._on_lost(self._closed_because)
            await asyncio.sleep(RECONNECT_S)

    async def _serve(self, wire: Wire) -> None:
        """Until the connection is lost, silent for too long, or to be inspected again."""
        self._reopen.clear()
        self._wire = wire
        wire.on_answers = self._answered
        await self._on_open()
        ends = [asyncio.create_task(wire.lost.wait()), asyncio.create_task(self._reopen.wait())]
        answers, silent_s = 0, 0.0
        try:
            while not (done := (await asyncio.wait(ends, timeout=LOOK_S, return_when=_FIRST))[0]):
                silent_s = silent_s + LOOK_S if wire.in_flight and wire.answers == answers else 0.0
                answers = wire.answers
                if silent_s >= redis.SOCKET_TIMEOUT_S:
                    raise TimeoutError("Valkey does not answer")
        finally:
            for task in ends:
                task.cancel()
        if ends[0] in done:
            raise ConnectionError("Valkey closed the connection")
        await self._land(wire)

    async def _land(self, wire: Wire) -> None:
        """Lets what is on its way arrive; nothing new leaves."""
        self._wire = None
        landed = asyncio.Event()

        def look(unscripted: list[Flying]) -> None:
            _fail(unscripted)
            if not wire.in_flight:
                landed.set()

        wire.on_answers = look
        look([])
        async with asyncio.timeout(redis.SOCKET_TIMEOUT_S):
            await landed.wait()

    def _flush(self) -> None:
        self._flushes = False
        wire = self._wire
        if wire is None or wire.lost.is_set():
            return
        batch: list[Flying] = []
        room = FLIGHT_MAX - wire.in_flight
        while self._waiting and len(batch) < room:
            flying = self._waiting.popleft()
            if not flying[1].done():  # what nobody waits for any more never starts
                batch.append(flying)
        if batch:
            BATCH_COMMANDS.observe(len(batch))
            wire.send(batch)

    def _answered(self, unscripted: list[Flying]) -> None:
        """A server that has forgotten the scripts ran nothing: sending them again is safe."""
        if unscripted:
            assert self._wire is not None, "_land listens by itself"
            loop = asyncio.get_running_loop()
            self._wire.send((command, loop.create_future()) for command in self._load_scripts)
            self._wire.send(unscripted)
        if self._waiting:
            self._flush()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = list(self._waiting), deque()
        _fail(waiting)


_FIRST = asyncio.FIRST_COMPLETED


def _fail(flight: Iterable[Flying]) -> None:
    """Tells everyone who still waits that the outcome is unknown."""
    lost = 0
    for _, future in flight:
        if not future.done():
            lost += 1
            future.set_exception(
                Unavailable(
                    "the outcome is unknown: repeat the same request",
                    reason="OUTCOME_UNKNOWN",
                )
            )
            future.exception()  # a caller that has gone must not leave a warning behind
    if lost:
        logger.warning("batch_lost", commands=lost)
