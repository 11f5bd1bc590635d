"""Everybody who uses the mesh at once; each answer is written down.

A client repeats a request with its id until the outcome is known. What it was told then must be
what the ledger has: nothing else, nothing more, nothing twice.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc

from holdfast.accounts.v1 import account_service_pb2 as accounts
from holdfast.accounts.v1 import card_pb2
from holdfast.accounts.v1 import card_service_pb2 as cards
from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1 import posting_service_pb2 as postings
from holdfast.type.v1.spend_controls_pb2 import CalendarWindow, SpendControls, SpendLimit
from tests import authz_messages as messages
from tests.authz_mesh import capture_of, purchase, reversal_of
from tests.soak.world import World

ACCOUNTS = 8
LIMIT_MINOR = 2_000_000
#: A request is repeated until it is answered; no fault lasts this long.
PATIENCE_S = 120.0
CALL_TIMEOUT_S = 5.0
PAUSE_S = 0.05
#: No outcome is known. UNAUTHENTICATED: an Envoy that has just begun has no keys yet.
UNKNOWN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
)
#: Entries of declined increments have a type of their own.
DECLINES = {"I": "J"}
#: What a request was told: type of its entry and amount; None: refused, so it has no entry.
Told = tuple[str, int] | None


@dataclass(slots=True, kw_only=True)
class Log:
    """What the clients were told."""

    told: dict[str, Told] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    #: Requests of which at least one outcome was unknown.
    repeated: int = 0
    slowest_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Load:
    """The clients."""

    world: World
    seed: int
    log: Log = field(default_factory=Log)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    #: Kinds of lives, in turn.
    lives: Iterator[int] = field(default_factory=itertools.count)
    cards: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)

    async def send(self, method: Any, request: Any) -> Any:
        """The answer, however often it takes; None if the request was refused for good."""
        began, tries = time.monotonic(), 0
        while True:
            tries += 1
            try:
                answer = await method(request, timeout=CALL_TIMEOUT_S)
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    answer = None
                    break
                if error.code() not in UNKNOWN or time.monotonic() > began + PATIENCE_S:
                    raise
                self.log.unknown[error.code().name] += 1
                await asyncio.sleep(PAUSE_S)
        name = type(request).__name__.removesuffix("Request")
        self.log.answers[name if answer is not None else f"{name}, refused"] += 1
        self.log.repeated += tries > 1
        self.log.slowest_s = max(self.log.slowest_s, time.monotonic() - began)
        return answer

    async def moved(self, method: Any, request: Any, kind: str, amount: str = "") -> Any:
        """Sends a movement, and writes down what it was told."""
        answer = await self.send(method, request)
        told: Told = None
        if answer is not None:
            declined = bool(getattr(answer, "decline_reason", 0))
            letter = DECLINES.get(kind, "D") if declined else kind
            minor = getattr(answer, amount) if amount else request.amount
            told = (letter, 0 if declined else minor.amount_minor)
        assert request.request_id not in self.log.told
        self.log.told[request.request_id] = told
        return answer

    async def open(self) -> None:
        """Accounts in different partitions, a card each; some of them with limits."""
        for number in range(ACCOUNTS):
            account = await self.send(
                self.world.client.accounts.OpenAccount,
                accounts.OpenAccountRequest(
                    request_id=_id(),
                    owner_id=f"usr_{number * 7:02x}{number:032x}",
                    credit_limit=messages.money(LIMIT_MINOR),
                ),
            )
            self.accounts.append(account.account.id)
            self.cards.append(await self.issue(account.account.id))
            if number % 2:
                await self.limit(self.cards[-1], 500_000)

    async def issue(self, account_id: str) -> str:
        """A new card."""
        request = cards.IssueCardRequest(
            request_id=_id(), account_id=account_id, kind=card_pb2.Card.KIND_VIRTUAL
        )
        found: str = (await self.send(self.world.client.cards.IssueCard, request)).card.id
        return found

    async def limit(self, card_id: str, minor: int) -> None:
        """A limit per day."""
        limit = SpendLimit(
            control_id="daily",
            amount=messages.money(minor),
            calendar=CalendarWindow(unit=CalendarWindow.UNIT_DAY),
        )
        request = cards.SetCardControlsRequest(
            request_id=_id(), card_id=card_id, controls=SpendControls(limits=[limit])
        )
        await self.send(self.world.client.cards.SetCardControls, request)

    def clients(self) -> list[Callable[[random.Random], Awaitable[None]]]:
        """Everybody, each with what it does again and again."""
        return [
            *(partial(self.buy, card) for card in self.cards[:5]),
            *(partial(self.live, card) for card in self.cards),
            *(self.pay, self.post, self.configure),
        ]

    async def run(self, number: int, act: Callable[[random.Random], Awaitable[None]]) -> None:
        """One client until the end."""
        chooser = random.Random(f"{self.seed}-{number}")
        while not self.stop.is_set():
            await act(chooser)

    async def authorize(self, request: Any, kind: str = "A") -> Any:
        """A decision; None if it is no."""
        request.request_id = _id()
        network = self.world.client.network
        answer = await self.moved(network.Authorize, request, kind, "approved_amount")
        return answer if answer.decision == pb.DECISION_APPROVED else None

    async def buy(self, card: str, chooser: random.Random) -> None:
        """Purchases, now and then given back: what never waits for PostgreSQL."""
        held = await self.authorize(purchase(card, chooser.randint(1, 900)))
        if held is not None and chooser.random() < 0.8:
            await self.reverse(held.authorization_id, None)

    async def reverse(self, authorization_id: str, minor: int | None) -> None:
        """Gives back all or a part."""
        request = reversal_of(authorization_id, minor, _id())
        method = self.world.client.network.ReverseAuthorization
        await self.moved(method, request, "R", "released_amount")

    async def capture(self, authorization_id: str, minor: int, *, final: bool) -> None:
        """Clears."""
        request = capture_of(authorization_id, minor, _id(), final=final)
        request.clearing_reference = request.request_id
        method = self.world.client.network.CaptureAuthorization
        await self.moved(method, request, "C", "posted_amount")

    async def live(self, card: str, chooser: random.Random) -> None:
        """A purchase with a whole life, of one of many kinds."""
        network, minor = self.world.client.network, chooser.randint(10, 5_000)
        kind = next(self.lives) % 8
        if kind == 0:
            await self.authorize(messages.withdrawal(card, minor), "F")
            return
        if kind == 1:
            forced = messages.forced(card, minor)
            forced.request_id = forced.clearing_reference = _id()
            await self.moved(network.ForcePost, forced, "P", "posted_amount")
            return
        request = purchase(card, minor)
        request.network_data.network, request.network_data.transaction_id = "visa", _id()
        held = await self.authorize(request)
        if held is None:
            return
        name = held.authorization_id
        if kind == 2:
            advice = messages.advice(card, minor + 5, request.network_data.transaction_id)
            await self.authorize(advice, "V")
        if kind == 3:
            more = messages.increment_of(name, 40)
            more.request_id = _id()
            await self.moved(network.IncrementAuthorization, more, "I")
        if kind == 4:
            ended = messages.expiry_of(name)
            ended.request_id = _id()
            method = self.world.client.authorizations.ExpireAuthorization
            await self.moved(method, ended, "E", "released_amount")
        if kind == 5:
            await self.reverse(name, 5)
        await self.capture(name, minor // 2 + 1, final=False)
        await self.capture(name, minor, final=True)
        if kind > 5:
            for reversal in (False, True):
                back = messages.refund_of(name, minor // 2 + 1, reversal=reversal)
                back.request_id = back.clearing_reference = _id()
                letter = "O" if reversal else "N"
                await self.moved(network.Refund, back, letter, "posted_amount")

    async def pay(self, chooser: random.Random) -> None:
        """Payments, one released and one returned, each once more, which is refused."""
        posting = self.world.posting
        moves: tuple[tuple[Any, Any, str], ...] = (
            (messages.release, posting.ReleasePayment, "Z"),
            (messages.returned, posting.ReturnPayment, "W"),
        )
        for move, method, letter in moves:
            account = chooser.choice(self.accounts)
            payment, minor = f"pay_{account[5:7]}{uuid.uuid4().hex}", chooser.randint(1, 9_000)
            credit = messages.credit(account, payment, minor)
            credit.request_id = _id()
            await self.moved(posting.CreditPayment, credit, "Y")
            for refused in (False, True):
                request = move(account, payment)
                request.request_id = _id()
                answer = await self.send(method, request)
                assert (answer is None) == refused
                self.log.told[request.request_id] = None if refused else (letter, minor)

    async def post(self, chooser: random.Random) -> None:
        """Fees, interest, adjustments."""
        kinds = {
            postings.POSTING_KIND_FEE: "B",
            postings.POSTING_KIND_INTEREST: "T",
            postings.POSTING_KIND_ADJUSTMENT_DEBIT: "M",
            postings.POSTING_KIND_ADJUSTMENT_CREDIT: "Q",
        }
        kind, letter = chooser.choice(list(kinds.items()))
        request = messages.posting(chooser.choice(self.accounts), kind, chooser.randint(1, 70))
        request.request_id = _id()
        await self.moved(self.world.posting.PostEntry, request, letter)

    async def configure(self, chooser: random.Random) -> None:
        """Limits change; a card is frozen, and its next purchase is declined."""
        client = self.world.client
        card = await self.issue(chooser.choice(self.accounts))
        freeze = cards.FreezeCardRequest(request_id=_id(), card_id=card)
        await self.send(client.cards.FreezeCard, freeze)
        assert await self.authorize(purchase(card, 1)) is None, "frozen means frozen"
        # An account has so many open cards and no more.
        close = cards.CloseCardRequest(request_id=_id(), card_id=card)
        await self.send(client.cards.CloseCard, close)
        account = chooser.choice(self.accounts)
        limit = messages.money(LIMIT_MINOR + chooser.randint(0, 9))
        request = accounts.UpdateCreditLimitRequest(
            request_id=_id(), account_id=account, credit_limit=limit
        )
        await self.send(client.accounts.UpdateCreditLimit, request)
        await self.limit(chooser.choice(self.cards), chooser.randint(1_000, 900_000))


def _id() -> str:
    return f"soak-{uuid.uuid4().hex}"
