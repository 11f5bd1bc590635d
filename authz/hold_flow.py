"""The flows of capture and reversal: find the authorization, ask the ledger what Valkey may have
forgotten, run one script.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from authz import keys, scripts
from authz.commands import Capture, Reverse, Target
from authz.entry import Header, static_part
from authz.ledger_store import LedgerStore, ask, outcome_of, same_clearing, seed_of
from authz.money_store import MoneyStore
from authz.movement import Movement, authorization_not_found, refusal
from authz.scripts import Status
from authz.watch import Watch
from runtime import ids
from runtime.clock import Clock
from runtime.errors import (
    InvalidArgument,
    NotFound,
    RequestIdReused,
    Unavailable,
    Violation,
)
from runtime.ids import IdSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The authorization that a message names, wherever it is known."""

    authorization_id: str
    principal: str
    account_id: str
    card_id: str
    root_card_id: str
    owner_id: str
    programme_id: str
    currency_code: str
    network: str
    seed: str
    create: bool


class HoldFlow:
    """Captures and reverses."""

    def __init__(
        self,
        store: MoneyStore,
        ledger: LedgerStore,
        watch: Watch,
        *,
        clock: Clock,
        id_source: IdSource,
        record_ttl_ms: int,
        retention_ms: int,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._watch = watch
        self._clock = clock
        self._ids = id_source
        self._record_ttl_ms = record_ttl_ms
        self._retention_ms = retention_ms

    async def capture(self, command: Capture) -> Movement:
        """Posts a clearing, once per clearing and once per request."""
        self._watch.admit_later_message()
        found = await self._find(command.target, command.principal, command.acts_for_all)
        _check_currency(command.currency_code, found)
        tag = ids.tag_of(found.account_id)
        request_key = keys.request(tag, command.principal, command.request_id)
        clearing_key = keys.clearing(
            tag, found.network, command.clearing_reference, command.clearing_sequence
        )
        settled = await self._settled_before(command, found, request_key, clearing_key)
        if settled is not None:
            return settled
        header = self._header(command, found)
        status, outcome = await self._store.move(
            scripts.CAPTURE_HOLD,
            (
                keys.meta(tag),
                request_key,
                keys.account(found.account_id),
                keys.hold(found.authorization_id),
                clearing_key,
                keys.expiry(tag),
                keys.journal(tag),
            ),
            (
                command.fingerprint,
                str(self._clock.now_ms()),
                str(self._record_ttl_ms),
                found.authorization_id,
                str(command.amount_minor),
                "1" if command.final else "0",
                command.clearing_fingerprint if command.clearing_reference else "",
                found.seed,
                "1" if found.create else "0",
                found.principal,
                found.account_id,
                found.card_id,
                found.network,
                static_part(header, command.raw),
                str(self._retention_ms),
            ),
        )
        if outcome is None:
            raise refusal(status, header)
        return Movement(
            outcome=outcome,
            currency_code=found.currency_code,
            replayed=status is Status.REPLAYED,
        )

    async def reverse(self, command: Reverse) -> Movement:
        """Gives back all or part of a hold."""
        self._watch.admit_later_message()
        found = await self._find(command.target, command.principal, command.acts_for_all)
        if command.amount_minor is not None:
            _check_currency(command.currency_code, found)
        tag = ids.tag_of(found.account_id)
        request_key = keys.request(tag, command.principal, command.request_id)
        with suppress(Unavailable):
            # Best effort: reversals go on without PostgreSQL, and one that acts twice releases no
            # more than its own hold.
            settled = await self._settled_before(command, found, request_key, None)
            if settled is not None:
                return settled
        header = self._header(command, found)
        amount = "" if command.amount_minor is None else str(command.amount_minor)
        status, outcome = await self._store.move(
            scripts.REVERSE_HOLD,
            (
                keys.meta(tag),
                request_key,
                keys.account(found.account_id),
                keys.hold(found.authorization_id),
                keys.expiry(tag),
                keys.journal(tag),
            ),
            (
                command.fingerprint,
                str(self._clock.now_ms()),
                str(self._record_ttl_ms),
                found.authorization_id,
                amount,
                found.seed,
                "1" if found.create else "0",
                found.principal,
                found.account_id,
                found.card_id,
                found.network,
                static_part(header, command.raw),
                str(self._retention_ms),
            ),
        )
        if outcome is None:
            raise refusal(status, header)
        return Movement(
            outcome=outcome,
            currency_code=found.currency_code,
            replayed=status is Status.REPLAYED,
        )

    async def _find(self, target: Target, principal: str, acts_for_all: bool) -> Found:
        """The authorization in Valkey, else in the ledger, else (by network reference) new."""
        hold = await self._store.hold(target.authorization_id)
        if hold is not None:
            owner, account_id, card_id = hold.principal, hold.account_id, hold.card_id
            network, seed, create = hold.network, "", False
        else:
            row = await ask(self._ledger.authorization(target.authorization_id))
            if row is not None:
                owner, account_id, card_id = row["principal"], row["account_id"], row["card_id"]
                network, seed, create = row["network"] or "", seed_of(row), False
            elif target.by_network:
                owner, account_id, card_id = principal, "", target.card_id
                network, seed, create = target.network, "", True
            else:
                raise authorization_not_found()
        if owner != principal and not acts_for_all:
            raise authorization_not_found()
        snapshot = await self._store.snapshot(card_id)
        if snapshot is None:
            # Only a declined authorization of an unknown card has no account.
            raise NotFound(
                "no such card", reason="CARD_NOT_FOUND", metadata={"field": "network_reference"}
            )
        return Found(
            authorization_id=target.authorization_id,
            principal=owner,
            account_id=account_id or snapshot.account.account_id,
            card_id=card_id,
            root_card_id=snapshot.card.root_card_id,
            owner_id=snapshot.account.owner_id,
            programme_id=snapshot.account.programme_id,
            currency_code=snapshot.account.currency_code,
            network=network,
            seed=seed,
            create=create,
        )

    async def _settled_before(
        self, command: Capture | Reverse, found: Found, request_key: str, clearing_key: str | None
    ) -> Movement | None:
        """The answer of an earlier request whose record has expired: the ledger never forgets.

        Valkey is asked first: a record that is there is answered by the script.
        """
        names = [request_key, *([clearing_key] if clearing_key else [])]
        known = await self._store.known(*names)
        if any(known):
            return None
        row = await ask(
            self._ledger.find_request(command.principal, command.request_id, command.fingerprint)
        )
        if row is not None and row["fingerprint"] != command.fingerprint:
            raise RequestIdReused(command.request_id)
        if row is None and isinstance(command, Capture) and command.clearing_reference:
            row = await ask(
                self._ledger.find_clearing(
                    ids.partition_of(found.account_id),
                    found.network,
                    command.clearing_reference,
                    command.clearing_sequence,
                )
            )
            if row is not None and not same_clearing(row, command):
                raise refusal(Status.CLEARING_REUSED, self._header(command, found))
        if row is None:
            return None
        return Movement(outcome=outcome_of(row), currency_code=found.currency_code, replayed=True)

    def _header(self, command: Capture | Reverse, found: Found) -> Header:
        return Header(
            id=self._ids.new(ids.ENTRY, ids.partition_of(found.account_id)),
            principal=command.principal,
            request_id=command.request_id,
            fingerprint=command.fingerprint,
            account_id=found.account_id,
            card_id=found.card_id,
            root_card_id=found.root_card_id,
            owner_id=found.owner_id,
            programme_id=found.programme_id,
            currency=found.currency_code,
            network=found.network,
            decided_by="network",
        )


def _check_currency(currency_code: str, found: Found) -> None:
    if currency_code != found.currency_code:
        raise InvalidArgument.of(
            [
                Violation(
                    "amount.currency_code", f"must be the account's currency {found.currency_code}"
                )
            ]
        )
