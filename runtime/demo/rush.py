"""The rush: many purchases at once for a few seconds, with a live line of rate and latency."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import grpc

from holdfast.authz.v1 import authorization_pb2 as pb
from runtime.demo import requests
from runtime.demo.stage import Holder, Stage, money
from runtime.latency import summary_ms
from runtime.mesh_client import CALL_TIMEOUT_S

DURATION_S = 5.0
#: Purchases under way at the same time.
CONCURRENCY = 32
#: Accounts that they are spread over.
ACCOUNTS = 16
#: Enough for minutes of it, so that nobody is declined.
_LIMIT_MINOR = 1_000_000_000
_AMOUNTS_MINOR = (199, 450, 1_250, 2_999, 8_400)
#: Of so many purchases one is not cleared yet when the rush ends: its hold stays open.
_OPEN_EVERY = 10
_REFRESH_S = 0.25
#: On a busy machine Envoy sheds what would take too long.
_SHED_S = 0.05


@dataclass(slots=True, kw_only=True)
class Measured:
    """What the rush measured; latencies are those of Authorize."""

    began: float = field(default_factory=time.monotonic)
    latencies_s: list[float] = field(default_factory=list)
    recent: deque[tuple[float, float]] = field(default_factory=deque)
    approved: int = 0
    captured: int = 0
    posted_minor: dict[str, int] = field(default_factory=dict)
    held_minor: dict[str, int] = field(default_factory=dict)

    def decided(self, latency_s: float) -> None:
        """One decision."""
        now = time.monotonic()
        self.latencies_s.append(latency_s)
        self.recent.append((now, latency_s))
        while self.recent[0][0] < now - 1:
            self.recent.popleft()

    def live(self) -> str:
        """The line of the last second."""
        latencies = summary_ms([latency for _, latency in self.recent])
        span = min(max(time.monotonic() - self.began, 0.1), 1.0)
        return f"{len(self.recent) / span:,.0f} purchases/s   {_text(latencies)}"


def _text(latencies_ms: dict[str, float]) -> str:
    return "   ".join(f"{name} {value:.1f} ms" for name, value in latencies_ms.items())


async def rush(stage: Stage) -> None:
    """Purchases from every side."""
    stage.scene(f"{DURATION_S:.0f} s of concurrent purchases, {CONCURRENCY} at a time, over mTLS")
    for number in range(ACCOUNTS):
        name = f"shopper {number + 1}"
        stage.holders[name] = (await requests.new_holder(stage, name, _LIMIT_MINOR))[0]
    shoppers = list(stage.holders.values())[-ACCOUNTS:]
    measured = Measured()
    try:
        await _everybody(stage, shoppers, measured)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    seconds = time.monotonic() - measured.began
    result: dict[str, Any] = {
        "purchases": measured.approved,
        "captures": measured.captured,
        "seconds": round(seconds, 2),
        "purchases_per_s": round(measured.approved / seconds, 1),
        "latency_ms": summary_ms(measured.latencies_s),
    }
    stage.tell(
        f"{measured.approved:,} purchases approved, {measured.captured:,} of them cleared:"
        f" {result['purchases_per_s']:,.0f} purchases/s\n"
        f"time to a decision: {_text(result['latency_ms'])}",
        style="green",
        **result,
    )
    await _check_shoppers(stage, shoppers, measured)
    stage.document["rush"] = result


async def _everybody(stage: Stage, shoppers: list[Holder], measured: Measured) -> None:
    with stage.console.status("") as status:
        async with asyncio.TaskGroup() as group:
            for number in range(CONCURRENCY):
                group.create_task(_shop(stage, shoppers[number % ACCOUNTS], measured))
            while (left := measured.began + DURATION_S - time.monotonic()) > 0:
                await asyncio.sleep(min(_REFRESH_S, left))
                status.update(measured.live())


async def _shop(stage: Stage, shopper: Holder, measured: Measured) -> None:
    """One terminal: authorizes, and captures most of it, until time is up."""
    network = stage.mesh.network
    posted, held = measured.posted_minor, measured.held_minor
    for amount_minor in itertools.cycle(_AMOUNTS_MINOR):
        if time.monotonic() >= measured.began + DURATION_S:
            return
        request = requests.purchase(stage, shopper.card_id, amount_minor, requests.COFFEE)
        asked = time.monotonic()
        answer = await _admitted(network.Authorize, request)
        measured.decided(time.monotonic() - asked)
        stage.check("decision", found=answer.decision, expected=pb.DECISION_APPROVED)
        measured.approved += 1
        account_id = shopper.account_id
        if measured.approved % _OPEN_EVERY == 0:
            held[account_id] = held.get(account_id, 0) + amount_minor
            continue
        await _admitted(
            network.CaptureAuthorization,
            requests.clearing(stage, answer.authorization_id, amount_minor, final=True),
        )
        measured.captured += 1
        posted[account_id] = posted.get(account_id, 0) + amount_minor


async def _admitted(method: Any, request: Any) -> Any:
    """The answer; who is told to slow down waits a moment and asks again, with the same id."""
    while True:
        try:
            return await method(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            await asyncio.sleep(_SHED_S)


async def _check_shoppers(stage: Stage, shoppers: list[Holder], measured: Measured) -> None:
    """What was approved is what is posted and held, for each of them."""
    for shopper in shoppers:
        now = await requests.balance(stage, shopper)
        found = now.posted.amount_minor, now.held.amount_minor
        expected = (
            measured.posted_minor.get(shopper.account_id, 0),
            measured.held_minor.get(shopper.account_id, 0),
        )
        stage.check(f"posted and held of {shopper.name}", found=found, expected=expected)
    posted_minor, held_minor = (
        sum(one.values()) for one in (measured.posted_minor, measured.held_minor)
    )
    stage.tell(
        f"counted here and there alike: {money(posted_minor)} posted, {money(held_minor)} held",
        posted_minor=posted_minor,
        held_minor=held_minor,
    )
