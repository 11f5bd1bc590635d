"""The flow of Authorize: snapshot, decision, one script; again if the snapshot was stale."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from authz import keys, scripts
from authz.commands import Authorize
from authz.convert_later import network_authorization_id
from authz.decision import Declined, Plan, Reason, decide
from authz.entry import Decider
from authz.expiry import expire_at_ms
from authz.external import OWN, Opinion, question_of
from authz.external_client import Consultation, ExternalDecisions
from authz.fraud import GUESSES, UNCHECKED, thresholds_of
from authz.lateness import lateness
from authz.ledger_store import LedgerStore, ask, outcome_of, settled_request
from authz.money_store import MoneyStore
from authz.movement import STALE_TRIES, Movement, check_currency, concluded, refusal
from authz.mover import NEW_HOLD, Counting, HoldReference, Mover, entry_id
from authz.outcome import EntryType, Outcome
from authz.scripts import Status
from authz.snapshot import UNKNOWN, Snapshot, Subject, limits_of
from authz.watch import Watch
from runtime import ids
from runtime.clock import Clock
from runtime.errors import NotFound, Unavailable
from runtime.ids import IdSource
from runtime.metrics import DECISIONS

#: A request sent this much less than a record's life ago may have lost its record: clocks differ.
OLD_REQUEST_MARGIN_MS = 3_600_000


class AuthorizeFlow:
    """Decides purchases."""

    def __init__(
        self,
        store: MoneyStore,
        ledger: LedgerStore,
        watch: Watch,
        mover: Mover,
        *,
        external: ExternalDecisions | None,
        clock: Clock,
        id_source: IdSource,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._watch = watch
        self._external = external
        self._clock = clock
        self._ids = id_source
        self._mover = mover

    async def run(self, command: Authorize) -> Movement:
        """Decides one purchase, or books an advice, durably."""
        if command.kind is EntryType.ADVICE:
            self._watch.admit_later_message()
        else:
            self._watch.admit()
        settled = await self._settled_before(command)
        if settled is not None:
            return settled
        if command.kind is EntryType.ADVICE:
            return await self._book(command)
        windows = ""
        consultation = await self._consultation(command) if self._external else None
        for _ in range(STALE_TRIES):
            snapshot = await self._store.snapshot(command.card_id)
            if snapshot is None:
                self._watch.admit_unknown_card(command.principal)
            now_ms = self._clock.now_ms()
            verdict = decide(command.purchase, snapshot, now_ms=now_ms)
            opinion = OWN
            if consultation is not None and snapshot is not None and isinstance(verdict, Plan):
                name = entry_id(ids.tag_of(command.card_id), command)
                opinion = await consultation.on(question_of(command, snapshot, name))
                verdict = Declined(reason=opinion.reason) if opinion.reason else verdict
            movement = await self._commit(
                command, snapshot, verdict, windows, opinion=opinion, now_ms=now_ms
            )
            if movement is not None:
                _count(movement)
                return movement
            self._store.forget(command.card_id)
            windows = await self._windows(command)
        raise Unavailable("the card's configuration changes too fast", reason="SNAPSHOT_STALE")

    async def _commit(
        self,
        command: Authorize,
        snapshot: Snapshot | None,
        verdict: Declined | Plan,
        windows: str,
        *,
        opinion: Opinion,
        now_ms: int,
    ) -> Movement | None:
        """Runs the script; None if the snapshot was stale."""
        tag = ids.tag_of(command.card_id)
        subject = snapshot.subject if snapshot else Subject(tag=tag, card_id=command.card_id)
        fence = snapshot.fence if snapshot else UNKNOWN
        plan = verdict if isinstance(verdict, Plan) else None
        reason, counting = Reason.NONE, Counting()
        if isinstance(verdict, Declined):
            reason = verdict.reason
            counting = Counting(control=verdict.control, left_minor=verdict.left_minor)
        else:
            counting = Counting(uses=verdict.uses)
        status, outcome = await self._mover.run(
            scripts.PLACE_HOLD,
            command,
            subject,
            hold=self._hold(command, windows),
            extra_keys=(
                keys.card(command.card_id),
                keys.learned(subject.root_card_id or command.card_id),
                keys.recent(subject.root_card_id or command.card_id),
            ),
            arguments=(
                fence.versions,
                fence.user_field,
                str(int(reason)),
                str(command.purchase.amount_minor),
                str(plan.expire_at_ms if plan else 0),
                self._code(command),
                "1" if plan and plan.partial_approval else "0",
                "1" if plan and plan.single_use else "0",
                "1" if command.kind is EntryType.FINANCIAL else "0",
                command.merchant_amount,
                f"{command.merchant}\n{plan.merchant_lock}" if plan and plan.merchant_lock else "",
                fence.programme_field,
                fence.company_field,
                _thresholds(command, snapshot, reason),
                "1" if command.cash else "0",
            ),
            decided_by=opinion.decider,
            external_reason=opinion.words,
            now_ms=now_ms,
            counting=counting,
        )
        if status is Status.STALE:
            return None
        if outcome is None:
            raise refusal(status, command.request_id)
        return self._movement(
            command, subject.currency_code, outcome, replayed=status is Status.REPLAYED
        )

    async def _book(self, command: Authorize) -> Movement:
        """Books what the network has decided: nothing but an unknown card can stop it."""
        for _ in range(STALE_TRIES):
            snapshot = await self._store.snapshot(command.card_id)
            if snapshot is None:
                raise NotFound(
                    "no such card", reason="CARD_NOT_FOUND", metadata={"field": "card_id"}
                )
            check_currency(command.purchase.currency_code, snapshot.account.currency_code)
            now_ms = self._clock.now_ms()
            expire_at = expire_at_ms(command.purchase.circumstances, now_ms=now_ms)
            place, fence = command.purchase.place, snapshot.fence
            status, outcome = await self._mover.run(
                scripts.BOOK_ADVICE,
                command,
                snapshot.subject,
                hold=await self._known_hold(command),
                extra_keys=(keys.learned(snapshot.card.root_card_id), keys.card(command.card_id)),
                arguments=(
                    str(command.purchase.amount_minor),
                    str(expire_at),
                    self._code(command),
                    str(command.transmitted_at_ms or now_ms),
                    command.merchant_amount,
                    "1" if snapshot.card.single_use else "0",
                    fence.versions,
                    fence.user_field,
                    fence.programme_field,
                    fence.company_field,
                    "1" if command.cash else "0",
                ),
                decided_by=Decider.NETWORK,
                late=lateness(snapshot.account.state, snapshot.card.state),
                counting=Counting(uses=limits_of(snapshot.scopes, place, now_ms=now_ms)),
            )
            if status is not Status.STALE:
                currency = snapshot.account.currency_code
                return concluded(status, outcome, command.request_id, currency)
            self._store.forget(command.card_id)
        raise Unavailable("the authorization changes too fast", reason="SNAPSHOT_STALE")

    async def _consultation(self, command: Authorize) -> Consultation | None:
        """None if nobody is to be asked: an inquiry asks for nothing, and what was decided before
        is answered by its record.
        """
        assert self._external is not None, "there is somebody to ask"
        record = keys.request(ids.tag_of(command.card_id), command.principal, command.request_id)
        if command.inquiry or (await self._store.known(record))[0]:
            return None
        return Consultation(self._external)

    def _code(self, command: Authorize) -> str:
        return command.authorization_code or self._ids.authorization_code()

    def _hold(self, command: Authorize, windows: str) -> HoldReference:
        return HoldReference(
            authorization_id=self._authorization_id(command),
            network=command.network,
            seed="" if command.transaction_id else NEW_HOLD,
            windows=windows,
        )

    async def _windows(self, command: Authorize) -> str:
        """Where an authorization counts that a later message has created before."""
        if not command.transaction_id:
            return ""
        found = await self._store.hold(self._authorization_id(command))
        return found.windows if found is not None else ""

    async def _known_hold(self, command: Authorize) -> HoldReference:
        """As `_hold`; one that only the ledger still has starts from there."""
        hold = self._hold(command, "")
        if not command.transaction_id:
            return hold
        stored = await self._store.hold(hold.authorization_id)
        if stored is not None:
            return replace(hold, windows=stored.windows)
        row = await ask(self._ledger.authorization(hold.authorization_id))
        if row is None:
            return hold
        seed = await ask(self._ledger.seed(row))
        return replace(hold, seed=seed, windows=row["windows"])

    def _movement(
        self, command: Authorize, currency_code: str, outcome: Outcome, *, replayed: bool
    ) -> Movement:
        """An entry without seq has no account, then as now: it is told in the asked currency."""
        currency = currency_code if outcome.seq else command.purchase.currency_code
        return Movement(outcome=outcome, currency_code=currency, replayed=replayed)

    async def _settled_before(self, command: Authorize) -> Movement | None:
        """The answer of a request that is old enough for its record to have expired: the ledger
        never forgets. A younger one is Valkey's alone, and never waits for PostgreSQL. What posts
        or books and does not say when it was sent may be of any age.
        """
        sent_at_ms = command.transmitted_at_ms
        if sent_at_ms is None and command.kind is EntryType.AUTHORIZATION:
            return None
        age_max_ms = self._mover.record_ttl_ms - OLD_REQUEST_MARGIN_MS
        if sent_at_ms is not None and self._clock.now_ms() - sent_at_ms < age_max_ms:
            return None
        tag = ids.tag_of(command.card_id)
        if (await self._store.known(keys.request(tag, command.principal, command.request_id)))[0]:
            return None
        row = await settled_request(self._ledger, command)
        if row is None:
            return None
        return self._movement(command, row["currency"] or "", outcome_of(row), replayed=True)

    def _authorization_id(self, command: Authorize) -> str:
        if command.transaction_id:
            return network_authorization_id(
                command.principal, command.card_id, command.network, command.transaction_id
            )
        return self._ids.new(ids.AUTHORIZATION, ids.partition_of(command.card_id))


def _thresholds(command: Authorize, snapshot: Snapshot | None, reason: Reason) -> str:
    """What the checks against fraud need; nothing where the decision stands whatever they find."""
    if snapshot is None or (reason is not Reason.NONE and reason not in GUESSES):
        return UNCHECKED
    return snapshot.plain_thresholds or thresholds_of(
        snapshot.fraud_checks, command.purchase.place, command.merchant
    )


def _count(movement: Movement) -> None:
    if not movement.replayed:
        _counter(movement.outcome.reason).inc()


@cache
def _counter(reason: int) -> Any:
    return DECISIONS.labels("DECLINED" if reason else "APPROVED", Reason(reason).name)
