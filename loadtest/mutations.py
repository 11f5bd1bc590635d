"""Scenario: changes of accounts and cards, each answered only once the authorizer has it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import grpc

from holdfast.accounts.v1 import account_service_pb2 as account_pb
from holdfast.accounts.v1 import card_pb2
from holdfast.accounts.v1 import card_service_pb2 as pb
from holdfast.accounts.v1.account_service_pb2_grpc import AccountServiceStub
from holdfast.accounts.v1.card_service_pb2_grpc import CardServiceStub
from holdfast.type.v1.money_pb2 import Money
from holdfast.type.v1.spend_controls_pb2 import SpendControls
from loadtest import messages
from loadtest.errors import BenchFailedError
from loadtest.mesh import LIMIT_MINOR, Mesh, open_mesh
from loadtest.percentiles import Latency
from loadtest.processes import used_between
from loadtest.session import Session
from runtime.channel import unix_channel
from runtime.identity import ROLES_HEADER, SUBJECT_HEADER
from runtime.settings import OPERATOR, PARTITIONS

#: Callers, each with an account and a card of its own: one alone, an office, a rush.
CALLERS = (1, 8, 32)
_TIMEOUT_S = 10.0
_IDENTITY = ((SUBJECT_HEADER, OPERATOR), (ROLES_HEADER, "admin"))
_numbers = itertools.count(1)


class _Caller:
    """Changes one card and its account, over and over."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._accounts: Any = AccountServiceStub(channel)
        self._cards: Any = CardServiceStub(channel)
        self._account_id = self._card_id = ""

    async def open(self) -> None:
        """An account with a card."""
        number = next(_numbers)
        opened = await _call(
            self._accounts.OpenAccount,
            account_pb.OpenAccountRequest(
                request_id=f"bench-{number}",
                owner_id=f"usr_{number % PARTITIONS:02x}{number:032x}",
                credit_limit=_money(LIMIT_MINOR),
            ),
        )
        self._account_id = opened.account.id
        issued = await _call(
            self._cards.IssueCard,
            pb.IssueCardRequest(
                request_id=f"bench-{next(_numbers)}",
                account_id=self._account_id,
                kind=card_pb2.Card.KIND_VIRTUAL,
            ),
        )
        self._card_id = issued.card.id

    async def change(self, until: float, seconds: list[float]) -> None:
        """One change after the other, each another one than before."""
        for make in itertools.cycle((self._freeze, self._limit, self._unfreeze, self._controls)):
            began = time.perf_counter()
            if began >= until:
                return
            await make(next(_numbers))
            seconds.append(time.perf_counter() - began)

    async def _freeze(self, number: int) -> None:
        request = pb.FreezeCardRequest(request_id=f"bench-{number}", card_id=self._card_id)
        await _call(self._cards.FreezeCard, request)

    async def _unfreeze(self, number: int) -> None:
        request = pb.UnfreezeCardRequest(request_id=f"bench-{number}", card_id=self._card_id)
        await _call(self._cards.UnfreezeCard, request)

    async def _limit(self, number: int) -> None:
        request = account_pb.UpdateCreditLimitRequest(
            request_id=f"bench-{number}",
            account_id=self._account_id,
            credit_limit=_money(LIMIT_MINOR - number),
        )
        await _call(self._accounts.UpdateCreditLimit, request)

    async def _controls(self, number: int) -> None:
        request = pb.SetCardControlsRequest(
            request_id=f"bench-{number}",
            card_id=self._card_id,
            controls=SpendControls(transaction_maximum=_money(number)),
        )
        await _call(self._cards.SetCardControls, request)


async def mutations(session: Session) -> None:
    """Latency by number of callers, on the service's socket: without the edge and its limits."""
    found: dict[str, Any] = {}
    async with (
        open_mesh(workers=session.options.workers) as mesh,
        unix_channel(mesh.stack.settings.socket_of("accounts")) as channel,
    ):
        for count in CALLERS:
            callers = [_Caller(channel) for _ in range(count)]
            await asyncio.gather(*(caller.open() for caller in callers))
            await _run(callers, session.options.warmup_s)
            found[str(count)] = await _measure(session, mesh, callers)
        await session.check_books(mesh, "mutations")
    session.document["mutations"] = found


async def _measure(session: Session, mesh: Mesh, callers: list[_Caller]) -> dict[str, Any]:
    before, began = mesh.processes.cpu_s(), time.perf_counter()
    seconds = await _run(callers, session.options.seconds)
    rate = len(seconds) / (time.perf_counter() - began)
    used = used_between(before, mesh.processes.cpu_s())
    latency = Latency.of(seconds)
    each = {name: round(spent * 1e6 / len(seconds)) for name, spent in used.items()}
    session.say(
        f"mutations, {len(callers)} callers: {rate:,.0f}/s   p50 {latency.p50_ms:.1f}"
        f"  p99 {latency.p99_ms:.1f}  max {latency.max_ms:.0f} ms   CPU µs per call: "
        + "  ".join(f"{name} {spent}" for name, spent in each.items())
    )
    return {"rate": round(rate, 1), **asdict(latency), "cpu_us_per_call": each}


async def _run(callers: list[_Caller], length_s: float) -> list[float]:
    """Closed loop: every caller waits for its answers."""
    seconds: list[float] = []
    until = time.perf_counter() + length_s
    await asyncio.gather(*(caller.change(until, seconds) for caller in callers))
    if not seconds:
        raise BenchFailedError(f"no change was answered within {length_s} s")
    return seconds


async def _call(method: Callable[..., Awaitable[Any]], request: Any) -> Any:
    return await method(request, metadata=_IDENTITY, timeout=_TIMEOUT_S)


def _money(minor: int) -> Money:
    return Money(currency_code=messages.CURRENCY, amount_minor=minor)
