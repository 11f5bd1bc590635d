"""How a command asks the running supervisor to do something: one unix socket in the run folder.

A connection carries one request, a line of JSON, and then the answer, a line per step as it is
done. The last line has `done`, or `error` and `hint`. Whoever can open the socket is the user who
started the supervisor. What was begun is finished, also when nobody waits for the answer any more.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtime.devstack.errors import DevstackError, NotRunningError

#: A request is a few names.
_LINE_BYTES_MAX = 64 * 1024
_REQUEST_TIMEOUT_S = 5.0

Step = dict[str, Any]
#: Does what is asked; calls its second argument after each step. DevstackError says why not.
Handle = Callable[[Step, Callable[[Step], None]], Awaitable[None]]


def socket_path(run: Path) -> Path:
    """Where the supervisor with this run folder listens."""
    return run / "supervisor.sock"


class ControlSocket:
    """The supervisor's side. Requests are done one after the other."""

    def __init__(self, path: Path, handle: Handle) -> None:
        self._path = path
        self._handle = handle
        self._turn = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._work: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens."""
        previous = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._answer, self._path, limit=_LINE_BYTES_MAX
            )
        finally:
            os.umask(previous)

    async def stop(self) -> None:
        """Stops listening, and whatever is being done."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._path.unlink(missing_ok=True)
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def tell(step: Step) -> None:
            if not writer.is_closing():
                writer.write(json.dumps(step).encode() + b"\n")

        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                request = json.loads(await reader.readline())
            # A task of its own: the connection may end before the work.
            work = asyncio.create_task(self._do(request, tell))
            self._work.add(work)
            work.add_done_callback(self._work.discard)
            await asyncio.shield(work)
        except (TimeoutError, ValueError, OSError):
            tell({"error": "the request is not one line of JSON", "hint": ""})
        finally:
            with suppress(OSError):
                writer.close()
                await writer.wait_closed()

    async def _do(self, request: Step, tell: Callable[[Step], None]) -> None:
        try:
            async with self._turn:
                await self._handle(request, tell)
        except DevstackError as error:
            tell({"error": error.message, "hint": error.hint})
        except asyncio.CancelledError:
            tell({"error": "the supervisor is stopping", "hint": ""})
            raise
        else:
            tell({"done": True})


async def ask(run: Path, request: Step) -> AsyncIterator[Step]:
    """Asks the supervisor with this run folder; yields its steps. DevstackError when it refuses."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path(run), limit=_LINE_BYTES_MAX)
    except OSError as error:
        raise NotRunningError(
            f"the supervisor does not answer: {error.strerror or error}",
            hint="was it started by an older version? `holdfast down`, then `holdfast up`",
        ) from None
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        while line := await reader.readline():
            step: Step = json.loads(line)
            if "error" in step:
                raise DevstackError(step["error"], hint=step["hint"])
            if "done" in step:
                return
            yield step
        raise DevstackError("the supervisor ended in the middle", hint="see `holdfast status`")
    finally:
        writer.close()
