"""Looks names up, so that one that nobody answers for holds up only those who ask for it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

#: Names that are asked for at the same time. The system's own resolver gives up after some seconds.
LOOKUPS_MAX = 64

_Key = tuple[str, int, socket.AddressFamily]


class Lookup(AbstractResolver):
    """Asks the system, in threads that nobody waits for at the end; for a name, one at a time."""

    def __init__(self, ask: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._ask = ask
        self._room = asyncio.Semaphore(LOOKUPS_MAX)
        self._asked: dict[_Key, asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        key = (host, port, family)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._look_up(key))
            asked.add_done_callback(lambda _: self._asked.pop(key, None))
        # Whoever gives up waiting leaves the others theirs.
        return list(await asyncio.shield(asked))

    async def close(self) -> None:
        """Threads that still wait end by themselves."""
        for one in list(self._asked.values()):
            one.cancel()

    async def _look_up(self, key: _Key) -> list[ResolveResult]:
        host, port, family = key
        async with self._room:
            found = await _in_thread(
                lambda: self._ask(
                    host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
                )
            )
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in found
        ]


async def _in_thread(ask: Callable[[], Any]) -> Any:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(found: Any, error: OSError | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def run() -> None:
        found, error = None, None
        try:
            found = ask()
        except OSError as failed:
            error = failed
        except UnicodeError:
            error = socket.gaierror("is no name")
        # The loop may be gone by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=run, name="lookup", daemon=True).start()
    return await answer
