"""Puts the parts of billing together, for the process and for tests."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import grpc

from accounts.billing.biller import Biller
from accounts.billing.billing_service import BillingService
from accounts.billing.intake import take
from accounts.billing.poster import Poster
from accounts.billing.service import StatementService
from accounts.billing.store import Statements
from accounts.billing.tape_service import LoanTapeService
from accounts.billing.taper import Taper
from accounts.mutation import Mutations
from accounts.store import Store
from runtime.clock import Clock
from runtime.follower import Follower
from runtime.outbox import Outbox

#: Batches that are worked on at the same time: one computes while another waits for PostgreSQL.
BILLERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingParts:
    """What answers, and what works by itself."""

    service: StatementService
    staff: BillingService
    follower: Follower
    biller: Biller
    poster: Poster
    taper: Taper
    tape: LoanTapeService

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs for ever."""
        return (
            self.follower.run(),
            *(self.biller.run() for _ in range(BILLERS)),
            self.biller.enrol(),
            self.poster.run(),
            self.taper.run(),
        )


def billing_parts(
    pool: Any,
    channel: grpc.aio.Channel,
    store: Store,
    mutations: Mutations,
    clock: Clock,
    *,
    creditor: str,
    delay_ms: int,
    outbox: Outbox | None = None,
) -> BillingParts:
    """Billing on the service's pool, with the authorizer behind `channel`."""
    poster = Poster(pool, channel, clock)

    def committed() -> None:
        poster.wake()
        if outbox is not None:
            outbox.wake()

    follower = Follower(pool, channel, take, posted_only=True)
    return BillingParts(
        service=StatementService(Statements(pool), store, clock, creditor=creditor),
        staff=BillingService(store, mutations, clock, pool=pool, committed=poster.wake),
        follower=follower,
        biller=Biller(
            pool,
            known_ms=lambda: follower.followed_until_ms,
            delay_ms=delay_ms,
            committed=committed,
        ),
        poster=poster,
        taper=Taper(pool, known_ms=lambda: follower.followed_until_ms, delay_ms=delay_ms),
        tape=LoanTapeService(pool),
    )
