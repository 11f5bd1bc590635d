"""What every mutation has in common: once per request id, and answered when the authorizer has it.

One transaction holds the request record, the change, its outbox row and its audit entry. Then the
answer waits for the projection, also when nothing was changed and when the answer was stored
before: whoever is answered may rely on the authorizer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import grpc

from accounts import answers
from accounts.account import Account
from accounts.account_user import AccountUser
from accounts.card import Card
from accounts.requests import Answer
from accounts.rules import Rules
from accounts.store import Store
from accounts.transaction import Transaction
from runtime.audit.log import REPLAYED_REASON
from runtime.clock import Clock
from runtime.errors import Unavailable
from runtime.outbox import Outbox, Row
from runtime.postgres import refusing_when_down
from runtime.request_id import REPLAYED
from runtime.request_records import RequestKey

#: Left of the caller's deadline for the answer itself.
ANSWER_MARGIN_S = 0.1

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"
Changed: TypeAlias = Account | Card | AccountUser | Rules | Answer
Effect: TypeAlias = Callable[[Transaction], Awaitable[Changed]]


class Mutations:
    """Runs mutations. `projection_wait_s` bounds how long an answer waits for the authorizer."""

    def __init__(
        self, store: Store, outbox: Outbox, clock: Clock, *, projection_wait_s: float
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._projection_wait_s = projection_wait_s

    async def run(
        self,
        key: RequestKey,
        effect: Effect,
        context: Context,
    ) -> bytes:
        """Returns what was changed as it was after the first run, serialized."""
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            stored = await transaction.claim(key)
            if stored is None:
                changed = await effect(transaction)
                answer = answers.answer(changed)
                await transaction.answer(key, answer)
                await self._record(transaction, changed)
            else:
                stored.require(key)
                answer = stored.answer
                await transaction.record(reason=REPLAYED_REASON)
        await self._projected(answer, transaction.appended, context)
        if stored is not None:
            await context.send_initial_metadata(REPLAYED)
        return answer.response

    async def _record(self, transaction: Transaction, changed: Changed) -> None:
        if isinstance(changed, Answer):
            await transaction.record(targets=(changed.outbox_key,))
            return
        before = transaction.found(changed)
        await transaction.record(
            before=None if before is None else answers.message_of(before),
            after=answers.message_of(changed),
        )

    async def _projected(self, answer: Answer, rows: Sequence[Row], context: Context) -> None:
        if not await delivered(
            self._outbox, answer.outbox_key, rows, context, wait_s=self._projection_wait_s
        ):
            raise outcome_unknown("the authorizer")


async def delivered(
    outbox: Outbox, key: str, rows: Sequence[Row], context: Context, *, wait_s: float
) -> bool:
    """Delivers what was just committed; True once all that is committed of the key is delivered.
    Waits no longer than its caller.
    """
    remaining_s = context.time_remaining()
    if remaining_s is not None:
        wait_s = max(min(wait_s, remaining_s - ANSWER_MARGIN_S), 0)
    until = asyncio.get_running_loop().time() + wait_s
    if rows and await outbox.deliver_now(rows, timeout_s=wait_s):
        return True
    left_s = until - asyncio.get_running_loop().time()
    with refusing_when_down():
        return await outbox.wait_delivered(key, timeout_s=left_s)


def outcome_unknown(who: str) -> Unavailable:
    """The error for a change that is committed and not yet known to who has to act on it."""
    return Unavailable(
        f"the change is stored, but {who} has not confirmed it yet: repeat the same request",
        reason="OUTCOME_UNKNOWN",
    )
