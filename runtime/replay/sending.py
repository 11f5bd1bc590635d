"""Sends the rows: many cards at once, the rows of one card in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import grpc

from holdfast.authz.v1 import authorization_pb2 as pb
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from runtime.mesh_client import CALL_TIMEOUT_S, MeshClient
from runtime.money import AMOUNT_MINOR_LIMIT, EXPONENTS
from runtime.replay import requests
from runtime.replay.rows import BadRow, Row
from runtime.replay.tally import CardTally, Tally

#: Cards that have a request under way at the same time.
CARDS_IN_FLIGHT = 64
#: Rows that are read ahead.
ROWS_AHEAD = 2048
#: Attempts at one request; with these pauses that is about a minute.
ATTEMPTS_MAX = 60
PAUSE_MIN_S = 0.05
PAUSE_MAX_S = 1.0

#: The outcome is unknown, or nothing was done: the same request again is safe.
_AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
_YIELD_EVERY = 64
#: Purchases of one card that a refund may be linked to.
PURCHASES_KEPT = 500

Answer = TypeVar("Answer")


class ReplayAbortedError(Exception):
    """The replay cannot go on. Nothing is lost: the same run can be sent again."""


@dataclass(slots=True)
class _Lane:
    """One card's rows that wait."""

    tally: CardTally
    waiting: deque[Row] = field(default_factory=deque)
    #: (merchant, amount, authorization) of the last purchases, newest first.
    purchases: deque[tuple[str, int, str]] = field(
        default_factory=lambda: deque(maxlen=PURCHASES_KEPT)
    )
    busy: bool = False

    def purchase_of(self, refund: Row) -> str:
        """The most recent purchase at the refund's merchant of at least its amount, or ''."""
        for merchant, amount_minor, authorization_id in self.purchases:
            if merchant == refund.merchant and amount_minor >= -refund.amount_minor:
                return authorization_id
        return ""


class Sender:
    """One run of one file."""

    def __init__(
        self,
        mesh: MeshClient,
        *,
        run_id: str,
        credit_limit: Decimal,
        rate: float | None,
        on_bad: Callable[[BadRow], None],
    ) -> None:
        self.tally = Tally()
        self._mesh = mesh
        self._run_id = run_id
        self._credit_limit = credit_limit
        self._rate = rate
        self._on_bad = on_bad
        self._lanes: dict[str, _Lane] = {}
        self._ready: asyncio.Queue[_Lane] = asyncio.Queue()
        self._room = asyncio.Semaphore(ROWS_AHEAD)

    async def run(self, rows: Iterable[Row | BadRow]) -> None:
        """Sends every row; returns when each has its answer. ReplayAbortedError says why not."""
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._work()) for _ in range(CARDS_IN_FLIGHT)]
                await self._feed(rows)
                await self._ready.join()
                for worker in workers:
                    worker.cancel()
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None

    async def _feed(self, rows: Iterable[Row | BadRow]) -> None:
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        for row in rows:
            self.tally.rows += 1
            if self.tally.rows % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            lane = self._accept(row)
            if lane is None or isinstance(row, BadRow):
                continue
            if self._rate is not None:
                await asyncio.sleep(next_at - loop.time())
                next_at = max(next_at, loop.time() - 1) + 1 / self._rate
            await self._room.acquire()
            lane.waiting.append(row)
            if not lane.busy:
                lane.busy = True
                self._ready.put_nowait(lane)

    def _accept(self, row: Row | BadRow) -> _Lane | None:
        """Counts a row; its lane if there is something to send."""
        if isinstance(row, BadRow):
            self._bad(row.line, row.reason)
            return None
        lane = self._lanes.get(row.card_last4)
        if lane is None:
            # The first row decides in which currency the account is.
            card = CardTally(last4=row.card_last4, currency=row.currency)
            lane = self._lanes[row.card_last4] = _Lane(card)
            self.tally.cards[row.card_last4] = card
        card = lane.tally
        if row.currency != card.currency:
            self._bad(
                row.line, f"currency {row.currency}: the card's account is in {card.currency}"
            )
            return None
        if row.amount_minor == 0:
            self._bad(row.line, "amount_minor is 0: neither a purchase nor a refund")
            return None
        card.file_minor += row.amount_minor
        return lane

    def _bad(self, line: int, reason: str) -> None:
        self.tally.bad_rows += 1
        self._on_bad(BadRow(line=line, reason=reason))

    async def _work(self) -> None:
        while True:
            lane = await self._ready.get()
            row = lane.waiting.popleft()
            if not lane.tally.card_id:
                await self._open(lane.tally)
            await (self._purchase if row.amount_minor > 0 else self._refund)(lane, row)
            self._room.release()
            if lane.waiting:
                self._ready.put_nowait(lane)
            else:
                lane.busy = False
            self._ready.task_done()

    async def _purchase(self, lane: _Lane, row: Row) -> None:
        """Authorizes a row and, if it is approved, captures it."""
        card, network = lane.tally, self._mesh.network
        try:
            decision = await self._send(
                network.Authorize,
                requests.authorize(self._run_id, row, card_id=card.card_id),
            )
            if decision.decision != pb.DECISION_APPROVED:
                card.declined += 1
                card.declined_minor += row.amount_minor
                reason = DeclineReason.Name(decision.decline_reason)
                self.tally.declines[reason.removeprefix("DECLINE_REASON_")] += 1
                return
            await self._send(
                network.CaptureAuthorization,
                requests.capture(self._run_id, row, authorization_id=decision.authorization_id),
            )
        except grpc.aio.AioRpcError as error:
            self._refused(card, row, error)
            return
        card.approved += 1
        card.approved_minor += row.amount_minor
        lane.purchases.appendleft((row.merchant, row.amount_minor, decision.authorization_id))

    async def _refund(self, lane: _Lane, row: Row) -> None:
        """Posts a credit, for the purchase that it most likely belongs to, else to the card."""
        card, linked = lane.tally, lane.purchase_of(row)
        request = requests.refund(self._run_id, row, card_id=card.card_id, authorization_id=linked)
        try:
            await self._send(self._mesh.network.Refund, request)
        except grpc.aio.AioRpcError as error:
            self._refused(card, row, error)
            return
        self.tally.linked += bool(linked)
        card.refunded += 1
        card.refunded_minor += row.amount_minor

    def _refused(self, card: CardTally, row: Row, error: grpc.aio.AioRpcError) -> None:
        """A row that the mesh finds malformed is skipped; anything else ends the replay."""
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            raise _aborted(error) from None
        self._bad(row.line, f"refused by the mesh: {error.details()}")
        card.skipped += 1
        card.skipped_minor += row.amount_minor

    async def _open(self, card: CardTally) -> None:
        """Opens the card's account and issues the card."""
        try:
            opened = await self._send(
                self._mesh.accounts.OpenAccount,
                requests.open_account(
                    self._run_id,
                    last4=card.last4,
                    currency=card.currency,
                    credit_limit_minor=minor_of(self._credit_limit, card.currency),
                ),
            )
            card.account_id = opened.account.id
            issued = await self._send(
                self._mesh.cards.IssueCard,
                requests.issue_card(self._run_id, last4=card.last4, account_id=card.account_id),
            )
        except grpc.aio.AioRpcError as error:
            raise _aborted(error) from None
        card.card_id = issued.card.id

    async def _send(self, call: Callable[..., Awaitable[Answer]], request: Any) -> Answer:
        """Sends one request until its outcome is known; always the same request."""
        pause_s = PAUSE_MIN_S
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                return await call(request, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AGAIN:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
        return await call(request, timeout=CALL_TIMEOUT_S)


def minor_of(limit: Decimal, currency: str) -> int:
    """A credit limit in minor units; ReplayAbortedError if the currency has no such amount."""
    amount = limit.scaleb(EXPONENTS[currency])
    if amount != amount.to_integral_value() or not 0 <= amount < AMOUNT_MINOR_LIMIT:
        raise ReplayAbortedError(f"a credit limit of {limit} {currency} is not possible")
    return int(amount)


def _aborted(error: grpc.aio.AioRpcError) -> ReplayAbortedError:
    text = f"{error.code().name}: {error.details()}"
    if error.code() is grpc.StatusCode.ALREADY_EXISTS:
        text += " (this run was begun with another file or credit limit)"
    return ReplayAbortedError(f"the mesh answered {text}")
