"""Somebody who takes webhooks, or does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from runtime.events.signing import verify


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """Answers by path: `/ok…` 204, `/fail…` 500, `/moved…` a redirect to /ok, `/huge…` without end,
    `/slow…` when `release` is set.
    """

    base: str = ""
    received: list[Received] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    #: Paths that fail so many more times.
    failures: dict[str, int] = field(default_factory=dict)
    #: How long it thinks before each answer.
    delay_s: float = 0
    under_way: int = 0
    under_way_max: int = 0

    def url(self, path: str) -> str:
        return f"{self.base}{path}"

    def at(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path == path]

    def verified(self, secret: str, path: str, *, now_s: int) -> list[dict[str, Any]]:
        """The events that came to a path, each signed with the secret."""
        for one in self.at(path):
            verify(secret, one.headers, one.body, now_s=now_s)
        return [one.event for one in self.at(path)]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        try:
            return await self._answer(request)
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, await request.read()))
        await asyncio.sleep(self.delay_s)
        if self.failures.get(request.path, 0) > 0:
            self.failures[request.path] -= 1
            return web.Response(status=503, text="not now")
        if request.path.startswith("/slow"):
            await self.release.wait()
        if request.path.startswith("/fail"):
            return web.Response(status=500, text="no \x00 idea " + "x" * 5_000)
        if request.path.startswith("/moved"):
            return web.Response(status=302, headers={"location": self.url("/ok")})
        if request.path.startswith("/huge"):
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"x" * 65_536)
            except ConnectionError:
                return response
        return web.Response(status=204)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """One on a free port of 127.0.0.1."""
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        found.release.set()
        await runner.cleanup()
