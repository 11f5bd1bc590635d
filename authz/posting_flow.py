"""The flows of the issuer's own postings: payments, fees, interest, adjustments."""

from __future__ import annotations

from authz import keys, scripts
from authz.commands import Asked, MovePayment, Post
from authz.lateness import Late, lateness
from authz.ledger_store import LedgerStore, ask, outcome_of, settled_request
from authz.money_store import MoneyStore
from authz.movement import Movement, check_currency
from authz.mover import Mover, unlinked
from authz.outcome import EntryType
from authz.snapshot import Subject
from authz.watch import Watch
from runtime import ids
from runtime.errors import NotFound

#: What a posting does to what is owed; the others raise it.
_SIGNS = {
    EntryType.ADJUSTMENT_CREDIT: "-1",
    EntryType.CHARGE_OFF: "-1",
    EntryType.PROVISIONAL_CREDIT: "-1",
    EntryType.DISPUTE_CLAIM: "0",
    EntryType.DISPUTE_LOSS: "0",
}


class PostingFlow:
    """Posts once per request, whatever the account's state."""

    def __init__(self, store: MoneyStore, ledger: LedgerStore, watch: Watch, mover: Mover) -> None:
        self._store = store
        self._ledger = ledger
        self._watch = watch
        self._mover = mover

    async def post(self, command: Post) -> Movement:
        """Posts a fee, interest, an adjustment, or what a dispute comes to."""
        subject, late = await self._subject(command.account_id)
        check_currency(command.currency_code, subject.currency_code)
        settled = await self._settled_before(command, subject)
        if settled is not None:
            return settled
        return await self._mover.moved(
            scripts.POST_ENTRY,
            command,
            subject,
            hold=unlinked(subject.tag),
            extra_keys=(keys.clearing(subject.tag, "", "", 0),),
            arguments=(
                command.kind.value,
                str(command.amount_minor),
                _SIGNS.get(command.kind, "1"),
                "0",
                "",
            ),
            late=late,
        )

    async def move_payment(self, command: MovePayment) -> Movement:
        """Credits, releases or returns a payment, debits a refund or puts it back."""
        subject, late = await self._subject(command.account_id)
        if command.currency_code:
            check_currency(command.currency_code, subject.currency_code)
        settled = await self._settled_before(command, subject)
        if settled is not None:
            return settled
        seed = await ask(self._ledger.payment_seed(command.payment_id))
        return await self._mover.moved(
            scripts.MOVE_PAYMENT,
            command,
            subject,
            extra_keys=(keys.payment(command.payment_id),),
            arguments=(command.kind.value, str(command.amount_minor), seed, command.account_id),
            late=late,
        )

    async def _subject(self, account_id: str) -> tuple[Subject, Late]:
        self._watch.admit_later_message()
        account = await self._store.account(account_id)
        if account is None:
            raise NotFound(
                "no such account", reason="ACCOUNT_NOT_FOUND", metadata={"field": "account_id"}
            )
        subject = Subject(
            tag=ids.tag_of(account_id),
            account_id=account_id,
            owner_id=account.owner_id,
            programme_id=account.programme_id,
            currency_code=account.currency_code,
        )
        return subject, lateness(account.state)

    async def _settled_before(self, asked: Asked, subject: Subject) -> Movement | None:
        """The answer of an earlier request whose record has expired: the ledger never forgets."""
        record = keys.request(subject.tag, asked.principal, asked.request_id)
        if (await self._store.known(record))[0]:
            return None
        row = await settled_request(self._ledger, asked)
        if row is None:
            return None
        return Movement(outcome=outcome_of(row), currency_code=subject.currency_code, replayed=True)
