"""Has the ledger post what billing charges and gives back, each posting once: its request id is
known before the first attempt, and the ledger never forgets one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from accounts.billing.account import Charge, Posting
from accounts.billing.balances import Change
from accounts.billing.store import Billing
from accounts.billing.terms import Category
from holdfast.authz.v1 import posting_service_pb2 as pb
from holdfast.authz.v1.posting_service_pb2_grpc import PostingServiceStub
from holdfast.type.v1.money_pb2 import Money
from runtime.clock import Clock
from runtime.log import get_logger
from runtime.tasks import work_for_ever
from runtime.validate import timestamp

#: How often to look for postings.
INTERVAL_S = 1.0
#: Postings of one look, and how many are asked for at the same time.
BATCH = 256
AT_ONCE = 32
CALL_TIMEOUT_S = 5.0
#: What failed is tried again after this time; what somebody died with, after this.
AGAIN_MS = 5_000
LEASE_MS = 120_000
_CATEGORIES = {
    Category.PURCHASE: pb.BALANCE_CATEGORY_PURCHASE,
    Category.CASH: pb.BALANCE_CATEGORY_CASH,
    Category.FEE: pb.BALANCE_CATEGORY_FEE,
    Category.INTEREST: pb.BALANCE_CATEGORY_INTEREST,
}

#: The others are fees, or what is given back.
_KINDS = {
    Charge.INTEREST: pb.POSTING_KIND_INTEREST,
    Charge.CHARGE_OFF: pb.POSTING_KIND_CHARGE_OFF,
    Charge.RECOVERY: pb.POSTING_KIND_RECOVERY,
}

logger = get_logger()


class Poster:
    """Works for ever (`run`), or once (`post_due`)."""

    def __init__(self, pool: Any, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._pool = pool
        self._post_entry: Any = PostingServiceStub(channel).PostEntry
        self._clock = clock
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Postings were committed: look now."""
        self._wake.set()

    async def run(self) -> None:
        """No failure ends it."""
        await work_for_ever(
            self.post_due, failed="postings_failed", interval_s=INTERVAL_S, wake=self._wake
        )

    async def post_due(self) -> bool:
        """One look; True if there may be more."""
        now_ms = self._clock.now_ms()
        # No row stays locked while the ledger is asked: what comes back must find it free.
        due = await Billing(self._pool).claim_postings(
            now_ms=now_ms, again_ms=now_ms + LEASE_MS, limit=BATCH
        )
        if not due:
            return False
        limit = asyncio.Semaphore(AT_ONCE)
        done = await asyncio.gather(*(self._post(one, limit) for one in due))
        async with self._pool.acquire() as connection, connection.transaction():
            billing = Billing(connection)
            await billing.posted([one for one, ok in zip(due, done, strict=True) if ok])
            failed = [one for one, ok in zip(due, done, strict=True) if not ok]
            await billing.postpone_postings(failed, until_ms=now_ms + AGAIN_MS)
        return len(due) == BATCH

    async def _post(self, posting: Posting, limit: asyncio.Semaphore) -> bool:
        """True once the ledger surely has it."""
        try:
            async with limit:
                await self._post_entry(request_of(posting), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            logger.warning(
                "posting_failed",
                account_id=posting.account_id,
                request_id=posting.request_id,
                error=f"{error.code().name}: {error.details()}",
            )
            return False
        return True


def request_of(posting: Posting) -> pb.PostEntryRequest:
    """What the ledger is asked for; the same for every attempt."""
    return pb.PostEntryRequest(
        request_id=posting.request_id,
        account_id=posting.account_id,
        kind=_kind(posting),
        amount=Money(currency_code=posting.currency_code, amount_minor=posting.amount_minor),
        category=_CATEGORIES[posting.category],
        related_entry_id=posting.related_entry_id,
        description=posting.charge.replace("_", " ").capitalize(),
        effective_time=timestamp(posting.value_ms),
    )


def _kind(posting: Posting) -> pb.PostingKind.ValueType:
    if posting.charge in _KINDS:
        return _KINDS[posting.charge]
    if posting.change is Change.CREDIT:
        return pb.POSTING_KIND_ADJUSTMENT_CREDIT
    return pb.POSTING_KIND_FEE
