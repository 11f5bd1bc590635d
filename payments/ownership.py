"""To whom payments and funding sources belong: to the owner of their account."""

from __future__ import annotations

from payments import convert
from payments.convert_refund import refund_not_found
from payments.holders import Holders
from payments.refund_store import RefundStore
from payments.store import Store
from runtime import ids
from runtime.ownership import Belongs, Lookup, Lookups


def lookups(store: Store, refunds: RefundStore, holders: Holders) -> Lookups:
    """For the interceptor, which asks about managers and cardholders only."""

    async def account(name: str, user_id: str) -> Belongs | None:
        holder = await holders.holder(name, user_id if ids.is_id(user_id, ids.USER) else "")
        return holder.belongs if holder else None

    async def payment(name: str, user_id: str) -> Belongs | None:
        found = await store.payment(name)
        return await account(found.account_id, user_id) if found else None

    async def refund(name: str, user_id: str) -> Belongs | None:
        found = await refunds.refund(name)
        return await account(found.account_id, user_id) if found else None

    async def source(name: str, user_id: str) -> Belongs | None:
        found = await store.source(name)
        return await account(found.account_id, user_id) if found else None

    return {
        ids.ACCOUNT: Lookup(find=account, not_found=convert.account_not_found),
        ids.PAYMENT: Lookup(find=payment, not_found=convert.payment_not_found),
        ids.REFUND: Lookup(find=refund, not_found=refund_not_found),
        ids.FUNDING_SOURCE: Lookup(find=source, not_found=convert.funding_source_not_found),
    }
