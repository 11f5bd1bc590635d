"""Which terms hold for an account: those of its cycle's first day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from accounts.billing.account import BillingAccount
from accounts.billing.convert_terms import product_of
from accounts.billing.product import Product
from accounts.billing.store import Billing
from accounts.programme import ProgrammeTerms


class Products:
    """Terms of programmes, read once per batch."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing
        self._found: dict[str, list[Product]] = {}

    async def of(self, account: BillingAccount, *, now_ms: int) -> Product | None:
        """The terms that hold for an account; None before the first ones begin."""
        return _holding(account, await self.all_of(account.programme_id), now_ms=now_ms)

    async def version(self, programme_id: str, version: int) -> Product:
        """One version."""
        return next(one for one in await self.all_of(programme_id) if one.version == version)

    async def all_of(self, programme_id: str) -> list[Product]:
        """All versions, earliest first."""
        if programme_id not in self._found:
            terms = await self._billing.terms(programme_id)
            self._found[programme_id] = [product_of(one) for one in terms]
        return self._found[programme_id]


def product_for(
    account: BillingAccount, terms: Sequence[ProgrammeTerms], *, now_ms: int
) -> Product | None:
    """The same, from all terms of its programme, earliest first."""
    return _holding(account, [product_of(one) for one in terms], now_ms=now_ms)


def _holding(account: BillingAccount, known: Sequence[Product], *, now_ms: int) -> Product | None:
    if not known:
        return None
    if account.cycle is not None:
        return on_day(known, account.cycle.start)
    first = known[0]
    begins = max(first.day(account.opened_ms), first.terms.effective_from)
    return on_day(known, begins) if begins <= first.day(now_ms) else None


def on_day(known: Sequence[Product], day: date) -> Product:
    """The version in force on a day; before the first one, that one."""
    begun = [one for one in known if one.terms.effective_from <= day]
    return begun[-1] if begun else known[0]
