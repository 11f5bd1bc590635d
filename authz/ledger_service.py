"""LedgerService: reads the double-entry ledger."""

from __future__ import annotations

from typing import Any

import grpc

from authz.ledger_store import LedgerStore, ask
from authz.outcome import DECISIONS, EntryType
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import ledger_pb2 as pb
from holdfast.authz.v1 import ledger_service_pb2 as ledger_rpc
from holdfast.authz.v1 import ledger_service_pb2_grpc as ledger_rpc_grpc
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import ms_of
from runtime.money import is_currency
from runtime.paging import Position, page_of
from runtime.validate import Violations, timestamp

Context = grpc.aio.ServicerContext[Any, Any]

#: A return is told in two ways in the journal, and in one to readers.
RETURNED = EntryType.PAYMENT_RETURN_RELEASED
_TYPES = {
    kind: getattr(pb.Entry, f"TYPE_{kind.name}") for kind in EntryType if kind is not RETURNED
}
_TYPES[RETURNED] = pb.Entry.TYPE_PAYMENT_RETURN


class LedgerService(ledger_rpc_grpc.LedgerServiceServicer):
    """Reads what the settler wrote."""

    def __init__(self, ledger: LedgerStore) -> None:
        self._ledger = ledger

    async def ListEntries(
        self, request: ledger_rpc.ListEntriesRequest, context: Context
    ) -> ledger_rpc.ListEntriesResponse:
        """Lists an account's settled entries, highest seq first."""
        check = Violations()
        check.id("account_id", request.account_id, ids.ACCOUNT)
        page = page_of(
            request.page_size,
            request.page_token,
            scope=f"entries|{request.account_id}",
            violations=check,
        )
        check.raise_if_any()
        rows = await ask(
            self._ledger.entries(
                account_id=request.account_id,
                before_seq=page.after.key if page.after else None,
                limit=page.fetch,
            )
        )
        shown, more = page.cut(rows)
        partition = ids.partition_of(request.account_id)
        lines: dict[int, list[pb.Line]] = {}
        for line in await ask(self._ledger.lines(partition, [row["pseq"] for row in shown])):
            amount = Money(currency_code=line["currency"], amount_minor=line["amount_minor"])
            lines.setdefault(line["pseq"], []).append(
                pb.Line(ledger_account=line["ledger_account"], amount=amount)
            )
        return ledger_rpc.ListEntriesResponse(
            entries=[_entry(row, lines.get(row["pseq"], [])) for row in shown],
            next_page_token=page.token_after(Position(shown[-1]["seq"], "")) if more else "",
        )

    async def GetTrialBalance(
        self, request: ledger_rpc.GetTrialBalanceRequest, context: Context
    ) -> ledger_rpc.GetTrialBalanceResponse:
        """Returns totals of every ledger account."""
        check = Violations()
        if request.currency_code and not is_currency(request.currency_code):
            check.add("currency_code", "must be an ISO 4217 currency code, e.g. USD")
        check.raise_if_any()
        rows = await ask(self._ledger.trial_balance(request.currency_code or None))
        return ledger_rpc.GetTrialBalanceResponse(
            rows=[_trial_row(row) for row in rows],
            entry_count=await ask(self._ledger.entry_count()),
        )


def _trial_row(row: Any) -> pb.TrialBalanceRow:
    currency, debit, credit = row["currency"], row["debit_minor"], row["credit_minor"]
    return pb.TrialBalanceRow(
        ledger_account=row["ledger_account"],
        debit=Money(currency_code=currency, amount_minor=debit),
        credit=Money(currency_code=currency, amount_minor=credit),
        balance=Money(currency_code=currency, amount_minor=debit - credit),
    )


def _entry(row: Any, lines: list[pb.Line]) -> pb.Entry:
    kind = EntryType(row["type"])

    def money(name: str) -> Money:
        return Money(currency_code=row["currency"] or "", amount_minor=row[f"{name}_minor"])

    entry = pb.Entry(
        id=row["id"],
        partition=row["partition"],
        pseq=row["pseq"],
        seq=row["seq"],
        type=_TYPES[kind],
        account_id=row["account_id"] or "",
        card_id=row["card_id"] or "",
        authorization_id=row["authorization_id"] or "",
        principal=row["principal"],
        request_id=row["request_id"],
        amount=money("amount"),
        decline_reason=DeclineReason.ValueType(row["decline_reason"]),
        credit_limit=money("limit"),
        posted=money("posted"),
        held=money("held"),
        unreleased=money("unreleased"),
        effective_time=timestamp(ms_of(row["effective_time"])),
        record_time=timestamp(ms_of(row["recorded_time"])),
        lines=lines,
        decider=row["decided_by"] or "",
        external_reason=row["external_reason"],
    )
    if kind in DECISIONS:
        request = rpc.AuthorizeRequest.FromString(row["request"])
        entry.merchant.CopyFrom(request.merchant)
    elif kind is EntryType.FORCE_POST:
        forced = movements.ForcePostRequest.FromString(row["request"])
        entry.merchant.CopyFrom(forced.merchant)
    return entry
