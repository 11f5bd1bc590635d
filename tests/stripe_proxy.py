"""Between payments and Stripe: an HTTP proxy that drops, delays, duplicates and denies."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

#: Longest that a request or an answer waits.
DELAY_S_MAX = 0.2
#: What Stripe has to know of a request.
_PASSED = ("authorization", "content-type", "idempotency-key", "stripe-version")


@dataclass(slots=True, kw_only=True)
class StripeProxy:
    """Where it listens, and how likely it does what."""

    target: str
    random: random.Random
    url: str = ""
    #: Probabilities by fault: `lose` (nobody hears of it), `cut` (done, and the answer is lost),
    #: `deny` (done, and answered 500), `refuse` (not done, and answered 500), `delay` (before and
    #: after), `twice` (the request arrives twice).
    faults: dict[str, float] = field(default_factory=dict)
    injected: Counter[str] = field(default_factory=Counter)

    def hit(self, fault: str) -> bool:
        """Whether it happens now."""
        found = self.random.random() < self.faults.get(fault, 0)
        self.injected[fault] += found
        return found

    async def pause(self) -> None:
        """Waits, or does not."""
        if self.hit("delay"):
            await asyncio.sleep(self.random.uniform(0, DELAY_S_MAX))


_PROXY = web.AppKey("proxy", StripeProxy)
_CLIENT = web.AppKey("client", aiohttp.ClientSession)


async def _handle(request: web.Request) -> web.StreamResponse:
    proxy, client = request.app[_PROXY], request.app[_CLIENT]
    body = await request.read()
    headers = {name: request.headers[name] for name in _PASSED if name in request.headers}

    async def forward() -> tuple[int, bytes]:
        async with client.request(
            request.method, proxy.target + request.raw_path, data=body, headers=headers
        ) as answer:
            return answer.status, await answer.read()

    await proxy.pause()
    if proxy.hit("lose"):
        return _cut(request)
    if proxy.hit("refuse"):
        return _denied()
    copies = [forward()] + ([forward()] if proxy.hit("twice") else [])
    (status, content), *_ = await asyncio.gather(*copies)
    await proxy.pause()
    if proxy.hit("cut"):
        return _cut(request)
    if proxy.hit("deny"):
        return _denied()
    return web.Response(status=status, body=content, content_type="application/json")


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _denied() -> web.Response:
    return web.json_response({"error": {"type": "api_error"}}, status=500)


@asynccontextmanager
async def stripe_proxy(target: str, *, seed: int) -> AsyncIterator[StripeProxy]:
    """A proxy that does nothing wrong until it is told to."""
    proxy = StripeProxy(target=target, random=random.Random(seed))
    app = web.Application()
    app[_PROXY] = proxy
    app.router.add_route("*", "/{path:.*}", _handle)
    async with aiohttp.ClientSession() as client:
        app[_CLIENT] = client
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            await runner.cleanup()
