"""The flow of Authorize: snapshot, decision, one script; again if the snapshot was stale."""

from __future__ import annotations

from authz import keys, scripts
from authz.commands import Authorize
from authz.convert import network_authorization_id
from authz.decision import Declined, Plan, Reason, Snapshot, decide
from authz.entry import Header, static_part
from authz.ledger_store import LedgerStore, ask, outcome_of
from authz.money_store import MoneyStore
from authz.movement import Movement, refusal
from authz.outcome import Outcome
from authz.scripts import Status
from authz.watch import Watch
from runtime import ids
from runtime.clock import Clock
from runtime.errors import RequestIdReused, Unavailable
from runtime.ids import IdSource
from runtime.metrics import DECISIONS

#: How often a decision is made again because its snapshot was stale. Each try reads anew, so only a
#: configuration that changes all the time can exhaust it.
STALE_TRIES = 5
#: A request sent this much less than a record's life ago may have lost its record: clocks differ.
OLD_REQUEST_MARGIN_MS = 3_600_000


class AuthorizeFlow:
    """Decides purchases."""

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

    async def run(self, command: Authorize) -> Movement:
        """Decides one purchase, durably."""
        self._watch.admit()
        settled = await self._settled_before(command)
        if settled is not None:
            return settled
        for _ in range(STALE_TRIES):
            snapshot = await self._store.snapshot(command.card_id)
            if snapshot is None:
                self._watch.admit_unknown_card(command.principal)
            now_ms = self._clock.now_ms()
            verdict = decide(command.purchase, snapshot, now_ms=now_ms)
            movement = await self._commit(command, snapshot, verdict, now_ms=now_ms)
            if movement is not None:
                _count(movement)
                return movement
            self._store.forget(command.card_id)
        raise Unavailable("the card's configuration changes too fast", reason="SNAPSHOT_STALE")

    async def _commit(
        self,
        command: Authorize,
        snapshot: Snapshot | None,
        verdict: Declined | Plan,
        *,
        now_ms: int,
    ) -> Movement | None:
        """Runs the script; None if the snapshot was stale."""
        tag = ids.tag_of(command.card_id)
        authorization_id = self._authorization_id(command)
        header = self._header(command, snapshot)
        account_id = header.account_id or f"{ids.ACCOUNT}_{tag}-"
        root_card_id = header.root_card_id or command.card_id
        key_names = (
            keys.meta(tag),
            keys.request(tag, command.principal, command.request_id),
            keys.card(command.card_id),
            keys.account(account_id),
            keys.hold(authorization_id),
            keys.learned(root_card_id),
            keys.expiry(tag),
            keys.journal(tag),
        )
        plan = verdict if isinstance(verdict, Plan) else None
        reason = verdict.reason if isinstance(verdict, Declined) else Reason.NONE
        code = command.authorization_code or self._ids.authorization_code()
        status, outcome = await self._store.move(
            scripts.PLACE_HOLD,
            key_names,
            (
                command.fingerprint,
                str(now_ms),
                str(self._record_ttl_ms),
                str(snapshot.card.version if snapshot else 0),
                str(snapshot.account.version if snapshot else 0),
                authorization_id,
                str(int(reason)),
                str(command.purchase.amount_minor),
                "1" if plan and plan.partial_approval else "0",
                "1" if plan and plan.single_use else "0",
                str(plan.expire_at_ms if plan else 0),
                code,
                command.principal,
                header.account_id,
                command.card_id,
                command.network,
                static_part(header, command.raw),
                str(self._retention_ms),
            ),
        )
        if status is Status.STALE:
            return None
        if outcome is None:
            raise refusal(status, header)
        return self._movement(command, header.currency, outcome, replayed=status is Status.REPLAYED)

    def _movement(
        self, command: Authorize, currency_code: str, outcome: Outcome, *, replayed: bool
    ) -> Movement:
        """An entry without seq has no account, then as now: it is told in the asked currency."""
        currency = currency_code if outcome.seq else command.purchase.currency_code
        return Movement(outcome=outcome, currency_code=currency, replayed=replayed)

    async def _settled_before(self, command: Authorize) -> Movement | None:
        """The answer of a request that is old enough for its record to have expired: the ledger
        never forgets. A younger one is Valkey's alone, and never waits for PostgreSQL.
        """
        sent_at_ms = command.transmitted_at_ms
        age_max_ms = self._record_ttl_ms - OLD_REQUEST_MARGIN_MS
        if sent_at_ms is None or self._clock.now_ms() - sent_at_ms < age_max_ms:
            return None
        tag = ids.tag_of(command.card_id)
        if (await self._store.known(keys.request(tag, command.principal, command.request_id)))[0]:
            return None
        row = await ask(
            self._ledger.find_request(command.principal, command.request_id, command.fingerprint)
        )
        if row is None:
            return None
        if row["fingerprint"] != command.fingerprint:
            raise RequestIdReused(command.request_id)
        return self._movement(command, row["currency"] or "", outcome_of(row), replayed=True)

    def _authorization_id(self, command: Authorize) -> str:
        if command.transaction_id:
            return network_authorization_id(
                command.principal, command.card_id, command.network, command.transaction_id
            )
        return self._ids.new(ids.AUTHORIZATION, ids.partition_of(command.card_id))

    def _header(self, command: Authorize, snapshot: Snapshot | None) -> Header:
        partition = ids.partition_of(command.card_id)
        return Header(
            id=self._ids.new(ids.ENTRY, partition),
            principal=command.principal,
            request_id=command.request_id,
            fingerprint=command.fingerprint,
            account_id=snapshot.account.account_id if snapshot else "",
            card_id=command.card_id,
            root_card_id=snapshot.card.root_card_id if snapshot else "",
            owner_id=snapshot.account.owner_id if snapshot else "",
            programme_id=snapshot.account.programme_id if snapshot else "",
            currency=snapshot.account.currency_code if snapshot else "",
            network=command.network,
            decided_by="holdfast",
        )


def _count(movement: Movement) -> None:
    if not movement.replayed:
        reason = Reason(movement.outcome.reason)
        decision = "DECLINED" if reason else "APPROVED"
        DECISIONS.labels(decision, reason.name).inc()
