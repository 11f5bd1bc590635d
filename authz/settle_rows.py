"""Journal entries to rows of the ledger. Pure: what the settler writes is decided here.

Times are milliseconds since 1970, also where the column is a timestamp (`settle_store.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from authz import keys, ledger
from authz.entry import SCHEMA_VERSION, Entry
from authz.movement import owner_fields
from authz.outcome import APPROVALS, DECISIONS, DECLINES, EntryType
from authz.settle_detail import Detail, detail_of

#: Columns of journal_entry that one row of `_entry_row` fills, in order.
ENTRY_COLUMNS = (
    "partition", "pseq", "id", "schema_version", "epoch", "seq", "type", "principal",
    "request_id", "fingerprint", "programme_id", "company_id", "user_id", "account_id", "card_id",
    "root_card_id", "authorization_id", "network", "network_transaction_id", "clearing_reference",
    "clearing_sequence", "stan", "rrn", "merchant_id", "merchant_name", "merchant_category_code",
    "merchant_country", "merchant_amount_minor", "merchant_currency", "conversion_rate",
    "currency", "requested_minor", "amount_minor", "transaction_time", "effective_time",
    "recorded_time", "balance_category", "decision", "decline_reason", "decided_by",
    "limit_minor", "posted_minor", "held_minor", "unreleased_minor", "hold_approved_minor",
    "hold_reversed_minor", "hold_captured_minor", "hold_held_minor",
    "hold_refunded_minor", "hold_flags", "expire_time", "authorization_code", "payment_id",
    "related_entry_id", "clearing_fingerprint", "request", "control", "control_left_minor",
    "control_left_count", "hold_windows", "external_reason", "late",
)  # fmt: skip
LINE_COLUMNS = (
    "partition", "pseq", "line", "ledger_account", "account_id", "currency", "amount_minor",
)  # fmt: skip

Row = tuple[Any, ...]


#: What an entry makes of its payment, or of its refund: a payment in the other direction.
PAYMENT_STATES = {
    EntryType.PAYMENT_CREDIT: "CREDITED",
    EntryType.PAYMENT_RELEASE: "RELEASED",
    EntryType.PAYMENT_RETURN: "RETURNED",
    EntryType.PAYMENT_RETURN_RELEASED: "RETURNED",
    EntryType.PAYMENT_REFUND: "DEBITED",
    EntryType.PAYMENT_REFUND_REVERSAL: "PUT_BACK",
}


class AuthorizationRow(NamedTuple):
    """One authorization after an entry, by the names of its columns."""

    id: str
    partition: int
    principal: str
    account_id: str | None
    card_id: str
    currency: str
    approved_minor: int
    reversed_minor: int
    captured_minor: int
    held_minor: int
    refunded_minor: int
    flags: str
    expire_time: int | None
    decision_pseq: int | None
    first_pseq: int
    create_time: int
    update_time: int
    windows: str


@dataclass(slots=True)
class Batch:
    """The rows of one settling transaction."""

    entries: list[Row] = field(default_factory=list)
    lines: list[Row] = field(default_factory=list)
    balances: dict[str, Row] = field(default_factory=dict)
    authorizations: dict[str, AuthorizationRow] = field(default_factory=dict)
    payments: dict[str, Row] = field(default_factory=dict)
    totals: dict[tuple[int, str, str], list[int]] = field(default_factory=dict)

    def add(self, partition: int, entries: Iterable[Entry]) -> None:
        """Adds entries of one partition, in the order of their pseq."""
        for entry in entries:
            outcome, header, detail = entry.outcome, entry.header, detail_of(entry)
            currency = header.currency or detail.currency
            lines = ledger.lines(outcome, detail.category)
            category = detail.category if lines else None
            self.entries.append(_entry_row(partition, entry, detail, currency, category))
            if lines:
                self._add_lines(partition, entry, currency, lines)
            if header.account_id:
                self.balances[header.account_id] = _balance_row(partition, entry, currency)
            if outcome.authorization_id:
                self._add_authorization(partition, entry, currency)
            if detail.payment_id:
                self._add_payment(entry, detail)

    def absorb(self, other: Batch) -> None:
        """Adds the rows of another partition's batch: the two share no key."""
        self.entries.extend(other.entries)
        self.lines.extend(other.lines)
        self.balances.update(other.balances)
        self.authorizations.update(other.authorizations)
        self.payments.update(other.payments)
        self.totals.update(other.totals)

    def _add_lines(
        self, partition: int, entry: Entry, currency: str, lines: Sequence[ledger.Line]
    ) -> None:
        assert sum(amount for _, amount in lines) == 0, "an entry's lines sum to zero"
        pseq, account_id = entry.outcome.pseq, entry.header.account_id
        for number, (code, amount) in enumerate(lines):
            self.lines.append((partition, pseq, number, code, account_id, currency, amount))
            total = self.totals.setdefault((partition, currency, code), [0, 0])
            total[0 if amount > 0 else 1] += abs(amount)

    def _add_authorization(self, partition: int, entry: Entry, currency: str) -> None:
        """The authorization after this entry; an earlier one of the batch keeps its origin."""
        row = _authorization_row(partition, entry, currency)
        previous = self.authorizations.get(row.id)
        if previous is not None:
            row = row._replace(
                principal=previous.principal,
                account_id=previous.account_id,
                card_id=previous.card_id,
                currency=previous.currency,
                expire_time=row.expire_time or previous.expire_time,
                decision_pseq=previous.decision_pseq or row.decision_pseq,
                first_pseq=previous.first_pseq,
                create_time=previous.create_time,
            )
        self.authorizations[row.id] = row

    def _add_payment(self, entry: Entry, detail: Detail) -> None:
        outcome = entry.outcome
        name = detail.refund_id or detail.payment_id
        self.payments[name] = (
            name,
            entry.header.account_id,
            outcome.amount_minor,
            PAYMENT_STATES[outcome.type],
            outcome.recorded_at_ms,
        )


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as columns, for `unnest`."""
    return [[row[index] for row in rows] for index in range(width)]


def _balance_row(partition: int, entry: Entry, currency: str) -> Row:
    outcome = entry.outcome
    return (
        entry.header.account_id,
        partition,
        currency,
        outcome.seq,
        outcome.limit_minor,
        outcome.posted_minor,
        outcome.held_minor,
        outcome.unreleased_minor,
        outcome.recorded_at_ms,
    )


def _authorization_row(partition: int, entry: Entry, currency: str) -> AuthorizationRow:
    outcome, header = entry.outcome, entry.header
    return AuthorizationRow(
        id=outcome.authorization_id,
        partition=partition,
        principal=header.principal,
        account_id=header.account_id or None,
        card_id=header.card_id,
        currency=currency,
        approved_minor=outcome.hold_approved_minor,
        reversed_minor=outcome.hold_reversed_minor,
        captured_minor=outcome.hold_captured_minor,
        held_minor=outcome.hold_held_minor,
        refunded_minor=outcome.hold_refunded_minor,
        flags=outcome.hold_flags,
        expire_time=outcome.expire_at_ms or None,
        decision_pseq=outcome.pseq if outcome.type in DECISIONS else None,
        first_pseq=outcome.pseq,
        create_time=outcome.recorded_at_ms,
        update_time=outcome.recorded_at_ms,
        windows=outcome.hold_windows,
    )


def _decision(kind: EntryType) -> str | None:
    if kind in DECLINES:
        return "DECLINED"
    return "APPROVED" if kind in APPROVALS else None


def _entry_row(
    partition: int, entry: Entry, detail: Detail, currency: str, category: str | None
) -> Row:
    outcome, header = entry.outcome, entry.header
    user_id, company_id = owner_fields(header.owner_id)
    return (
        partition,
        outcome.pseq,
        header.id_in(keys.TAGS[partition]),
        SCHEMA_VERSION,
        outcome.epoch,
        outcome.seq,
        outcome.type,
        header.principal,
        header.request_id,
        header.fingerprint,
        header.programme_id or None,
        company_id,
        header.user_id or user_id,
        header.account_id or None,
        header.card_id or None,
        header.root_card_id or None,
        outcome.authorization_id or None,
        header.network or None,
        detail.network_transaction_id or None,
        detail.clearing_reference or None,
        detail.clearing_sequence,
        detail.stan or None,
        detail.rrn or None,
        detail.merchant_id or None,
        detail.merchant_name or None,
        detail.merchant_category_code or None,
        detail.merchant_country or None,
        detail.merchant_amount_minor,
        detail.merchant_currency or None,
        detail.conversion_rate or None,
        currency or None,
        detail.requested_minor,
        outcome.amount_minor,
        detail.transaction_at_ms or None,
        detail.effective_at_ms or outcome.recorded_at_ms,
        outcome.recorded_at_ms,
        category,
        _decision(outcome.type),
        outcome.reason,
        entry.decided_by or None,
        outcome.limit_minor,
        outcome.posted_minor,
        outcome.held_minor,
        outcome.unreleased_minor,
        outcome.hold_approved_minor,
        outcome.hold_reversed_minor,
        outcome.hold_captured_minor,
        outcome.hold_held_minor,
        outcome.hold_refunded_minor,
        outcome.hold_flags,
        outcome.expire_at_ms or None,
        outcome.authorization_code or None,
        detail.payment_id or None,
        detail.related_entry_id or None,
        header.clearing_fingerprint or None,
        entry.request,
        outcome.control,
        outcome.control_left_minor,
        outcome.control_left_count,
        outcome.hold_windows,
        header.external_reason,
        header.late,
    )
