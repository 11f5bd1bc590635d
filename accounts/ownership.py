"""To whom accounts and cards belong: their owner, and the users who share them."""

from __future__ import annotations

from accounts import convert
from accounts.caller import company_not_found
from accounts.ownership_store import OwnershipStore
from runtime import ids
from runtime.ownership import Lookup, Lookups


def lookups(store: OwnershipStore) -> Lookups:
    """For the interceptor, which asks about managers and cardholders only."""
    return {
        ids.ACCOUNT: Lookup(find=store.account_belongs, not_found=convert.account_not_found),
        ids.COMPANY: Lookup(find=store.company_belongs, not_found=company_not_found),
        ids.CARD: Lookup(find=store.card_belongs, not_found=convert.card_not_found),
    }
