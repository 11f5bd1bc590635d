"""kill -9 of payments amid hundreds of them, Stripe behind a bad network: nothing is charged or
credited twice, and nothing is lost.

Method: payments as a process of its own, with a real authorizer and a fake of what accounts says;
Stripe is localstripe behind a proxy that drops, delays, duplicates and denies. Payments are asked
for all at once, each repeated until it is answered, while the process is killed again and again;
Stripe's webhooks come twice, shuffled, some of them disputes. The clock moves on, so that what a
dead process had taken is taken again, also while it is still at work. At last processor, ledger and
payments are compared to the cent. PAYMENTS=300 is the size of the requirement, and the default.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import stripe
from google.api.httpbody_pb2 import HttpBody
from redis.asyncio import Redis

from holdfast.accounts.v1.holder_service_pb2_grpc import add_HolderServiceServicer_to_server
from holdfast.authz.v1.posting_service_pb2_grpc import (
    PostingServiceServicer,
    add_PostingServiceServicer_to_server,
)
from holdfast.payments.v1 import funding_source_service_pb2 as funding_pb
from holdfast.payments.v1 import hook_service_pb2, payment_pb2
from holdfast.payments.v1.hook_service_pb2_grpc import HookServiceStub
from holdfast.payments.v1.payment_service_pb2_grpc import PaymentServiceStub
from payments.leases import LEASE_MS
from runtime import moved_clock
from runtime.channel import unix_channel
from runtime.cli.reconcile_payments import reconcile_payments
from runtime.devstack import environment
from runtime.settings import Settings
from tests.databases import Database
from tests.payments_mesh import PAYMENTS as AS_PAYMENTS
from tests.payments_mesh import PaymentsMesh, call, stripe_mesh
from tests.stripe_emulator import BAD_CARD, GOOD_CARD, HOOK_SECRET, Emulator, stripe_emulator
from tests.stripe_proxy import StripeProxy, stripe_proxy

PAYMENTS = int(os.environ.get("PAYMENTS", "300"))
SEED = 20270120
PAYERS = 20
KILLS = 4
OWED_MINOR = 1_000_000
FAULTS = {"lose": 0.04, "cut": 0.04, "deny": 0.04, "refuse": 0.04, "delay": 0.2, "twice": 0.05}
AT_ONCE = 60
#: Nothing stands still for longer, however slow the machine is.
PATIENCE_S = 60.0
#: One card of so many is refused, and one payer of so many pays from a deposit.
BAD_EVERY, IN_HOUSE_EVERY = 10, 5
DISPUTED = 12
SECRETS = ("postgres-payments", "audit-seal", "stripe-key", "stripe-webhook")
UNKNOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

#: How Stripe's library calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class Forwarding(PostingServiceServicer):
    """The authorizer as Envoy shows it: says who calls."""

    def __init__(self, posting: Any) -> None:
        self._posting = posting

    async def CreditPayment(self, request: Any, context: Any) -> Any:
        return await self._forward(self._posting.CreditPayment, request, context)

    async def ReleasePayment(self, request: Any, context: Any) -> Any:
        return await self._forward(self._posting.ReleasePayment, request, context)

    async def ReturnPayment(self, request: Any, context: Any) -> Any:
        return await self._forward(self._posting.ReturnPayment, request, context)

    async def DebitRefund(self, request: Any, context: Any) -> Any:
        return await self._forward(self._posting.DebitRefund, request, context)

    async def ReverseRefund(self, request: Any, context: Any) -> Any:
        return await self._forward(self._posting.ReverseRefund, request, context)

    async def GetOwed(self, request: Any, context: Any) -> Any:
        return await self._forward(self._posting.GetOwed, request, context)

    async def PostEntry(self, request: Any, context: Any) -> Any:
        return await self._forward(self._posting.PostEntry, request, context)

    async def _forward(self, method: Any, request: Any, context: Any) -> Any:
        try:
            return await method(request, metadata=AS_PAYMENTS, timeout=10)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details())


@dataclass(kw_only=True)
class World:
    """What is running."""

    mesh: PaymentsMesh
    settings: Settings
    emulator: Emulator
    proxy: StripeProxy
    channel: grpc.aio.Channel
    environment: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    random: random.Random = field(default_factory=lambda: random.Random(SEED))
    unknown: Counter[str] = field(default_factory=Counter)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def start(self) -> None:
        """Starts payments; who calls it waits by themselves."""
        log = (self.settings.home / "payments.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "payments", env=self.environment, stdout=log, stderr=log
        )
        log.close()

    async def kill(self) -> None:
        """Ends it where nobody expects it."""
        assert self.process is not None, "it was started"
        self.process.kill()
        await self.process.wait()

    async def answered(self, method: Any, request: Any, **options: Any) -> Any:
        """Repeats a request with its id until the outcome is known."""
        until = time.monotonic() + 3 * PATIENCE_S
        while True:
            try:
                async with self.room:
                    return await call(method, request, **options)
            except grpc.aio.AioRpcError as error:
                if error.code() not in UNKNOWN or time.monotonic() > until:
                    raise
                self.unknown[error.code().name] += 1
                await asyncio.sleep(0.2)

    def move_on(self) -> None:
        """What a dead worker had taken may be taken again."""
        moved_clock.move_ahead(self.settings.home, LEASE_MS + 1_000)


@pytest.fixture
async def world(database: Database, money: Redis) -> AsyncIterator[World]:
    async with (
        stripe_emulator() as emulator,
        stripe_proxy(emulator.url, seed=SEED) as proxy,
        stripe_mesh(database, money, emulator) as mesh,
        _world(mesh, database, emulator, proxy) as found,
    ):
        yield found


@asynccontextmanager
async def _world(
    mesh: PaymentsMesh, database: Database, emulator: Emulator, proxy: StripeProxy
) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as folder:
        home, run_dir = Path(folder) / "home", Path(folder) / "run"
        (home / "secrets").mkdir(parents=True, mode=0o700)
        run_dir.mkdir(mode=0o700)
        moved_clock.make_movable(home)
        settings = database.settings.model_copy(update={"home": home, "run_dir": run_dir})
        for name in SECRETS:
            shutil.copy(database.settings.secret_path(name), settings.secret_path(name))
        others = grpc.aio.server()
        add_HolderServiceServicer_to_server(mesh.accounts, others)
        add_PostingServiceServicer_to_server(Forwarding(mesh.authz.posting), others)
        others.add_insecure_port(f"unix:{settings.egress_socket('payments')}")
        await others.start()
        async with unix_channel(settings.socket_of("payments")) as channel:
            found = World(
                mesh=mesh,
                settings=settings,
                emulator=emulator,
                proxy=proxy,
                channel=channel,
                environment={
                    **environment.of_service(settings, "payments"),
                    "HOLDFAST_PAYMENTS_STRIPE": "on",
                    "HOLDFAST_PAYMENTS_STRIPE_URL": proxy.url,
                },
            )
            await found.start()
            try:
                yield found
            finally:
                await found.kill()
                await others.stop(0)


async def _payer(world: World, number: int) -> str:
    """An account that owes, and pays by a good card, a bad one, or from a deposit."""
    if number % IN_HOUSE_EVERY == 0:
        account_id = await world.mesh.open_account(owed_minor=OWED_MINOR)
        await world.mesh.source(account_id)
        return account_id
    kind = GOOD_CARD if number % BAD_EVERY != 1 else BAD_CARD
    return await stripe_payer(world, owed_minor=OWED_MINOR, kind=kind)


async def stripe_payer(world: World, *, owed_minor: int, kind: str = GOOD_CARD) -> str:
    """An account that pays by card."""
    mesh = world.mesh
    account_id = await mesh.open_account(owed_minor=owed_minor)
    await call(
        mesh.sources.AddFundingSource,
        funding_pb.AddFundingSourceRequest(
            request_id=mesh.request_id(),
            account_id=account_id,
            source=payment_pb2.PAYMENT_SOURCE_STRIPE_CARD,
            processor_token=await world.emulator.card(kind),
        ),
    )
    return account_id


async def _pay(world: World, payers: list[str]) -> dict[str, int]:
    """All at once; each answer is one payment, and the same one however often it is asked for."""
    stub = PaymentServiceStub(world.channel)

    async def pay(number: int) -> tuple[str, int]:
        request = world.mesh.making(payers[number % len(payers)], 1_000 + number)
        await asyncio.sleep(world.random.uniform(0, 4))
        made = await world.answered(stub.MakePayment, request)
        again = await world.answered(stub.MakePayment, request)
        assert again.payment.id == made.payment.id
        return made.payment.id, 1_000 + number

    return dict(await asyncio.gather(*map(pay, range(PAYMENTS))))


async def killed(world: World) -> None:
    """Ends and starts payments again and again."""
    for _ in range(KILLS):
        await asyncio.sleep(world.random.uniform(1.5, 3.5))
        await world.kill()
        world.move_on()
        await world.start()


async def _tell(world: World, stop: asyncio.Event) -> None:
    """Every event of Stripe's twice, shuffled; what is refused is told again, as Stripe does."""
    from localstripe.resources import Event, store  # noqa: PLC0415  it warns

    seen: set[str] = set()
    waiting: list[bytes] = []
    while not stop.is_set() or waiting:
        fresh = [
            one for one in list(store.values()) if isinstance(one, Event) and one.id not in seen
        ]
        seen |= {one.id for one in fresh}
        waiting += [json.dumps(one._export()).encode() for one in fresh] * 2
        world.random.shuffle(waiting)
        now, waiting = waiting[:10], waiting[10:]
        for body in now:
            await _send(world, body)
        await asyncio.sleep(0.1)


async def _send(world: World, body: bytes) -> None:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), HOOK_SECRET)
    request = hook_service_pb2.ReceiveStripeEventRequest(body=HttpBody(data=body))
    stub = HookServiceStub(world.channel)
    metadata = (("stripe-signature", header),)
    await world.answered(stub.ReceiveStripeEvent, request, metadata=metadata)


async def _dispute(world: World) -> None:
    """Some of those who have paid have their banks take it back."""
    from localstripe.resources import Event, PaymentIntent, store  # noqa: PLC0415  it warns

    found = [one for one in store.values() if isinstance(one, PaymentIntent)]
    paid = sorted((one for one in found if one.status == "succeeded"), key=lambda one: one.amount)
    for intent in world.random.sample(paid, min(DISPUTED, len(paid))):
        event = Event("charge.dispute.created", intent)
        event.data["object"]["payment_intent"] = intent.id


async def _rested(world: World) -> None:
    """Until nothing is on its way."""
    seen, until = (-1, -1), 0.0
    while True:
        moving, versions = await world.mesh.pool.fetchrow(
            "SELECT count(*) FILTER (WHERE step IN ('CHARGE', 'CREDIT', 'TAKE_BACK')),"
            " sum(version) FROM payment"
        )
        if not moving:
            return
        if (moving, versions) != seen:
            seen, until = (moving, versions), time.monotonic() + PATIENCE_S
        assert time.monotonic() < until, f"{moving} payments do not come to rest"
        await asyncio.sleep(1)
        world.move_on()


async def _check(world: World, made: dict[str, int]) -> None:
    """Each request one payment, each payment at most one charge, each account what is left."""
    rows = await world.mesh.pool.fetch("SELECT * FROM payment")
    assert {row["id"]: row["amount_minor"] for row in rows} == made
    states = {row["state"] for row in rows}
    assert states == {"SUCCEEDED", "FAILED", "RETURNED"}
    charges = await world.emulator.charges()
    brought = {
        row["processor_reference"]: row["amount_minor"]
        for row in rows
        if row["source"] == "STRIPE_CARD" and row["state"] != "FAILED"
    }
    assert len(charges) == len(brought)
    assert {one["payment_intent"]: one["amount"] for one in charges} == brought
    kept: Counter[str] = Counter()
    for row in rows:
        kept[row["account_id"]] += row["amount_minor"] * (row["state"] == "SUCCEEDED")
    for account_id, amount_minor in kept.items():
        owed_minor, _ = await world.mesh.owed(account_id)
        assert owed_minor == OWED_MINOR - amount_minor


@pytest.mark.timeout(400)
async def test_payments_killed_amid_payments(world: World, database: Database) -> None:
    payers = [await _payer(world, number) for number in range(PAYERS)]
    world.proxy.faults = FAULTS
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_tell(world, stop))
        made, _ = await asyncio.gather(_pay(world, payers), killed(world))
        await _rested(world)
        await _dispute(world)
        await asyncio.sleep(0.5)
        await world.kill()
        await world.start()
        stop.set()
    await _rested(world)
    await _check(world, made)
    assert world.unknown, "the kills must have been felt, or the test shows nothing"
    assert all(world.proxy.injected[fault] for fault in FAULTS), world.proxy.injected
    await world.mesh.authz.settle()
    compared = await reconcile_payments(
        database.settings,
        stripe=world.mesh.parts.stripe,
        clock=moved_clock.clock_of_home(world.settings.home),
    )
    assert (compared.differences, compared.payments) == ([], PAYMENTS)
