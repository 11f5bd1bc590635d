"""Has the ledger post what disputes come to, each amount once: its request id is known before the
first attempt, and the ledger never forgets one. Watches the deadlines of disputes, too.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from accounts.disputes.dispute import Kind
from accounts.disputes.store import Disputes, Due
from accounts.requests import BY_ITSELF
from holdfast.authz.v1 import posting_service_pb2 as pb
from holdfast.authz.v1.posting_service_pb2_grpc import PostingServiceStub
from holdfast.type.v1.money_pb2 import Money
from runtime.clock import Clock
from runtime.log import get_logger
from runtime.tasks import work_for_ever
from runtime.validate import timestamp

#: How often to look for postings and deadlines.
INTERVAL_S = 1.0
#: Of one look.
BATCH = 64
CALL_TIMEOUT_S = 5.0
#: What failed is tried again after this time; what somebody died with, after this.
AGAIN_MS = 5_000
LEASE_MS = 30_000

_DESCRIPTIONS = {
    Kind.PROVISIONAL_CREDIT: "Credit for a disputed charge",
    Kind.PROVISIONAL_CREDIT_REVERSAL: "Credit for a disputed charge taken back",
    Kind.DISPUTE_CLAIM: "Disputed charge claimed from the network",
    Kind.DISPUTE_LOSS: "Disputed charge borne by the issuer",
}

logger = get_logger()


class DisputePoster:
    """Works for ever (`run`), or once (`work_due`)."""

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
            self.work_due, failed="disputes_failed", interval_s=INTERVAL_S, wake=self._wake
        )

    async def work_due(self) -> bool:
        """One look; True if there may be more."""
        now_ms = self._clock.now_ms()
        told = await self._tell_overdue(now_ms)
        # No row stays locked while the ledger is asked.
        due = await Disputes(self._pool).claim_postings(
            now_ms=now_ms, again_ms=now_ms + LEASE_MS, limit=BATCH
        )
        done = [await self._post(one) for one in due]
        # Of each dispute one at a time: behind what was posted there may be another.
        return told == BATCH or any(done)

    async def settle(self, dispute_id: str) -> bool:
        """Posts what a dispute has waiting; True once the ledger has all of it."""
        for due in await Disputes(self._pool).unposted(dispute_id):
            if not await self._post(due):
                return False
        return True

    async def _post(self, due: Due) -> bool:
        """True once the ledger surely has it."""
        disputes = Disputes(self._pool)
        try:
            answer = await self._post_entry(request_of(due), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            logger.warning(
                "dispute_posting_failed",
                dispute=due.dispute_id,
                request_id=due.request_id,
                error=f"{error.code().name}: {error.details()}",
            )
            await disputes.postpone_posting(due, until_ms=self._clock.now_ms() + AGAIN_MS)
            return False
        await disputes.posted(due, answer.result.entry_id)
        return True

    async def _tell_overdue(self, now_ms: int) -> int:
        """Records deadlines that have passed, each once."""
        if not await Disputes(self._pool).has_overdue(now_ms=now_ms):
            return 0
        async with self._pool.acquire() as connection, connection.transaction():
            disputes = Disputes(connection)
            found = await disputes.claim_overdue(now_ms=now_ms, limit=BATCH)
            for dispute_id in found:
                dispute = await disputes.get(dispute_id)
                assert dispute is not None, "disputes are never deleted"
                resolving = dispute.resolve_due_time_ms <= now_ms
                kind = "RESOLUTION_OVERDUE" if resolving else "ACKNOWLEDGEMENT_OVERDUE"
                await disputes.insert_event(dispute, kind, actor=BY_ITSELF.principal, now_ms=now_ms)
                until_ms = None if resolving else dispute.resolve_due_time_ms
                await disputes.postpone(dispute_id, until_ms=until_ms)
                logger.warning("dispute_overdue", dispute=dispute_id, what=kind)
        return len(found)


def request_of(due: Due) -> pb.PostEntryRequest:
    """What the ledger is asked for; the same for every attempt."""
    return pb.PostEntryRequest(
        request_id=due.request_id,
        account_id=due.account_id,
        kind=pb.PostingKind.Value(f"POSTING_KIND_{due.kind}"),
        amount=Money(currency_code=due.currency_code, amount_minor=due.amount_minor),
        category=pb.BalanceCategory.Value(f"BALANCE_CATEGORY_{due.category}"),
        related_entry_id=due.charge_id,
        description=_DESCRIPTIONS[due.kind],
        effective_time=timestamp(due.effective_ms),
    )
