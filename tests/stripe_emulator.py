"""Stripe for tests: localstripe on loopback, in this process, behind what it lacks: idempotency
keys, deposits that verify bank accounts, and a network that fails.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY = "sk_test_12345"
HOOK_SECRET = "whsec_of_the_tests"
GOOD_CARD = "4242424242424242"
#: It can be attached, and not be charged.
BAD_CARD = "4000000000000341"
#: It asks for its holder.
SECURE_CARD = "4000002500003155"


@dataclass(slots=True, kw_only=True)
class Emulator:
    """Where it listens, what it was asked, and what goes wrong next."""

    url: str = ""
    #: "before": refused unread; "after": done, and the answer lost; "500": done, and denied.
    #: What was deposited on bank accounts; None: their banks have said whose they are.
    deposits: tuple[int, int] | None = None
    setups: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def card(self, number: str = GOOD_CARD) -> str:
        """What Stripe's form makes of a card number."""
        async with httpx.AsyncClient(base_url=self.url, auth=(KEY, "")) as client:
            made = await client.post(
                "/v1/payment_methods",
                data={
                    "type": "card",
                    "card[number]": number,
                    "card[exp_month]": "12",
                    "card[exp_year]": "2040",
                    "card[cvc]": "123",
                },
            )
        name: str = made.json()["id"]
        return name

    async def bank_account(self) -> str:
        """What Stripe's form makes of the number of a bank account."""
        async with httpx.AsyncClient(base_url=self.url, auth=(KEY, "")) as client:
            made = await client.post(
                "/v1/payment_methods",
                data={"type": "sepa_debit", "sepa_debit[iban]": "DE89370400440532013000"},
            )
        name: str = made.json()["id"]
        return name

    async def charges(self) -> list[dict[str, Any]]:
        """All that was charged with success."""
        async with httpx.AsyncClient(base_url=self.url, auth=(KEY, "")) as client:
            found = await client.get("/v1/charges", params={"limit": 10_000})
        return [one for one in found.json()["data"] if one["status"] == "succeeded"]


_EMULATOR = web.AppKey("emulator", Emulator)


@web.middleware
async def _once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The same key has the same answer; while one runs, the other waits."""
    emulator: Emulator = request.app[_EMULATOR]
    if request.method not in ("POST", "DELETE") or not request.path.startswith("/v1/"):
        return await handler(request)
    fault = emulator.faults.pop(0) if emulator.faults else ""
    if fault == "before":
        return web.Response(status=503)
    key = request.headers.get("Idempotency-Key", "")
    async with emulator.locks[key] if key else asyncio.Lock():
        if key not in emulator.answers or not key:
            emulator.posts.append(request.path)
            answer = await handler(request)
            assert isinstance(answer, web.Response)
            assert isinstance(answer.body, bytes)
            emulator.answers[key] = (answer.status, answer.body)
        status, body = emulator.answers[key]
    if fault == "after":
        assert request.transport is not None
        request.transport.close()
    if fault == "500":
        return web.json_response({"error": {"type": "api_error"}}, status=500)
    return web.json_response(json.loads(body), status=status)


def _setup(name: str, status: str) -> web.Response:
    action = {"type": "verify_with_microdeposits"} if status == "requires_action" else None
    shown = {"id": name, "object": "setup_intent", "status": status, "next_action": action}
    return web.json_response(shown)


async def _set_up(request: web.Request) -> web.StreamResponse:
    emulator = request.app[_EMULATOR]
    name = f"seti_{len(emulator.setups)}"
    emulator.setups[name] = "requires_action" if emulator.deposits else "succeeded"
    return _setup(name, emulator.setups[name])


async def _set_up_now(request: web.Request) -> web.StreamResponse:
    name = request.match_info["id"]
    return _setup(name, request.app[_EMULATOR].setups[name])


async def _verify(request: web.Request) -> web.StreamResponse:
    emulator, name = request.app[_EMULATOR], request.match_info["id"]
    asked = await request.post()
    amounts = sorted(int(str(asked[f"amounts[{number}]"])) for number in range(2))
    code = "setup_intent_unexpected_state"
    if emulator.setups[name] == "requires_action":
        if amounts == sorted(emulator.deposits or ()):
            emulator.setups[name] = "succeeded"
            return _setup(name, "succeeded")
        code = "payment_method_microdeposit_verification_amounts_mismatch"
    error = {"type": "invalid_request_error", "code": code, "message": code}
    return web.json_response({"error": error}, status=400)


@asynccontextmanager
async def stripe_emulator() -> AsyncIterator[Emulator]:
    """Runs it on a free port, with nothing remembered."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from localstripe import resources, server  # noqa: PLC0415  it warns

    resources.store.dump_to_disk = lambda: None
    resources.store.clear()
    emulator = Emulator()
    app = web.Application(middlewares=[_once, *server.app.middlewares])
    app[_EMULATOR] = emulator
    app.router.add_post("/v1/setup_intents", _set_up)
    app.router.add_get("/v1/setup_intents/{id}", _set_up_now)
    app.router.add_post("/v1/setup_intents/{id}/verify_microdeposits", _verify)
    for route in server.app.router.routes():
        app.router.add_route(route.method, route.resource.canonical, route.handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    emulator.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield emulator
    finally:
        await runner.cleanup()
