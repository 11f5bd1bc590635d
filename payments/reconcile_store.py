"""What a reconciliation of payments reads in PostgreSQL, a page at a time. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from payments import rows
from payments.payment import Payment
from payments.reconcile import Booked, Charge
from payments.reconcile_refunds import GivenBack
from payments.refund import Refund
from payments.refund_store import refund_of
from runtime.queries import load_queries

#: Rows of one page.
PAGE = 500

_SQL = load_queries(Path(__file__).with_name("sql") / "reconcile.sql")


class ReconcileStore:
    """Reads payments as `payments`, and the ledger's as `authz`."""

    def __init__(self, payments: Any, ledger: Any) -> None:
        self._payments = payments
        self._ledger = ledger

    async def after(self, name: str) -> list[Payment]:
        """Payments that follow one, by their ids."""
        found = await self._payments.fetch(_SQL["payments_after"], name, PAGE)
        return [rows.payment(row) for row in found]

    async def named(
        self, names: Sequence[str], references: Sequence[str] = ()
    ) -> list[tuple[str, str]]:
        """Ids, and what Stripe calls them, of payments with these ids or references."""
        found = await self._payments.fetch(_SQL["payments_of"], list(names), list(references))
        return [(row["id"], row["processor_reference"]) for row in found]

    async def deposit_charges(self, names: Sequence[str]) -> dict[str, Charge]:
        """What was taken from deposits, by payment."""
        found = await self._payments.fetch(_SQL["deposit_charges_of"], list(names))
        return {row["payment_id"]: _charge(row) for row in found}

    async def stray_deposit_charges(self) -> list[Charge]:
        """What was taken from deposits for payments that are not there."""
        found = await self._payments.fetch(_SQL["stray_deposit_charges"], PAGE)
        return [_charge(row) for row in found]

    async def refunds_after(self, name: str) -> list[Refund]:
        """Refunds that follow one, by their ids."""
        found = await self._payments.fetch(_SQL["refunds_after"], name, PAGE)
        return [refund_of(row) for row in found]

    async def refunds_of(self, names: Sequence[str]) -> dict[str, list[Refund]]:
        """Refunds of payments, by payment."""
        found: dict[str, list[Refund]] = {}
        for row in await self._payments.fetch(_SQL["refunds_of"], list(names)):
            found.setdefault(row["payment_id"], []).append(refund_of(row))
        return found

    async def refunds_named(self, names: Sequence[str]) -> set[str]:
        """Which of these refunds there are."""
        found = await self._payments.fetch(_SQL["refunds_named"], list(names))
        return {row["id"] for row in found}

    async def deposit_refunds(self, names: Sequence[str]) -> dict[str, GivenBack]:
        """What was given back to deposits, by refund."""
        found = await self._payments.fetch(_SQL["deposit_refunds_of"], list(names))
        return {
            row["refund_id"]: GivenBack(
                reference=row["refund_id"],
                refund_id=row["refund_id"],
                amount_minor=row["amount_minor"],
                currency_code=row["currency_code"],
                given=True,
            )
            for row in found
        }

    async def booked(self, names: Sequence[str]) -> dict[str, Booked]:
        """Payments and refunds as the ledger has them, by their ids."""
        return _booked(await self._ledger.fetch(_SQL["booked_of"], list(names)))

    async def booked_after(self, name: str) -> dict[str, Booked]:
        """The ledger's payments and refunds that follow one."""
        return _booked(await self._ledger.fetch(_SQL["booked_after"], name, PAGE))


def _booked(found: Sequence[Any]) -> dict[str, Booked]:
    return {
        row["id"]: Booked(
            account_id=row["account_id"], amount_minor=row["amount_minor"], state=row["state"]
        )
        for row in found
    }


def _charge(row: Any) -> Charge:
    return Charge(
        reference=row["payment_id"],
        payment_id=row["payment_id"],
        amount_minor=row["amount_minor"],
        currency_code=row["currency_code"],
        came=row["taken"],
        given_back=row["returned"],
    )
