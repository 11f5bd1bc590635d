"""Accounts whose owners were erased, in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from payments import happenings, rows
from payments import payment as life
from payments.funding import FundingSource
from payments.store import Store
from payments.transaction import Transaction
from runtime.clock import datetime_of
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "erasures.sql")


class ErasureStore:
    """What is to be forgotten, and what of it was."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, account_id: str, *, now_ms: int) -> None:
        """Ends what is paid by itself, and removes from where; the rest is due now."""
        async with self._store.transaction(now_ms=now_ms) as transaction:
            await transaction.lock_account(account_id)
            added = await transaction.connection.execute(
                _SQL["insert_erasure"], account_id, transaction.now
            )
            if added == "INSERT 0 1":
                await _stop(transaction, account_id, now_ms=now_ms)
                await transaction.connection.execute(
                    _SQL["remove_sources"], account_id, transaction.now
                )
            await transaction.record(targets=(account_id,))

    async def is_forgotten(self, account_id: str) -> bool:
        """Whether an account is, or is about to be."""
        found = await self._store.fetch(_SQL["is_forgotten"], account_id)
        return bool(found[0][0])

    async def is_charging(self, account_id: str) -> bool:
        """Whether the processor is asked for money."""
        found = await self._store.fetch(_SQL["is_charging"], account_id)
        return bool(found[0][0])

    async def known_sources(self, account_id: str) -> list[FundingSource]:
        """Funding sources that a processor knows."""
        found = await self._store.fetch(_SQL["list_known_sources"], account_id)
        return [rows.funding_source(row) for row in found]

    async def wipe(self, source: FundingSource, *, now_ms: int) -> None:
        """Forgets what its processor knew it by."""
        await self._store.fetch(_SQL["wipe_source"], source.id, datetime_of(now_ms))

    async def finish(self, account_id: str, *, now_ms: int) -> None:
        """Forgets what was answered, and that there is anything left to do. A payment that repeats
        may have made its next one while `begin` ended it.
        """
        async with self._store.transaction(now_ms=now_ms) as transaction:
            await transaction.lock_account(account_id)
            await _stop(transaction, account_id, now_ms=now_ms)
            await transaction.connection.execute(_SQL["forget_answers"], account_id)
            await transaction.connection.execute(
                _SQL["finish_erasure"], account_id, transaction.now
            )

    async def claim(self, *, now_ms: int, until_ms: int, limit: int) -> list[tuple[str, int]]:
        """Accounts that are to be forgotten, and how often that was tried in vain."""
        found = await self._store.fetch(
            _SQL["claim_erasures"], datetime_of(now_ms), datetime_of(until_ms), limit
        )
        return [(row["account_id"], row["attempts"]) for row in found]

    async def postpone(self, account_id: str, *, until_ms: int) -> None:
        """Lets what was tried in vain wait."""
        await self._store.fetch(_SQL["postpone_erasure"], account_id, datetime_of(until_ms))


async def is_forgotten(transaction: Transaction, account_id: str) -> bool:
    """The same of an account that is locked."""
    return bool(await transaction.connection.fetchval(_SQL["is_forgotten"], account_id))


async def _stop(transaction: Transaction, account_id: str, *, now_ms: int) -> None:
    """Nothing begins by itself any more."""
    autopay = await transaction.autopay(account_id)
    if autopay is not None and autopay.enabled:
        off = replace(autopay, enabled=False, due_ms=None, version=autopay.version + 1)
        await transaction.set_autopay(off)
        await transaction.tell(happenings.of_autopay(autopay, off, now_ms=now_ms))
    waiting = await transaction.connection.fetch(_SQL["list_waiting_payments"], account_id)
    for row in waiting:
        payment = rows.payment(row)
        await transaction.update_payment(
            life.dropped(payment, reason=life.ACCOUNT_CLOSED, failed=False, now_ms=now_ms)
        )
