"""What an approval opens: the account, then its first card, each in a transaction of its own.

Both ids follow from the application, and the step that is next is written with the one before. So
whoever dies in between is followed by the worker, or by a repetition of the request, and nothing is
opened twice.
"""

from __future__ import annotations

from accounts.account import OpenAccount, open_account
from accounts.account_user import add_user
from accounts.applications.application import Application, Fulfilment
from accounts.applications.store import Applications
from accounts.card import CardKind, IssueCard, issue_card, with_number
from accounts.company_settings import first_card_kind
from accounts.company_store import Companies
from accounts.convert_controls import of_kind
from accounts.holding import of_holder
from accounts.programme_store import Programmes
from accounts.store import Store
from accounts.transaction import Transaction
from accounts.vault.vault import Vault
from runtime.clock import Clock
from runtime.outbox import Outbox


class Fulfilling:
    """Opens what was approved. `wait_s` bounds how long it waits for the authorizer."""

    def __init__(
        self, store: Store, outbox: Outbox, vault: Vault, clock: Clock, *, wait_s: float
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._vault = vault
        self._clock = clock
        self._wait_s = wait_s

    async def run(self, application_id: str) -> bool:
        """True once account and card are open and the authorizer has them."""
        step = await self._step(application_id)
        while step in (Fulfilment.OPEN_ACCOUNT, Fulfilment.ISSUE_CARD):
            step = await self._step(application_id)
        if step is not Fulfilment.CONFIRM:
            return step is Fulfilment.DONE
        application = await self._application(application_id)
        if not await self._outbox.wait_delivered(application.account_id, timeout_s=self._wait_s):
            return False
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            applications = Applications(transaction.connection)
            await applications.advance(application_id, Fulfilment.DONE)
        return True

    async def _application(self, application_id: str) -> Application:
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            found = await Applications(transaction.connection).get(application_id)
        assert found is not None, "applications are never deleted"
        return found

    async def _step(self, application_id: str) -> Fulfilment:
        """Does what is next, unless that is to wait; returns what is next then."""
        async with self._store.transaction(now_ms=self._clock.now_ms()) as transaction:
            applications = Applications(transaction.connection)
            application = await applications.get(application_id, locked=True)
            if application is None:
                return Fulfilment.NONE
            if application.fulfilment is Fulfilment.OPEN_ACCOUNT:
                await self._open_account(transaction, application)
                following = Fulfilment.ISSUE_CARD
            elif application.fulfilment is Fulfilment.ISSUE_CARD:
                await self._issue_card(transaction, application)
                following = Fulfilment.CONFIRM
            else:
                return application.fulfilment
            await applications.advance(application_id, following)
        self._outbox.wake()
        return following

    async def _open_account(self, transaction: Transaction, application: Application) -> None:
        now_ms = self._clock.now_ms()
        command = OpenAccount(
            owner_id=application.owner_id,
            programme_id=application.programme_id,
            parent_account_id=None,
            currency_code=application.currency_code,
            credit_limit_minor=application.granted_limit_minor,
        )
        account = open_account(command, account_id=application.account_id, now_ms=now_ms)
        await transaction.insert_account(account)
        if application.company_id and not await _was_removed(transaction, application):
            # Who applied for a company does not own the account, and has its first card.
            user = await transaction.account_user(account.id, application.user_id)
            await transaction.update_account_user(add_user(user, b"", now_ms=now_ms))

    async def _issue_card(self, transaction: Transaction, application: Application) -> None:
        programme = await Programmes(transaction.connection).get(application.programme_id)
        assert programme is not None, "an application refers to its programme"
        removed = await _was_removed(transaction, application)
        company = await Companies(transaction.connection).of_owner(application.owner_id)
        kind = first_card_kind(company, CardKind(programme.first_card_kind))
        card = issue_card(
            IssueCard(
                account_id=application.account_id,
                kind=kind,
                user_id="" if removed else application.user_id,
                controls=of_kind(kind, b""),
            ),
            card_id=application.card_id,
            now_ms=self._clock.now_ms(),
        )
        number = await self._vault.issue(
            card.id,
            bin_digits=programme.bin,
            expiry_month=card.expiry_month,
            expiry_year=card.expiry_year,
        )
        await transaction.steady_account(application.account_id)
        card = await of_holder(transaction, card, application.owner_id)
        await transaction.insert_card(with_number(card, bin_digits=number.bin, last4=number.last4))


async def _was_removed(transaction: Transaction, application: Application) -> bool:
    """Whether the company that it is for has removed who applied, who gets nothing of it then.
    Nobody is removed until the commit.
    """
    if not application.company_id:
        return False
    companies = Companies(transaction.connection)
    await companies.get(application.company_id, locked=True)
    member = await companies.member(application.company_id, application.user_id)
    return member is not None and not member.active
