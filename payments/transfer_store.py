"""Transfers that a bank tells of, in PostgreSQL: what came before, and what belongs to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from payments.payment import Payment, Source
from payments.store import Store
from payments.transaction import Transaction
from payments.transfer import Kept, Transfer, Unmatched, id_of
from runtime.clock import ms_of
from runtime.pages import after
from runtime.paging import Page
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "transfers.sql")


class Transfers:
    """What a transaction knows and writes of transfers."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._connection = transaction.connection

    async def lock(self) -> None:
        """Nobody else takes transfers in until the commit."""
        await self._connection.execute(_SQL["lock_transfers"])

    async def kept(self, source: Source, bank_reference: str) -> Kept | None:
        """A transfer that is, or was, on the list."""
        name = id_of(source, bank_reference)
        row = await self._connection.fetchrow(_SQL["select_unmatched"], name)
        return _kept(row) if row else None

    async def payment(self, transfer: Transfer) -> Payment | None:
        """The payment that a transfer became when it came before."""
        return await self._transaction.transfer(*transfer.key)

    async def keep(self, transfer: Transfer, reason: Unmatched) -> None:
        """Keeps a transfer for staff."""
        await self._connection.execute(
            _SQL["insert_unmatched"],
            id_of(*transfer.key),
            transfer.source,
            transfer.bank_reference,
            transfer.amount_minor,
            transfer.currency_code,
            transfer.receive_date,
            transfer.remittance,
            reason,
            self._transaction.now,
        )

    async def finish(self, source: Source, bank_reference: str) -> None:
        """Takes a transfer off the list, if it is on it."""
        await self._connection.execute(_SQL["finish_unmatched"], id_of(source, bank_reference))

    async def credit(self, payment: Payment) -> bool:
        """Makes a transfer a payment."""
        return await self._transaction.insert_payment(payment)


async def unmatched_page(store: Store, page: Page) -> list[Kept]:
    """Transfers that belong to nobody, newest first."""
    return [_kept(row) for row in await store.fetch(_SQL["list_unmatched"], *after(page))]


def _kept(row: Any) -> Kept:
    return Kept(
        transfer=Transfer(
            source=Source(row["source"]),
            bank_reference=row["bank_reference"],
            amount_minor=row["amount_minor"],
            currency_code=row["currency_code"],
            receive_date=row["receive_date"],
            remittance=row["remittance"],
        ),
        reason=Unmatched(row["reason"]),
        done=row["done"],
        create_ms=ms_of(row["create_time"]),
    )
