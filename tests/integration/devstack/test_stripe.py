"""The Stripe emulator of the devstack: one answer for a key, and a memory beyond its own life."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from runtime.devstack import stripe
from runtime.devstack.errors import StartFailedError
from runtime.devstack.home import prepare
from runtime.devstack.settings import StackSettings
from tests.webhook_receiver import Receiver, receiver

PORTS = {"edge_http": 1}
SECRET = "whsec_of_the_tests"
_CHECKOUT = Path(__file__).resolve().parents[3]


@asynccontextmanager
async def emulator(folder: Path, inbox: Receiver) -> AsyncIterator[httpx.AsyncClient]:
    """It, in a process of its own, as the supervisor starts it."""
    (folder / "secret").write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runtime.devstack.stripe_emulator", "--port", str(port)),
        *("--data", str(folder / "data"), "--secret-file", str(folder / "secret")),
        *("--hook", inbox.url("/ok")),
        cwd=_CHECKOUT,
    )
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", auth=("sk_test_1", ""))
    try:
        async with client, asyncio.timeout(60):
            while True:
                try:
                    await client.get("/v1/balance")
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
                    continue
                break
            yield client
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_a_key_has_one_answer_and_nothing_is_forgotten(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "once"}
    async with receiver() as inbox:
        async with emulator(tmp_path, inbox) as client:
            answers = await asyncio.gather(
                *(client.post("/v1/customers", data={}, headers=key) for _ in range(5))
            )
            assert len({answer.json()["id"] for answer in answers}) == 1
            other = await client.post("/v1/customers", data={})
            made = answers[0].json()["id"]
            assert other.json()["id"] != made
        async with emulator(tmp_path, inbox) as client:
            assert (await client.get(f"/v1/customers/{made}")).json()["id"] == made
            again = await client.post("/v1/customers", data={}, headers=key)
            assert again.json()["id"] == made
            assert len((await client.get("/v1/customers")).json()["data"]) == 2
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o600


async def test_it_tells_what_was_charged(tmp_path: Path) -> None:
    async with receiver() as inbox, emulator(tmp_path, inbox) as client:
        card = {"card[number]": "4242424242424242", "card[exp_month]": "12"}
        card |= {"type": "card", "card[exp_year]": "2040", "card[cvc]": "123"}
        method = (await client.post("/v1/payment_methods", data=card)).json()["id"]
        customer = (await client.post("/v1/customers", data={})).json()["id"]
        await client.post(f"/v1/payment_methods/{method}/attach", data={"customer": customer})
        intent = {"amount": "100", "currency": "usd", "payment_method": method}
        made = await client.post("/v1/payment_intents", data={**intent, "customer": customer})
        await client.post(f"/v1/payment_intents/{made.json()['id']}/confirm", data={})
        async with asyncio.timeout(10):
            while not inbox.received:  # noqa: ASYNC110 - what others have received sets no event
                await asyncio.sleep(0.05)
        (told,) = inbox.received
    assert told.event["type"] == "payment_intent.succeeded"
    stamp, _, given = told.headers["stripe-signature"].removeprefix("t=").partition(",v1=")
    signed = stamp.encode() + b"." + told.body
    assert given == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def test_no_live_key_is_shown_to_it(tmp_path: Path) -> None:
    settings = StackSettings(home=tmp_path / "home", servers_dir=tmp_path / "servers")
    home = prepare(settings)
    settings = settings.model_copy(update={"run_dir": home.run})
    spec = stripe.spec(home, settings, ports=PORTS)
    assert spec.listens.startswith("http://127.0.0.1:")
    key = settings.secret_path(stripe.KEY)
    assert key.read_text().startswith("sk_test_")
    key.write_text("sk_live_1")
    with pytest.raises(StartFailedError):
        stripe.spec(home, settings, ports=PORTS)
