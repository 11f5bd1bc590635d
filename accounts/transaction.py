"""One mutation in PostgreSQL: what it locks, writes, records in the history and projects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from accounts import bulk_rows, happenings, history, rows
from accounts.account import Account
from accounts.account_user import AccountUser
from accounts.card import Card
from accounts.company import Member
from accounts.projector import (
    account_message,
    account_user_message,
    all_messages,
    card_message,
    membership_message,
    rules_message,
)
from accounts.requests import BY_ITSELF, Answer, Stored
from accounts.rules import Rules
from runtime import outbox, request_records
from runtime.audit import log as audit
from runtime.clock import datetime_of
from runtime.events.outbox import emit
from runtime.queries import load_queries
from runtime.request_records import RequestKey

_SQL = load_queries(Path(__file__).with_name("sql") / "queries.sql")

_Locked = TypeVar("_Locked", bound=history.Recorded)


class Transaction:
    """One mutation. Whatever it writes about an account, its users or a card is recorded in the
    history, projected and told (runtime/events) as well.
    """

    def __init__(self, connection: Any, *, now_ms: int) -> None:
        self._connection = connection
        self._now = datetime_of(now_ms)
        self._cause = BY_ITSELF
        #: What is to be delivered once this is committed.
        self.appended: list[outbox.Row] = []
        #: What was locked for a change, as it was.
        self._locked: dict[tuple[str, str], history.Recorded] = {}
        #: The same, for those who ask after the change.
        self._found: dict[tuple[str, str], history.Recorded | Rules] = {}

    def caused_by(self, key: RequestKey) -> None:
        """Says who changes what follows. Claiming a request id says it, too."""
        self._cause = key

    @property
    def connection(self) -> Any:
        """What the other stores of the service write through, in the same transaction."""
        return self._connection

    def found(self, changed: history.Recorded | Rules) -> history.Recorded | Rules | None:
        """What a changed resource was when it was locked; None if it is new."""
        return self._found.get(_place_of(changed))

    async def record(
        self,
        *,
        before: Message | None = None,
        after: Message | None = None,
        targets: tuple[str, ...] = (),
        reason: str = "",
    ) -> None:
        """Adds the audit entry of the running call."""
        await audit.record(
            self._connection, before=before, after=after, targets=targets, reason=reason
        )

    async def claim(self, key: RequestKey) -> Stored | None:
        """Takes the request id, or returns what it was used for; waits for a concurrent use."""
        self.caused_by(key)
        if await request_records.take(self._connection, key, self._now):
            return None
        row = await self._connection.fetchrow(_SQL["select_request"], key.principal, key.request_id)
        return Stored(**dict(row))

    async def answer(self, key: RequestKey, answer: Answer) -> None:
        """Stores the answer to the claimed request id."""
        await self._connection.execute(
            _SQL["answer_request"],
            key.principal,
            key.request_id,
            answer.response,
            answer.outbox_key,
        )

    async def account(self, account_id: str) -> Account | None:
        """An account, locked for a change."""
        row = await self._connection.fetchrow(_SQL["select_account_for_update"], account_id)
        return self._lock(rows.account(row)) if row else None

    async def steady_account(self, account_id: str) -> Account | None:
        """An account whose state stands still until the commit."""
        row = await self._connection.fetchrow(_SQL["select_account_for_share"], account_id)
        return rows.account(row) if row else None

    async def card(self, card_id: str) -> Card | None:
        """A card, locked for a change."""
        row = await self._connection.fetchrow(_SQL["select_card_for_update"], card_id)
        return self._lock(rows.card(row)) if row else None

    async def count_activation(self, card_id: str, *, wrong: bool, most: int) -> bool:
        """Counts a try to activate a locked card if it is wrong; False after too many of those."""
        tries = await self._connection.fetchval(_SQL["count_activation"], card_id, most, int(wrong))
        return tries is not None

    async def bin_of(self, programme_id: str) -> str:
        """First digits of a programme's card numbers; '' if it has none of its own."""
        found = await self._connection.fetchval(_SQL["select_bin"], programme_id)
        return found or ""

    async def card_of_steady_account(self, card_id: str) -> tuple[Card, Account] | None:
        """A card, locked for a change, and its account, whose state stands still. Accounts are
        always locked before their cards.
        """
        row = await self._connection.fetchrow(_SQL["select_card"], card_id)
        if row is None:
            return None
        account, card = await self.steady_account(row["account_id"]), await self.card(card_id)
        assert account is not None, "a card's account is never deleted"
        assert card is not None, "cards are never deleted"
        return card, account

    async def cards_of(self, account_id: str, user_id: str) -> list[Card]:
        """The cards that a user has on an account, locked for a change. The account must be locked,
        too: then the user gets no more of them.
        """
        found = await self._connection.fetch(
            _SQL["select_cards_of_user_for_update"], account_id, user_id
        )
        return [self._lock(rows.card(row)) for row in found]

    async def shared_accounts(self, user_id: str, *, owner_id: str = "") -> list[str]:
        """Others' accounts that a user shares or has living cards on, by id; those of one owner
        unless `owner_id` is empty.
        """
        found = await self._connection.fetch(_SQL["list_shared_accounts"], user_id, owner_id)
        return [row["id"] for row in found]

    async def held_accounts(self, user_id: str) -> list[str]:
        """Accounts on which a user has living cards, or may get some, by id."""
        found = await self._connection.fetch(_SQL["list_held_accounts"], user_id)
        return [row["id"] for row in found]

    async def cards_held(self, account_id: str, user_id: str) -> list[Card]:
        """The living cards of an account that are a user's, its owner's if they are nobody's in
        particular; locked for a change. The account must be locked, too.
        """
        found = await self._connection.fetch(
            _SQL["select_cards_held_for_update"], account_id, user_id
        )
        return [self._lock(rows.card(row)) for row in found]

    async def insert_account(self, account: Account) -> None:
        """Adds an account."""
        await self._connection.execute(_SQL["insert_account"], *rows.account_values(account))
        await self._record(account)
        self.appended.append(await outbox.append(self._connection, account_message(account)))

    async def update_account(self, account: Account) -> None:
        """Writes the next version of a locked account."""
        tag = await self._connection.execute(
            _SQL["update_account"],
            account.id,
            account.version,
            account.state,
            account.credit_limit_minor,
            datetime_of(account.update_time_ms),
            account.controls,
        )
        assert tag == "UPDATE 1", f"{account.id} was not locked at version {account.version - 1}"
        await self._record(account)
        self.appended.append(await outbox.append(self._connection, account_message(account)))

    async def postpone_closing(self, account_id: str, *, pause_ms: tuple[int, int]) -> None:
        """Looks at a closing account again after a pause: a tenth of how long it has been closing,
        within these bounds.
        """
        await self._connection.execute(_SQL["postpone_closing"], account_id, self._now, *pause_ms)

    async def insert_card(self, card: Card) -> None:
        """Adds a card."""
        await self._connection.execute(_SQL["insert_card"], *rows.card_values(card))
        await self._record(card)
        self.appended.append(await outbox.append(self._connection, card_message(card)))

    async def update_card(self, card: Card, *, key: str = "") -> None:
        """Writes the next version of a locked card. `key`: of the outbox row, if whoever answers
        waits for another one than the account's.
        """
        tag = await self._connection.execute(
            _SQL["update_card"],
            card.id,
            card.version,
            card.state,
            datetime_of(card.update_time_ms),
            card.controls,
            card.user_id or None,
            card.expiry_month,
            card.expiry_year,
            card.nickname,
            card.shipping,
            card.carrier,
            card.tracking_number,
            card.received,
            card.replaced_by_card_id or None,
            rows.time_of(card.suspicion_clear_time_ms),
            card.holder_suspended,
        )
        assert tag == "UPDATE 1", f"{card.id} was not locked at version {card.version - 1}"
        await self._record(card)
        self.appended.append(await outbox.append(self._connection, card_message(card, key=key)))

    async def insert_all(
        self, accounts: Sequence[Account], cards: Sequence[Card], *, outbox_key: str
    ) -> None:
        """Adds accounts, then cards, each kind of row at once. What is projected of them are few
        messages with many of them each.
        """
        everything: list[history.Recorded] = [*accounts, *cards]
        changes = [self._change_values(one) for one in everything]
        await bulk_rows.insert(self._connection, accounts, cards, changes)
        await emit(
            self._connection,
            (event for one in everything for event in happenings.of_change(None, one)),
        )
        for message in all_messages(accounts, cards, key=outbox_key):
            self.appended.append(await outbox.append(self._connection, message))

    async def account_user(self, account_id: str, user_id: str) -> AccountUser:
        """A user of an account that exists, locked for a change; a new one at version 0."""
        await self._connection.execute(_SQL["ensure_account_user"], account_id, user_id, self._now)
        row = await self._connection.fetchrow(
            _SQL["select_account_user_for_update"], account_id, user_id
        )
        return self._lock(rows.account_user(row))

    async def steady_account_user(self, account_id: str, user_id: str) -> AccountUser:
        """A user of an account that stands still while its account does."""
        row = await self._connection.fetchrow(_SQL["select_account_user"], account_id, user_id)
        return rows.account_user_of(row, account_id, user_id)

    async def update_account_user(self, user: AccountUser, *, key: str = "") -> None:
        """Writes the next version of a locked user of an account. `key`: see `update_card`."""
        tag = await self._connection.execute(
            _SQL["update_account_user"],
            user.account_id,
            user.user_id,
            user.version,
            datetime_of(user.update_time_ms),
            user.controls,
            user.state,
        )
        assert tag == "UPDATE 1", f"{user} was not locked at the version before"
        await self._record(user)
        message = account_user_message(user, key=key)
        self.appended.append(await outbox.append(self._connection, message))

    async def rules(self, scope_id: str) -> Rules:
        """The rules of a programme or company, locked for a change; new ones at version 0."""
        await self._connection.execute(_SQL["ensure_rules"], scope_id, self._now)
        row = await self._connection.fetchrow(_SQL["select_rules_for_update"], scope_id)
        found = rows.rules(row)
        self._found.setdefault(_place_of(found), found)
        return found

    async def update_rules(self, rules: Rules) -> None:
        """Writes the next version of locked rules."""
        tag = await self._connection.execute(
            _SQL["update_rules"],
            rules.scope_id,
            rules.version,
            datetime_of(rules.update_time_ms),
            rules.rules,
        )
        assert tag == "UPDATE 1", f"{rules.scope_id} was not locked at version {rules.version - 1}"
        self.appended.append(await outbox.append(self._connection, rules_message(rules)))

    def _lock(self, value: _Locked) -> _Locked:
        self._locked[history.subject_of(value), history.user_of(value)] = value
        self._found.setdefault(_place_of(value), value)
        return value

    async def tell_membership(self, member: Member) -> None:
        """Has the gateway told what this version of a member means for the user's roles."""
        self.appended.append(await outbox.append(self._connection, membership_message(member)))

    async def _record(self, value: history.Recorded) -> None:
        """Adds a change to the history, and tells of it."""
        place = history.subject_of(value), history.user_of(value)
        await self._connection.execute(_SQL["insert_change"], *self._change_values(value))
        await emit(self._connection, happenings.of_change(self._locked.get(place), value))
        self._locked[place] = value

    def _change_values(self, value: history.Recorded) -> tuple[Any, ...]:
        subject_id, user_id = history.subject_of(value), history.user_of(value)
        before = self._locked.get((subject_id, user_id))
        return (
            history.line_of(value),
            subject_id,
            user_id,
            value.version,
            datetime_of(value.update_time_ms),
            self._cause.principal,
            self._cause.request_id,
            self._cause.method,
            json.dumps(history.changes_of(before, value)),
        )


def _place_of(value: history.Recorded | Rules) -> tuple[str, str]:
    if isinstance(value, Rules):
        return value.scope_id, ""
    return history.subject_of(value), history.user_of(value)
