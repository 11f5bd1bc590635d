"""To whom accounts, cards and authorizations belong, as the authorizer knows it."""

from __future__ import annotations

from authz.ledger_store import LedgerStore, ask
from authz.money_store import MoneyStore
from authz.movement import authorization_not_found
from runtime import ids
from runtime.errors import NotFound
from runtime.ownership import Belongs, Lookup, Lookups


def lookups(store: MoneyStore, ledger: LedgerStore) -> Lookups:
    """For the interceptor, which asks about managers and cardholders only."""

    async def authorization(name: str, user_id: str) -> Belongs | None:
        hold = await store.hold(name)
        if hold is not None:
            card_id = hold.card_id
        else:
            row = await ask(ledger.authorization(name))
            card_id = row["card_id"] if row is not None else ""
        return await store.card_belongs(card_id, user_id) if card_id else None

    return {
        ids.ACCOUNT: Lookup(find=store.account_belongs, not_found=account_not_found),
        ids.CARD: Lookup(find=store.card_belongs, not_found=card_not_found),
        ids.AUTHORIZATION: Lookup(
            find=authorization, not_found=lambda _name: authorization_not_found()
        ),
    }


def account_not_found(_name: str) -> NotFound:
    """The error for an unknown account."""
    return NotFound("no such account", reason="ACCOUNT_NOT_FOUND", metadata={"field": "account_id"})


def card_not_found(_name: str) -> NotFound:
    """The error for an unknown card."""
    return NotFound("no such card", reason="CARD_NOT_FOUND", metadata={"field": "card_id"})
