"""Refunds in PostgreSQL: reads, what is due, and what a transaction writes of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from payments import happenings, rows
from payments import payment as life
from payments.payment import Payment, Source
from payments.refund import PARTS_MAX, Refund, RefundState, RefundStep
from payments.store import Store
from payments.transaction import Transaction
from runtime.clock import datetime_of, ms_of
from runtime.pages import after
from runtime.paging import Page
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "refunds.sql")


class ReferenceTaken(Exception):
    """Another refund is known by this reference."""


class Refunds:
    """What a transaction knows and writes of refunds."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._connection = transaction.connection

    async def refund(self, refund_id: str) -> Refund | None:
        """A refund, locked for a change."""
        row = await self._connection.fetchrow(_SQL["select_refund_for_update"], refund_id)
        return refund_of(row) if row else None

    async def sent_as(self, reference: str) -> Refund | None:
        """The refund that Stripe knows by a reference, locked for a change."""
        row = await self._connection.fetchrow(_SQL["select_sent_for_update"], reference)
        return refund_of(row) if row else None

    async def refundable(self, account_id: str) -> list[tuple[Payment, int]]:
        """Payments of which something may be given back, and how much; the latest first."""
        found = await self._connection.fetch(_SQL["list_refundable"], account_id, PARTS_MAX)
        return [(rows.payment(row), row["left_minor"]) for row in found]

    async def left_minor(self, payment: Payment) -> int:
        """What of a payment is not given back, nor about to be."""
        given_minor: int = await self._connection.fetchval(_SQL["sum_given"], payment.id)
        assert payment.amount_minor is not None, "it came"
        return payment.amount_minor - given_minor

    async def waiting(self, account_id: str) -> dict[str, int]:
        """What refunds will take from the balance, by id."""
        found = await self._connection.fetch(_SQL["list_waiting"], account_id)
        return {row["id"]: row["amount_minor"] for row in found}

    async def insert(self, refund: Refund) -> None:
        """Adds a refund."""
        await self._connection.execute(_SQL["insert_refund"], *_values(refund))
        await self._remember(refund)

    async def update(self, refund: Refund) -> bool:
        """Writes the next version; False if somebody else was faster. The payment says how much of
        it was given back. Raises ReferenceTaken.
        """
        try:
            before = await self._connection.fetchval(_SQL["update_refund"], *_changes(refund))
        except asyncpg.UniqueViolationError as error:
            raise ReferenceTaken(refund.reference) from error
        if before is None:
            return False
        was, is_now = before == RefundState.SUCCEEDED, refund.state is RefundState.SUCCEEDED
        payment: Payment | None = None
        if was != is_now:
            payment = await self._transaction.payment(refund.payment_id)
            assert payment is not None, "payments are never deleted"
            sign = 1 if is_now else -1
            payment = life.refunded(payment, sign * refund.amount_minor, now_ms=refund.update_ms)
            written = await self._transaction.update_payment(payment)
            assert written, "it is locked"
        await self._remember(refund)
        if before != refund.state:
            await self._transaction.tell(happenings.of_refund(refund, payment))
        return True

    async def look_up(self, refund_id: str) -> None:
        """Lets a refund that waits for its processor be looked at now."""
        await self._connection.execute(_SQL["wake_refund"], refund_id, self._transaction.now)

    async def _remember(self, refund: Refund) -> None:
        await self._connection.execute(
            _SQL["insert_refund_change"],
            refund.id,
            refund.version,
            refund.state,
            refund.step,
            refund.reason,
            datetime_of(refund.update_ms),
        )


class RefundStore:
    """Reads refunds, and takes what is due."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def refund(self, refund_id: str) -> Refund | None:
        """One refund."""
        found = await self._store.fetch(_SQL["select_refund"], refund_id)
        return refund_of(found[0]) if found else None

    async def refunds(self, page: Page, *, account_id: str) -> list[Refund]:
        """Refunds of an account, newest first."""
        found = await self._store.fetch(_SQL["list_refunds"], *after(page), account_id)
        return [refund_of(row) for row in found]

    async def waiting(self, account_id: str) -> dict[str, int]:
        """What refunds will take from the balance, by id."""
        found = await self._store.fetch(_SQL["list_waiting"], account_id)
        return {row["id"]: row["amount_minor"] for row in found}

    async def outgoing(self, page: Page) -> list[Refund]:
        """Refunds that wait for staff, newest first."""
        found = await self._store.fetch(_SQL["list_outgoing"], *after(page))
        return [refund_of(row) for row in found]

    async def claim(self, *, now_ms: int, until_ms: int, limit: int) -> list[tuple[Refund, int]]:
        """Refunds that have something to do, and how often it was tried in vain."""
        found = await self._store.fetch(
            _SQL["claim_refunds"], datetime_of(now_ms), datetime_of(until_ms), limit
        )
        return [(refund_of(row), row["attempts"]) for row in found]

    async def save(self, refund: Refund) -> bool:
        """Writes the next version; False if somebody else was faster."""
        async with self._store.transaction(now_ms=refund.update_ms) as transaction:
            return await Refunds(transaction).update(refund)

    async def postpone(self, refund: Refund, *, until_ms: int) -> None:
        """Lets a step that was tried in vain wait."""
        await self._store.fetch(
            _SQL["postpone_refund"], refund.id, refund.version, datetime_of(until_ms)
        )

    async def payment(self, payment_id: str) -> Payment:
        """The payment that is given back."""
        found = await self._store.payment(payment_id)
        assert found is not None, "payments are never deleted"
        return found


def refund_of(row: Any) -> Refund:
    """A refund from its row."""
    return Refund(
        id=row["id"],
        account_id=row["account_id"],
        payment_id=row["payment_id"],
        source=Source(row["source"]),
        state=RefundState(row["state"]),
        step=RefundStep(row["step"]),
        amount_minor=row["amount_minor"],
        currency_code=row["currency_code"],
        send_by=row["send_by"],
        reason=row["reason"],
        reference=row["reference"],
        debited=row["debited"],
        ask_ms=rows.ms(row["ask_time"]),
        due_ms=rows.ms(row["due_time"]),
        version=row["version"],
        create_ms=ms_of(row["create_time"]),
        update_ms=ms_of(row["update_time"]),
    )


def _values(one: Refund) -> tuple[Any, ...]:
    return (
        one.id,
        one.account_id,
        one.payment_id,
        one.source,
        one.state,
        one.step,
        one.amount_minor,
        one.currency_code,
        one.send_by,
        one.reason,
        one.reference,
        one.debited,
        *_instants(one),
        one.version,
        datetime_of(one.create_ms),
        datetime_of(one.update_ms),
    )


def _changes(one: Refund) -> tuple[Any, ...]:
    return (
        one.id,
        one.version,
        one.state,
        one.step,
        one.reason,
        one.reference,
        one.debited,
        *_instants(one),
        datetime_of(one.update_ms),
    )


def _instants(one: Refund) -> tuple[datetime | None, datetime | None]:
    return rows.instant(one.ask_ms), rows.instant(one.due_ms)
