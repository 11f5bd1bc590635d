"""Stripe for development: localstripe on loopback, with what it lacks: `Idempotency-Key`, and a
memory of its own installation. A process of its own: `python -m runtime.devstack.stripe_emulator`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import pickle  # nosec B403
import signal
import warnings
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from runtime.files import write_atomically

HOST = "127.0.0.1"
#: What the store keeps answers under, beside localstripe's own objects.
_ANSWER = "holdfast-answer:"
_HOOK_EVENTS = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "charge.dispute.created",
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Once:
    """The same idempotency key has the same answer; while one runs, the other waits."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def middleware(self) -> Any:
        """For an application of aiohttp."""

        @web.middleware
        async def once(request: web.Request, handler: Handler) -> web.StreamResponse:
            key = request.headers.get("Idempotency-Key", "")
            if not key or request.method != "POST":
                return await handler(request)
            name = _ANSWER + key
            async with self._locks[name]:
                if name not in self._answers:
                    answer = await handler(request)
                    assert isinstance(answer, web.Response)
                    self._answers[name] = (answer.status, answer.body)
            status, body = self._answers[name]
            return web.Response(status=status, body=body, content_type="application/json")

        return once


def application(data: Path | None) -> web.Application:
    """The emulator; its objects are kept in a file, or nowhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from localstripe import resources, server  # noqa: PLC0415  it warns, and is not always there

    store: Any = resources.store
    store.clear = dict.clear.__get__(store)
    store.dump_to_disk = lambda: None
    store.clear()
    if data is not None and data.exists():
        # Written by ourselves, below our own home. # nosec B301
        store.update(pickle.loads(data.read_bytes()))  # noqa: S301  # nosec B301
    if data is not None:
        store.dump_to_disk = lambda: write_atomically(data, pickle.dumps(dict(store)), mode=0o600)
    app = web.Application(middlewares=[Once(store).middleware, *server.app.middlewares])
    for route in server.app.router.routes():
        assert route.resource is not None
        app.router.add_route(route.method, route.resource.canonical, route.handler)
    return app


async def serve(port: int, *, data: Path, hook: str, secret: str) -> None:
    """Serves until SIGTERM; tells `hook` what happens, signed with `secret`."""
    app = application(data)
    from localstripe import webhooks  # noqa: PLC0415  see above

    webhooks.register_webhook("holdfast", hook, secret, list(_HOOK_EVENTS))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--hook", required=True)
    parser.add_argument("--secret-file", type=Path, required=True)
    given = parser.parse_args()
    secret = given.secret_file.read_text().strip()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.port, data=given.data, hook=given.hook, secret=secret))


if __name__ == "__main__":
    main()
