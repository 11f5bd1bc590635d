"""The scene of a webhook: a customer's program is told what happens, and believes only us."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from holdfast.notify.v1 import webhook_service_pb2 as pb
from holdfast.payments.v1 import payment_service_pb2 as payments
from runtime.clock import SystemClock
from runtime.demo import requests
from runtime.demo.stage import DemoFailedError, Stage, money
from runtime.events.signing import SignatureError, verify
from runtime.mesh_client import CALL_TIMEOUT_S

_TYPE = "payment.credited"
_PAID_MINOR = 1_000
_PATIENCE_S = 20.0


@dataclass(slots=True)
class _Listener:
    """A small program of a customer's."""

    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    _came: asyncio.Queue[tuple[Mapping[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        await self._came.put((headers, await request.read()))
        return web.Response(status=204)

    async def hears_of(self, payment_id: str) -> None:
        """Earlier payments may be told, too, where the mesh is slow."""
        while payment_id.encode() not in self.body:
            self.headers, self.body = await self._came.get()


async def webhook(stage: Stage) -> None:
    """A payment is told, signed; what somebody has changed on the way is not believed."""
    stage.scene("A customer's program hears of a payment by webhook, and verifies it")
    async with _listening() as listener:
        made = await stage.mesh.webhooks.CreateWebhookEndpoint(
            pb.CreateWebhookEndpointRequest(
                request_id=stage.request_id(), url=listener.url, types=[_TYPE]
            ),
            timeout=CALL_TIMEOUT_S,
        )
        paid = await stage.mesh.payments.MakePayment(
            payments.MakePaymentRequest(
                request_id=stage.request_id(),
                account_id=stage.holders["Carol"].account_id,
                amount=requests.money_of(_PAID_MINOR),
            ),
            timeout=CALL_TIMEOUT_S,
        )
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await listener.hears_of(paid.payment.id)
        except TimeoutError:
            raise DemoFailedError("no webhook came") from None
        after_s = time.monotonic() - began
        await stage.mesh.webhooks.DeleteWebhookEndpoint(
            pb.DeleteWebhookEndpointRequest(
                request_id=stage.request_id(), endpoint_id=made.webhook_endpoint.id
            ),
            timeout=CALL_TIMEOUT_S,
        )
    stage.check(
        "its signature", found=_is_ours(made.secret, listener, listener.body), expected=True
    )
    event: dict[str, Any] = json.loads(listener.body)
    stage.check("what was told", found=event["type"], expected=_TYPE)
    amount_minor = event["data"]["amount"]["amount_minor"]
    stage.check("the amount", found=amount_minor, expected=_PAID_MINOR)
    stage.tell(
        f"POST {event['type']}, {money(amount_minor)}, no. {event['sequence']} of the account,"
        f" {after_s:.1f} s\n  later: the signature (Standard Webhooks) is right",
        style="green",
        webhook=event["type"],
        webhook_after_s=round(after_s, 2),
    )
    forged = listener.body.replace(b'"amount_minor":1000', b'"amount_minor":9000')
    stage.check("the forgery", found=forged == listener.body, expected=False)
    stage.check("its signature", found=_is_ours(made.secret, listener, forged), expected=False)
    stage.tell(
        "the same with another amount: not signed by us, refused", style="yellow", forged="refused"
    )


def _is_ours(secret: str, listener: _Listener, body: bytes) -> bool:
    try:
        verify(secret, listener.headers, body, now_s=SystemClock().now_ms() // 1000)
    except SignatureError:
        return False
    return True


@asynccontextmanager
async def _listening() -> AsyncIterator[_Listener]:
    listener, app = _Listener(), web.Application()
    app.router.add_post("/hook", listener.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield listener
    finally:
        await runner.cleanup()
