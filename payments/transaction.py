"""One mutation in PostgreSQL: what it locks, writes and records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from payments import happenings, rows
from payments.autopay import Autopay
from payments.funding import FundingSource
from payments.payment import Payment, Source, State
from runtime import request_records
from runtime.audit import log as audit
from runtime.audit.entry import TARGETS_MAX
from runtime.clock import datetime_of
from runtime.events.catalogue import Event
from runtime.events.outbox import emit
from runtime.queries import load_queries
from runtime.request_records import RequestKey, Stored

_SQL = load_queries(Path(__file__).with_name("sql") / "payments.sql")
_FUNDING = load_queries(Path(__file__).with_name("sql") / "funding.sql")


class Transaction:
    """What is written together."""

    def __init__(self, connection: Any, *, now_ms: int) -> None:
        self.connection = connection
        self.now: datetime = datetime_of(now_ms)

    async def record(
        self,
        *,
        before: Message | None = None,
        after: Message | None = None,
        targets: tuple[str, ...] = (),
        reason: str = "",
    ) -> None:
        """Adds the audit entry of the running call."""
        await audit.record(
            self.connection, before=before, after=after, targets=targets, reason=reason
        )

    async def record_all(self, names: Sequence[str]) -> None:
        """Adds the audit entries of a running call that is about many."""
        for start in range(0, max(len(names), 1), TARGETS_MAX):
            await self.record(targets=tuple(names[start : start + TARGETS_MAX]))

    async def claim(self, key: RequestKey) -> Stored | None:
        """Takes the request id, or returns what it was used for; waits for a concurrent use."""
        return await request_records.claim(self.connection, key, self.now)

    async def answer(self, key: RequestKey, response: bytes) -> None:
        """Stores the answer to the claimed request id."""
        await request_records.answer(self.connection, key, response)

    async def lock_account(self, account_id: str) -> None:
        """Nobody else decides about payments of this account until the commit."""
        await self.connection.execute(_SQL["lock_account"], account_id)

    async def under_way(self, account_id: str) -> dict[str, int]:
        """Amounts of payments that were begun and have not lowered the balance yet, by id."""
        found = await self.connection.fetch(_SQL["list_under_way"], account_id)
        return {row["id"]: row["amount_minor"] for row in found}

    async def count_credited(self, account_id: str, *, but: Iterable[str]) -> int:
        """How many payments of an account have ever lowered its balance, without these."""
        counted: int = await self.connection.fetchval(_SQL["count_credited"], account_id, list(but))
        return counted

    async def count_open(self, account_id: str) -> int:
        """Payments that are scheduled or under way."""
        counted: int = await self.connection.fetchval(_SQL["count_open"], account_id)
        return counted

    async def payment(self, payment_id: str) -> Payment | None:
        """A payment, locked for a change."""
        row = await self.connection.fetchrow(_SQL["select_payment_for_update"], payment_id)
        return rows.payment(row) if row else None

    async def insert_event(self, event_id: str, kind: str) -> bool:
        """Remembers an event of a processor; False if it is known."""
        tag = await self.connection.execute(_SQL["insert_event"], event_id, kind, self.now)
        return str(tag) == "INSERT 0 1"

    async def charged_as(self, reference: str) -> Payment | None:
        """The payment that Stripe knows by a reference, locked for a change."""
        row = await self.connection.fetchrow(_SQL["select_charged"], reference)
        return rows.payment(row) if row else None

    async def look_up(self, payment_id: str) -> None:
        """Lets a payment that waits for its processor be looked at now."""
        await self.connection.execute(_SQL["wake_payment"], payment_id, self.now)

    async def scheduled(self, payment: Payment) -> Payment | None:
        """The payment of the same series that waits for its day, locked for a change."""
        row = await self.connection.fetchrow(
            _SQL["select_scheduled"], payment.account_id, payment.series_id
        )
        return rows.payment(row) if row else None

    async def transfer(self, source: Source, bank_reference: str) -> Payment | None:
        """The payment of a transfer."""
        row = await self.connection.fetchrow(_SQL["select_transfer"], source, bank_reference)
        return rows.payment(row) if row else None

    async def insert_payment(self, payment: Payment) -> bool:
        """Adds a payment; False if it is there."""
        tag = await self.connection.execute(_SQL["insert_payment"], *rows.payment_values(payment))
        if tag != "INSERT 0 1":
            return False
        await self._remember(None, payment)
        return True

    async def update_payment(self, payment: Payment) -> bool:
        """Writes the next version; False if somebody else was faster."""
        before = await self.connection.fetchval(
            _SQL["update_payment"], *rows.payment_changes(payment)
        )
        if before is None:
            return False
        await self._remember(State(before), payment)
        return True

    async def set_hold_days(self, account_id: str, source: Source, days: int | None) -> None:
        """How long payments are held; None: as the settings say."""
        if days is None:
            await self.connection.execute(_SQL["unset_hold_days"], account_id, source)
        else:
            await self.connection.execute(_SQL["set_hold_days"], account_id, source, days)

    async def autopay(self, account_id: str) -> Autopay | None:
        """What is paid by itself, locked for a change."""
        row = await self.connection.fetchrow(_SQL["select_autopay_for_update"], account_id)
        return rows.autopay(row) if row else None

    async def set_autopay(self, autopay: Autopay) -> bool:
        """Writes the next version; False if somebody else was faster."""
        tag = await self.connection.execute(_SQL["set_autopay"], *rows.autopay_values(autopay))
        return str(tag) == "INSERT 0 1"

    async def source(self, source_id: str) -> FundingSource | None:
        """A funding source, locked for a change."""
        row = await self.connection.fetchrow(_FUNDING["select_source_for_update"], source_id)
        return rows.funding_source(row) if row else None

    async def default_source(self, account_id: str) -> FundingSource | None:
        """The account's default, locked for a change."""
        row = await self.connection.fetchrow(_FUNDING["select_default"], account_id)
        return rows.funding_source(row) if row else None

    async def count_sources(self, account_id: str) -> int:
        """Funding sources that were not removed."""
        counted: int = await self.connection.fetchval(_FUNDING["count_sources"], account_id)
        return counted

    async def insert_source(self, source: FundingSource) -> None:
        """Adds a funding source."""
        await self.connection.execute(
            _FUNDING["insert_source"], *rows.funding_source_values(source)
        )

    async def update_source(self, source: FundingSource) -> None:
        """Writes the next version of a locked funding source."""
        tag = await self.connection.execute(
            _FUNDING["update_source"],
            source.id,
            source.version,
            source.state,
            source.is_default,
            source.attempts,
            datetime_of(source.update_ms),
        )
        assert tag == "UPDATE 1", f"{source.id} was not locked at version {source.version - 1}"

    async def add_deposit(
        self, account_id: str, *, currency_code: str, amount_minor: int
    ) -> int | None:
        """Adds to a deposit; returns what it has, None if it is of another currency."""
        found: int | None = await self.connection.fetchval(
            _FUNDING["add_deposit"], account_id, currency_code, amount_minor
        )
        return found

    async def return_deposit(self, payment_id: str) -> None:
        """Gives back what a payment took from a deposit, once."""
        await self.connection.execute(_FUNDING["return_charge"], payment_id)

    async def tell(self, events: Iterable[Event]) -> None:
        """Adds events for whoever is told."""
        await emit(self.connection, events)

    async def _remember(self, before: State | None, payment: Payment) -> None:
        await self.connection.execute(
            _SQL["insert_change"],
            payment.id,
            payment.version,
            payment.state,
            payment.step,
            payment.reason,
            datetime_of(payment.update_ms),
        )
        await self.tell(happenings.of_payment(before, payment))
