"""One raw connection to Valkey for those who pipeline: hiredis packs and parses, answers come back
in order. It sends nothing twice and knows nothing of retries.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

import hiredis
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from runtime import redis
from runtime.settings import Settings

Command = tuple[str | bytes, ...]
Flying = tuple[Command, asyncio.Future[Any]]

#: One command as it travels.
packed: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]
_ERRORS = {"NOSCRIPT": NoScriptError, "OOM": OutOfMemoryError}


class Wire(asyncio.Protocol):
    """Commands out, answers in. Answers are text, in which bytes that are no UTF-8 survive as
    surrogates, or bytes.
    """

    def __init__(self, *, text: bool = True) -> None:
        self._reader = hiredis.Reader(
            replyError=error_of,
            encoding="utf-8" if text else None,
            errors="surrogateescape",
            notEnoughData=self,
        )
        self._flight: deque[Flying] = deque()
        self._transport: asyncio.WriteTransport | None = None
        #: Set once the connection has gone; what was on its way then has an unknown outcome.
        self.lost = asyncio.Event()
        #: Answers so far: who waits can see whether anything moves.
        self.answers = 0
        #: Called after answers have come.
        self.on_answers: Callable[[list[Flying]], None] = _ignore

    @property
    def in_flight(self) -> int:
        """Commands that wait for their answer."""
        return len(self._flight)

    def send(self, batch: Iterable[Flying]) -> None:
        """Sends commands; each future gets its answer, or ResponseError, or stays open when the
        connection is lost (`take_flight`).
        """
        assert self._transport is not None, "connect() first"
        batch = list(batch)
        self._flight.extend(batch)
        self._transport.write(b"".join([packed(command) for command, _ in batch]))

    def take_flight(self) -> list[Flying]:
        """What was on its way when the connection went."""
        flight, self._flight = list(self._flight), deque()
        return flight

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Sends commands as one pipeline and returns their answers; the first error is raised."""
        if self.lost.is_set():
            raise ConnectionError("the connection to Valkey is closed")
        if not commands:
            return []
        loop = asyncio.get_running_loop()
        batch: list[Flying] = [(command, loop.create_future()) for command in commands]
        self.send(batch)
        lost = asyncio.create_task(self.lost.wait())
        last = batch[-1][1]  # answers come in order
        try:
            async with asyncio.timeout(redis.SOCKET_TIMEOUT_S):
                await asyncio.wait((last, lost), return_when=asyncio.FIRST_COMPLETED)
            if not last.done():
                raise ConnectionError("Valkey closed the connection")
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        finally:
            lost.cancel()
        # Each is looked at: an error that nobody saw would be logged.
        for error in [future.exception() for _, future in batch]:
            if error is not None:
                raise error
        return [future.result() for _, future in batch]

    def close(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        del exc
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        reader, flight = self._reader, self._flight
        unscripted: list[Flying] = []
        reader.feed(data)
        while (answer := reader.gets()) is not self:
            flying = flight.popleft()
            self.answers += 1
            future = flying[1]
            if isinstance(answer, NoScriptError):
                unscripted.append(flying)
            elif not future.done():
                if isinstance(answer, ResponseError):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self.on_answers(unscripted)


def _ignore(_: list[Flying]) -> None:
    pass


def error_of(text: str) -> ResponseError:
    """An error as the server words it."""
    code, _, rest = text.partition(" ")
    if code in _ERRORS:
        return _ERRORS[code](rest)
    return ResponseError(rest if code == "ERR" else text)


async def connect(
    settings: Settings, url: str, *, server: str, user: str, text: bool = True
) -> Wire:
    """Connects and logs in; `server` is `valkey-money` or `valkey-cache`; answers are bytes unless
    `text`. Raises OSError, TimeoutError, or ResponseError when the login is refused.
    """
    arguments = redis.connection_arguments(settings, url, server=server, user=user)
    loop, make = asyncio.get_running_loop(), partial(Wire, text=text)
    async with asyncio.timeout(redis.SOCKET_TIMEOUT_S):
        if "path" in arguments:
            _, wire = await loop.create_unix_connection(make, arguments["path"])
        else:
            _, wire = await loop.create_connection(
                make,
                arguments.get("host", "localhost"),
                arguments.get("port", 6379),
                ssl=tls_context(arguments) if url.startswith("rediss:") else None,
            )
    login: list[Command] = []
    if arguments.get("password"):
        login.append(("AUTH", arguments.get("username") or "default", arguments["password"]))
    if arguments.get("db"):
        login.append(("SELECT", str(arguments["db"])))
    try:
        await wire.execute(login)
    except BaseException:
        wire.close()
        raise
    return wire


def tls_context(arguments: dict[str, Any]) -> ssl.SSLContext:
    """TLS towards a server, from the arguments of its URL."""
    context = ssl.create_default_context(cafile=arguments.get("ssl_ca_certs"))
    if arguments.get("ssl_certfile"):
        context.load_cert_chain(arguments["ssl_certfile"], arguments.get("ssl_keyfile"))
    return context
