"""The flows of what happens to an authorization later: find it, ask the ledger what Valkey may have
forgotten, run one script.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from authz import keys, scripts
from authz.commands import Capture, Clearing, Increment, Later, Refund, Release, Target
from authz.controls import Use
from authz.decision import Declined, Plan, Purchase, Reason, decide
from authz.entry import Decider
from authz.expiry import Circumstances
from authz.lateness import Late, lateness
from authz.ledger_store import LedgerStore, ask, outcome_of, settled_request
from authz.money_store import MoneyStore
from authz.movement import (
    Movement,
    Stale,
    authorization_not_found,
    check_currency,
    refusal,
    until_steady,
)
from authz.mover import Counting, HoldReference, Mover, unlinked
from authz.outcome import EntryType
from authz.scripts import Status
from authz.snapshot import Snapshot, Subject, limits_of, maximum_of
from authz.watch import Watch
from runtime import ids
from runtime.clock import Clock
from runtime.errors import NotFound, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The authorization that a message names, wherever it is known, and whose it is."""

    hold: HoldReference
    subject: Subject
    snapshot: Snapshot
    create: bool


class HoldFlow:
    """Captures, increments, releases and refunds."""

    def __init__(
        self,
        store: MoneyStore,
        ledger: LedgerStore,
        watch: Watch,
        mover: Mover,
        *,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._watch = watch
        self._mover = mover
        self._clock = clock

    async def capture(self, command: Capture) -> Movement:
        """Posts a clearing, once per clearing and once per request."""
        self._watch.admit_later_message()
        return await until_steady(lambda: self._capture(command))

    async def _capture(self, command: Capture) -> Movement:
        found = await self._find(command, command.target)
        check_currency(command.currency_code, found.subject.currency_code)
        clearing_key = self._clearing_key(found.subject, found.hold.network, command)
        settled = await self._settled_before(command, found.subject, found.hold.network)
        if settled is not None:
            return settled
        fence = found.snapshot.fence
        try:
            return await self._mover.moved(
                scripts.CAPTURE_HOLD,
                command,
                found.subject,
                hold=found.hold,
                extra_keys=(clearing_key, keys.card(found.subject.card_id)),
                arguments=(
                    str(command.amount_minor),
                    "1" if command.final else "0",
                    "2" if command.bounded else "1" if found.create else "0",
                    command.clearing.fingerprint,
                    command.merchant_amount,
                    command.kind.value,
                    fence.versions,
                    fence.user_field,
                    fence.programme_field,
                    fence.company_field,
                ),
                decided_by=Decider.NETWORK,
                late=lateness(found.snapshot.account.state, found.snapshot.card.state),
                counting=self._counting(command, found),
            )
        except Stale:
            self._store.forget(found.subject.card_id)
            raise

    async def release(self, command: Release) -> Movement:
        """Gives back all or part of a hold: reversal or expiry."""
        self._watch.admit_later_message()
        return await until_steady(lambda: self._release(command))

    async def _release(self, command: Release) -> Movement:
        found = await self._find(command, command.target)
        if command.amount_minor is not None:
            check_currency(command.currency_code, found.subject.currency_code)
        with suppress(Unavailable):
            # Best effort: this goes on without PostgreSQL, and what acts twice releases no more
            # than its own hold.
            settled = await self._settled_before(command, found.subject)
            if settled is not None:
                return settled
        return await self._mover.moved(
            scripts.RELEASE_HOLD,
            command,
            found.subject,
            hold=found.hold,
            extra_keys=(keys.recent(found.subject.root_card_id),),
            arguments=(
                command.kind.value,
                "" if command.amount_minor is None else str(command.amount_minor),
                "1" if found.create else "0",
                "1" if command.only_when_due else "0",
            ),
            decided_by=(
                Decider.NETWORK if command.kind is EntryType.REVERSAL else Decider.HOLDFAST
            ),
        )

    async def increment(self, command: Increment) -> Movement:
        """Reserves more, if the card may still spend and the credit covers all of it."""
        self._watch.admit()
        return await until_steady(lambda: self._increment(command))

    async def _increment(self, command: Increment) -> Movement:
        found = await self._find(command, command.target)
        check_currency(command.currency_code, found.subject.currency_code)
        settled = await self._settled_before(command, found.subject)
        if settled is not None:
            return settled
        now_ms = self._clock.now_ms()
        verdict = self._decide(command, found.snapshot, now_ms=now_ms)
        reason, uses = Reason.NONE, tuple[Use, ...]()
        if isinstance(verdict, Declined):
            reason = verdict.reason
        else:
            # A limit of categories counts if the purchase counted in it: their merchant is its.
            counted = keys.window_names(found.hold.windows)
            uses = tuple(
                use for use in verdict.uses if not use.limit.categories or use.key in counted
            )
        fence = found.snapshot.fence
        try:
            return await self._mover.moved(
                scripts.INCREMENT_HOLD,
                command,
                found.subject,
                hold=found.hold,
                extra_keys=(keys.card(found.subject.card_id),),
                arguments=(
                    fence.versions,
                    fence.user_field,
                    str(int(reason)),
                    str(command.amount_minor),
                    maximum_of(found.snapshot),
                    fence.programme_field,
                    fence.company_field,
                ),
                counting=Counting(uses=uses),
            )
        except Stale:
            self._store.forget(found.subject.card_id)
            raise

    async def refund(self, command: Refund) -> Movement:
        """Credits, linked to a purchase or not; or takes a credit back."""
        self._watch.admit_later_message()
        target = command.target
        linked = target.authorization_id != ""
        if linked:
            found = await self._find(command, target)
            subject, hold = found.subject, found.hold
        else:
            subject = (await self._card(target.card_id, "card_id")).subject
            hold = unlinked(subject.tag)
        check_currency(command.currency_code, subject.currency_code)
        settled = await self._settled_before(command, subject, hold.network)
        if settled is not None:
            return settled
        # Read now: no version of it is compared when a refund is posted.
        account = await self._store.account(subject.account_id)
        return await self._mover.moved(
            scripts.POST_ENTRY,
            command,
            subject,
            hold=hold,
            extra_keys=(self._clearing_key(subject, hold.network, command),),
            arguments=(
                command.kind.value,
                str(command.amount_minor),
                "-1" if command.kind is EntryType.REFUND else "1",
                ("2" if command.bounded else "1") if linked else "0",
                command.clearing.fingerprint,
            ),
            decided_by=Decider.NETWORK,
            late=lateness(account.state) if account else Late.NOT,
        )

    def _counting(self, command: Capture, found: Found) -> Counting:
        """What was never authorized counts now; what was, where it was counted then."""
        if found.hold.windows:
            return Counting()
        now_ms = self._clock.now_ms()
        uses = limits_of(found.snapshot.scopes, command.place, now_ms=now_ms)
        return Counting(uses=uses)

    def _decide(self, command: Increment, snapshot: Snapshot, *, now_ms: int) -> Declined | Plan:
        """Whether the card may spend more, of all that the script does not check."""
        purchase = Purchase(
            amount_minor=command.amount_minor,
            currency_code=command.currency_code,
            circumstances=Circumstances(),
            partial_approval=False,
        )
        return decide(purchase, snapshot, now_ms=now_ms)

    async def _find(self, command: Later, target: Target) -> Found:
        """The authorization in Valkey, else in the ledger, else (by network reference) new."""
        hold = await self._store.hold(target.authorization_id)
        if hold is not None:
            owner, card_id = hold.principal, hold.card_id
            network, seed, create = hold.network, "", False
            windows = hold.windows
        else:
            row = await ask(self._ledger.authorization(target.authorization_id))
            windows = row["windows"] if row is not None else ""
            if row is not None:
                owner, card_id = row["principal"], row["card_id"]
                network, create = row["network"] or "", False
                seed = await ask(self._ledger.seed(row))
            elif target.by_network:
                owner, card_id = command.principal, target.card_id
                network, seed, create = target.network, "", True
            else:
                raise authorization_not_found()
        if owner != command.principal and not command.acts_for_all:
            raise authorization_not_found()
        snapshot = await self._card(card_id, "network_reference")
        return Found(
            hold=HoldReference(
                authorization_id=target.authorization_id,
                principal=owner,
                network=network,
                seed=seed,
                windows=windows,
            ),
            subject=snapshot.subject,
            snapshot=snapshot,
            create=create,
        )

    async def _card(self, card_id: str, field: str) -> Snapshot:
        snapshot = await self._store.snapshot(card_id)
        if snapshot is None:
            # Only a declined authorization of an unknown card has no account.
            raise NotFound("no such card", reason="CARD_NOT_FOUND", metadata={"field": field})
        return snapshot

    def _clearing_key(self, subject: Subject, network: str, asked: Capture | Refund) -> str:
        clearing = asked.clearing
        scope = network or asked.principal
        return keys.clearing(subject.tag, scope, clearing.reference, clearing.sequence)

    async def _settled_before(
        self, asked: Later, subject: Subject, network: str = ""
    ) -> Movement | None:
        """The answer of an earlier request whose record has expired: the ledger never forgets.

        Valkey is asked first: a record that is there is answered by the script.
        """
        names = [keys.request(subject.tag, asked.principal, asked.request_id)]
        clearing = asked.clearing if isinstance(asked, Capture | Refund) else Clearing()
        if isinstance(asked, Capture | Refund) and clearing.reference:
            names.append(self._clearing_key(subject, network, asked))
        if any(await self._store.known(*names)):
            return None
        row = await settled_request(self._ledger, asked)
        if row is None and clearing.reference:
            row = await ask(
                self._ledger.find_clearing(
                    ids.partition_of(subject.account_id),
                    network,
                    clearing.reference,
                    clearing.sequence,
                    asked.principal,
                )
            )
            if row is not None and row["clearing_fingerprint"] != clearing.fingerprint:
                raise refusal(Status.CLEARING_REUSED, asked.request_id)
        if row is None:
            return None
        return Movement(outcome=outcome_of(row), currency_code=subject.currency_code, replayed=True)
