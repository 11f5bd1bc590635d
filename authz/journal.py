"""One account's entries as people read them: those in the ledger, and those not yet settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from authz import entry, keys, ledger
from authz.decision import Reason
from authz.ledger_store import LedgerStore, outcome_of
from authz.outcome import Outcome
from authz.settle_detail import detail_of
from runtime import ids, redis
from runtime.settings import Settings

#: Entries of a stream that one round trip reads.
PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One money line; positive is a debit."""

    ledger_account: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One entry of an account, with its balances after it."""

    seq: int
    pseq: int
    settled: bool
    recorded_at_ms: int
    type: str
    reason: str
    currency: str
    amount_minor: int
    limit_minor: int
    posted_minor: int
    held_minor: int
    unreleased_minor: int
    available_minor: int
    card_id: str
    authorization_id: str
    payment_id: str
    principal: str
    request_id: str
    decided_by: str
    external_reason: str
    lines: tuple[Line, ...]


async def account_journal(
    valkey: Redis, store: LedgerStore, account_id: str, *, limit: int
) -> list[JournalEntry]:
    """The last entries of an account, newest last. Empty if nobody knows it."""
    # What is settled meanwhile is found in both: the ledger is read last, and wins.
    waiting = await _unsettled(valkey, store, account_id)
    rows = await store.entries(account_id=account_id, before_seq=None, limit=limit)
    pseqs = [row["pseq"] for row in rows]
    lines: dict[int, list[Line]] = {pseq: [] for pseq in pseqs}
    for row in await store.lines(ids.partition_of(account_id), pseqs):
        line = Line(ledger_account=row["ledger_account"], amount_minor=row["amount_minor"])
        lines[row["pseq"]].append(line)
    found = {one.seq: one for one in waiting}
    found |= {row["seq"]: _settled(row, lines[row["pseq"]]) for row in rows}
    return [found[seq] for seq in sorted(found)][-limit:]


async def _unsettled(valkey: Redis, store: LedgerStore, account_id: str) -> list[JournalEntry]:
    partition = ids.partition_of(account_id)
    position = (await store.partitions())[partition].position
    found: list[JournalEntry] = []
    after = position
    while True:
        stream: Any = await valkey.xrange(
            keys.journal(keys.TAGS[partition]), min=f"({after}-0", max="+", count=PAGE
        )
        read = [entry.parse(fields[b"e"]) for _, fields in stream]
        found += [_waiting(one) for one in read if one.header.account_id == account_id]
        if len(read) < PAGE:
            return found
        after = read[-1].outcome.pseq


def _waiting(one: entry.Entry) -> JournalEntry:
    detail = detail_of(one)
    lines = [
        Line(ledger_account=line.ledger_account, amount_minor=line.amount_minor)
        for line in ledger.lines(one.outcome, detail.category)
    ]
    more = {
        "currency": one.header.currency,
        "card_id": one.header.card_id,
        "payment_id": detail.payment_id,
        "principal": one.header.principal,
        "request_id": one.header.request_id,
        "decided_by": one.decided_by,
        "external_reason": one.header.external_reason,
    }
    return _entry(one.outcome, more, lines, settled=False)


def _settled(row: Mapping[str, Any], lines: Sequence[Line]) -> JournalEntry:
    return _entry(outcome_of(row), row, lines, settled=True)


def _entry(
    outcome: Outcome, more: Mapping[str, Any], lines: Sequence[Line], *, settled: bool
) -> JournalEntry:
    return JournalEntry(
        seq=outcome.seq,
        pseq=outcome.pseq,
        settled=settled,
        recorded_at_ms=outcome.recorded_at_ms,
        type=outcome.type.name,
        reason=Reason(outcome.reason).name if outcome.reason else "",
        currency=more["currency"] or "",
        amount_minor=outcome.amount_minor,
        limit_minor=outcome.limit_minor,
        posted_minor=outcome.posted_minor,
        held_minor=outcome.held_minor,
        unreleased_minor=outcome.unreleased_minor,
        available_minor=outcome.available_minor,
        card_id=more["card_id"] or "",
        authorization_id=outcome.authorization_id,
        payment_id=more["payment_id"] or "",
        principal=more["principal"],
        request_id=more["request_id"],
        decided_by=more["decided_by"] or "",
        external_reason=more["external_reason"],
        lines=tuple(lines),
    )


async def read_journal(settings: Settings, account_id: str, *, limit: int) -> list[JournalEntry]:
    """The same of a running installation."""
    assert settings.redis_url is not None, "the settings are those of a running installation"
    store = LedgerStore(settings)
    try:
        async with redis.client(
            settings, settings.redis_url, server="valkey-money", user="operator"
        ) as valkey:
            return await account_journal(valkey, store, account_id, limit=limit)
    finally:
        await store.close()
