"""Journal entries to rows of the ledger. Pure: what the settler writes is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from authz import ledger
from authz.entry import SCHEMA_VERSION, Entry
from authz.movement import owner_fields
from authz.outcome import EntryType, Outcome
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from runtime.clock import datetime_of
from runtime.validate import milliseconds

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
    "hold_reversed_minor", "hold_captured_minor", "hold_held_minor", "hold_flags", "expire_time",
    "authorization_code", "request",
)  # fmt: skip
LINE_COLUMNS = (
    "partition", "pseq", "line", "ledger_account", "account_id", "currency", "amount_minor",
)  # fmt: skip

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What the columns show of a request message. Empty: the request does not say."""

    requested_minor: int | None = None
    currency: str = ""
    network_transaction_id: str = ""
    clearing_reference: str = ""
    clearing_sequence: int | None = None
    stan: str = ""
    rrn: str = ""
    merchant_id: str = ""
    merchant_name: str = ""
    merchant_category_code: str = ""
    merchant_country: str = ""
    merchant_amount_minor: int | None = None
    merchant_currency: str = ""
    conversion_rate: str = ""
    transaction_at_ms: int | None = None
    effective_at_ms: int | None = None


def detail_of(entry: Entry) -> Detail:
    """Reads the request message of an entry."""
    match entry.outcome.type:
        case EntryType.AUTHORIZATION | EntryType.DECLINE:
            return _purchase(rpc.AuthorizeRequest.FromString(entry.request))
        case EntryType.CAPTURE:
            return _clearing(rpc.CaptureAuthorizationRequest.FromString(entry.request))
        case EntryType.REVERSAL:
            return _reversal(rpc.ReverseAuthorizationRequest.FromString(entry.request))
    return Detail()


def _purchase(request: rpc.AuthorizeRequest) -> Detail:
    transaction_at_ms = None
    for name in ("transaction_time", "transmission_time"):
        if request.HasField(name):
            transaction_at_ms = milliseconds(getattr(request, name))
            break
    foreign = request.HasField("merchant_amount")
    return Detail(
        requested_minor=request.amount.amount_minor,
        currency=request.amount.currency_code,
        network_transaction_id=request.network_data.transaction_id,
        stan=request.network_data.stan,
        rrn=request.network_data.rrn,
        merchant_id=request.merchant.id,
        merchant_name=request.merchant.descriptor,
        merchant_category_code=request.merchant.category_code,
        merchant_country=request.merchant.country_code,
        merchant_amount_minor=request.merchant_amount.amount_minor if foreign else None,
        merchant_currency=request.merchant_amount.currency_code,
        conversion_rate=request.conversion_rate,
        transaction_at_ms=transaction_at_ms,
        effective_at_ms=transaction_at_ms,
    )


def _clearing(request: rpc.CaptureAuthorizationRequest) -> Detail:
    foreign = request.HasField("merchant_amount")
    cleared = bool(request.clearing_reference)
    effective = request.HasField("effective_time")
    return Detail(
        requested_minor=request.amount.amount_minor,
        currency=request.amount.currency_code,
        network_transaction_id=request.network_reference.transaction_id,
        clearing_reference=request.clearing_reference,
        clearing_sequence=request.clearing_sequence if cleared else None,
        merchant_amount_minor=request.merchant_amount.amount_minor if foreign else None,
        merchant_currency=request.merchant_amount.currency_code,
        conversion_rate=request.conversion_rate,
        effective_at_ms=milliseconds(request.effective_time) if effective else None,
    )


def _reversal(request: rpc.ReverseAuthorizationRequest) -> Detail:
    partial = request.HasField("amount")
    return Detail(
        requested_minor=request.amount.amount_minor if partial else None,
        currency=request.amount.currency_code,
        network_transaction_id=request.network_reference.transaction_id,
    )


@dataclass(slots=True)
class Batch:
    """The rows of one settling transaction."""

    entries: list[Row] = field(default_factory=list)
    lines: list[Row] = field(default_factory=list)
    balances: dict[str, Row] = field(default_factory=dict)
    authorizations: dict[str, list[Any]] = field(default_factory=dict)
    totals: dict[tuple[int, str, str], list[int]] = field(default_factory=dict)

    def add(self, partition: int, entries: Iterable[Entry]) -> None:
        """Adds entries of one partition, in the order of their pseq."""
        for entry in entries:
            detail = detail_of(entry)
            currency = entry.header.currency or detail.currency
            self.entries.append(_entry_row(partition, entry, detail, currency))
            self._add_lines(partition, entry, currency)
            if entry.header.account_id:
                self.balances[entry.header.account_id] = _balance_row(partition, entry, currency)
            if entry.outcome.authorization_id:
                self._add_authorization(partition, entry, currency)

    def absorb(self, other: Batch) -> None:
        """Adds the rows of another partition's batch: the two share no key."""
        self.entries.extend(other.entries)
        self.lines.extend(other.lines)
        self.balances.update(other.balances)
        self.authorizations.update(other.authorizations)
        self.totals.update(other.totals)

    def _add_lines(self, partition: int, entry: Entry, currency: str) -> None:
        found = ledger.lines(entry.outcome)
        assert sum(line.amount_minor for line in found) == 0, "an entry's lines sum to zero"
        for number, line in enumerate(found):
            self.lines.append(
                (
                    partition,
                    entry.outcome.pseq,
                    number,
                    line.ledger_account,
                    entry.header.account_id,
                    currency,
                    line.amount_minor,
                )
            )
            total = self.totals.setdefault((partition, currency, line.ledger_account), [0, 0])
            total[0 if line.amount_minor > 0 else 1] += abs(line.amount_minor)

    def _add_authorization(self, partition: int, entry: Entry, currency: str) -> None:
        """The authorization after this entry; an earlier one of the batch keeps its origin."""
        outcome = entry.outcome
        decided = outcome.type in (EntryType.AUTHORIZATION, EntryType.DECLINE)
        previous = self.authorizations.get(outcome.authorization_id)
        row = _authorization_row(partition, entry, currency)
        row[12] = outcome.pseq if decided else None
        if previous is not None:
            row[2:6] = previous[2:6]
            row[11] = row[11] or previous[11]
            row[12] = previous[12] or row[12]
            row[13:15] = previous[13:15]
        self.authorizations[outcome.authorization_id] = row


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
        datetime_of(outcome.recorded_at_ms),
    )


def _authorization_row(partition: int, entry: Entry, currency: str) -> list[Any]:
    outcome, header = entry.outcome, entry.header
    recorded = datetime_of(outcome.recorded_at_ms)
    return [
        outcome.authorization_id,
        partition,
        header.principal,
        header.account_id or None,
        header.card_id,
        currency,
        outcome.hold_approved_minor,
        outcome.hold_reversed_minor,
        outcome.hold_captured_minor,
        outcome.hold_held_minor,
        outcome.hold_flags,
        _time(outcome.expire_at_ms),
        None,
        outcome.pseq,
        recorded,
        recorded,
    ]


def _time(ms: int | None) -> datetime | None:
    return datetime_of(ms) if ms else None


def _decision(outcome: Outcome) -> str | None:
    if outcome.type is EntryType.AUTHORIZATION:
        return "APPROVED"
    return "DECLINED" if outcome.type is EntryType.DECLINE else None


def _entry_row(partition: int, entry: Entry, detail: Detail, currency: str) -> Row:
    outcome, header = entry.outcome, entry.header
    user_id, company_id = owner_fields(header.owner_id)
    recorded = datetime_of(outcome.recorded_at_ms)
    return (
        partition,
        outcome.pseq,
        header.id,
        SCHEMA_VERSION,
        outcome.epoch,
        outcome.seq,
        outcome.type.value,
        header.principal,
        header.request_id,
        header.fingerprint,
        header.programme_id or None,
        company_id,
        user_id,
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
        _time(detail.transaction_at_ms),
        _time(detail.effective_at_ms) or recorded,
        recorded,
        "purchase" if outcome.type is EntryType.CAPTURE else None,
        _decision(outcome),
        outcome.reason,
        header.decided_by or None,
        outcome.limit_minor,
        outcome.posted_minor,
        outcome.held_minor,
        outcome.unreleased_minor,
        outcome.hold_approved_minor,
        outcome.hold_reversed_minor,
        outcome.hold_captured_minor,
        outcome.hold_held_minor,
        outcome.hold_flags,
        _time(outcome.expire_at_ms),
        outcome.authorization_code or None,
        entry.request,
    )
