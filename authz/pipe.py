"""One pipelined connection to the money Valkey: what queued while the last batch was in flight
travels together. Nothing is ever sent twice by itself; an unknown outcome is the caller's to
resolve by sending the same request id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from authz import scripts
from authz.scripts import Script
from runtime.errors import ResourceExhausted, Unavailable
from runtime.log import get_logger
from runtime.metrics import BATCH_COMMANDS
from runtime.tasks import end

#: Most commands in one pipeline.
BATCH_MAX = 256
#: Wait before a lost connection is tried again.
RECONNECT_S = 0.1

Command = tuple[str | bytes, ...]
logger = get_logger()


class Pipe:
    """Runs commands over one connection that it opens, has inspected, and reopens when lost."""

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        *,
        inspect: Callable[[AbstractConnection], Awaitable[None]],
        on_open: Callable[[], Awaitable[None]],
        on_lost: Callable[[str], Awaitable[None]],
        queue_commands: int,
    ) -> None:
        self._connect = connect
        self._inspect = inspect
        self._on_open = on_open
        self._on_lost = on_lost
        self._queue_commands = queue_commands
        self._waiting: deque[tuple[Command, asyncio.Future[Any]]] = deque()
        self._wake = asyncio.Event()
        self._open = False
        self._closed_because = "the connection to Valkey is being opened"
        self._task: asyncio.Task[None] | None = None
        self._reopen = False

    async def start(self) -> None:
        """Starts connecting; calls are refused until the connection is open and inspected."""
        self._task = asyncio.create_task(self._run(), name="pipe")

    async def stop(self) -> None:
        """Stops; what still waits is refused."""
        if self._task is not None:
            await end(self._task)

    def reopen(self) -> None:
        """Closes the connection after the running batch and has a new one inspected."""
        self._reopen = True
        self._wake.set()

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]
    ) -> list[Any]:
        """Runs one script and returns its answer, `[status, …]`, as text."""
        answer: list[Any] = await self.command(
            "EVALSHA", script.sha, str(len(keys)), *keys, *arguments
        )
        return answer

    async def command(self, *command: str | bytes) -> Any:
        """Runs one command. A caller that gives up does not disturb the others."""
        if not self._open:
            raise Unavailable(self._closed_because, reason="AUTHORIZER_NOT_READY")
        if len(self._waiting) >= self._queue_commands:
            raise ResourceExhausted(
                "too many calls wait for Valkey; slow down", reason="OVERLOADED"
            )
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        self._wake.set()
        return await future

    async def _run(self) -> None:
        while True:
            connection = self._connect()
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                await load_scripts(connection)
                await self._inspect(connection)
                self._reopen = False
                self._open = True
                self._closed_because = ""
                await self._on_open()
                await self._serve(connection)
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
                self._open = False
                self._fail_waiting()
                with suppress(RedisError, OSError, TimeoutError):
                    await connection.disconnect()
            await self._on_lost(self._closed_because)
            await asyncio.sleep(RECONNECT_S)

    async def _serve(self, connection: AbstractConnection) -> None:
        while not self._reopen:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._next_batch()
            if not batch:
                continue
            BATCH_COMMANDS.observe(len(batch))
            try:
                await self._exchange(connection, batch)
            except BaseException as error:
                _fail(batch, error)
                raise

    def _next_batch(self) -> list[tuple[Command, asyncio.Future[Any]]]:
        """What waits, but for what nobody waits for any more: that never starts."""
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
        return [(command, future) for command, future in taken if not future.done()]

    async def _exchange(
        self,
        connection: AbstractConnection,
        batch: list[tuple[Command, asyncio.Future[Any]]],
    ) -> None:
        packed = connection.pack_commands([command for command, _ in batch])
        await connection.send_packed_command(packed, check_health=False)
        missing_script = False
        for command, future in batch:
            try:
                answer = await connection.read_response(disable_decoding=False)
            except NoScriptError:
                # Nothing ran: sending it again is safe.
                missing_script = True
                self._waiting.append((command, future))
            except ResponseError as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(answer)
        if missing_script:
            await load_scripts(connection)

    def _fail_waiting(self) -> None:
        batch = list(self._waiting)
        self._waiting.clear()
        _fail(batch, None)


def _fail(batch: list[tuple[Command, asyncio.Future[Any]]], error: BaseException | None) -> None:
    """Tells everyone who still waits that the outcome is unknown."""
    for _, future in batch:
        if not future.done():
            future.set_exception(
                Unavailable(
                    "the outcome is unknown: repeat the same request",
                    reason="OUTCOME_UNKNOWN",
                )
            )
            future.exception()  # a caller that has gone must not leave a warning behind
    if error is not None:
        logger.warning("batch_lost", commands=len(batch), error=type(error).__name__)


async def load_scripts(connection: AbstractConnection) -> None:
    """Makes every script known to the server."""
    await execute(connection, [("SCRIPT", "LOAD", script.text) for script in scripts.ALL])


async def execute(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    """Sends commands as one pipeline and returns their answers; the first error is raised."""
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    answers: list[Any] = []
    failure: ResponseError | None = None
    for _ in commands:
        try:
            answers.append(await connection.read_response(disable_decoding=False))
        except ResponseError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return answers
