"""LedgerService: reads the double-entry ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import grpc

from authz.hold import Hold
from authz.ledger_store import LedgerStore, ask
from authz.movement import authorization_not_found
from authz.outcome import DECISIONS, DECLINES, EntryType
from authz.watch import Watch
from holdfast.authz.v1 import authorization_service_pb2 as rpc
from holdfast.authz.v1 import ledger_pb2 as pb
from holdfast.authz.v1 import ledger_service_pb2 as ledger_rpc
from holdfast.authz.v1 import ledger_service_pb2_grpc as ledger_rpc_grpc
from holdfast.authz.v1 import movement_pb2 as movements
from holdfast.authz.v1.decline_reason_pb2 import DeclineReason
from holdfast.type.v1.money_pb2 import Money
from runtime import ids
from runtime.clock import datetime_of, ms_of
from runtime.errors import FailedPrecondition
from runtime.identity import current_identity
from runtime.money import is_currency
from runtime.paging import Position, page_of
from runtime.settings import PARTITIONS
from runtime.validate import Violations, timestamp

#: Entries of one answer to a follower.
FOLLOW_DEFAULT = 1_000
FOLLOW_MAX = 2_000
#: Entries that are put together before whoever authorizes in this process has its turn, and how
#: long that is: a whole page at once would let them wait for tens of milliseconds.
TURN = 16
TURN_OF_OTHERS_S = 0.001

Context = grpc.aio.ServicerContext[Any, Any]

#: A return is told in two ways in the journal, and in one to readers.
RETURNED = EntryType.PAYMENT_RETURN_RELEASED
_TYPES = {
    kind: getattr(pb.Entry, f"TYPE_{kind.name}") for kind in EntryType if kind is not RETURNED
}
_TYPES[RETURNED] = pb.Entry.TYPE_PAYMENT_RETURN
#: What may come after reversals of it, and say how much is approved.
_REVERSIBLE = frozenset({EntryType.AUTHORIZATION, EntryType.ADVICE, EntryType.INCREMENT})


class LedgerService(ledger_rpc_grpc.LedgerServiceServicer):
    """Reads what the settler wrote."""

    def __init__(self, ledger: LedgerStore, watch: Watch) -> None:
        self._ledger = ledger
        self._watch = watch

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
            lines.setdefault(line["pseq"], []).append(_line(line))
        entries = [_entry(row, lines.get(row["pseq"], [])) for row in shown]
        if not current_identity().sees_everything:
            # What the issuer thinks of a cardholder is nobody else's business.
            for one in entries:
                one.ClearField("external_reason")
        return ledger_rpc.ListEntriesResponse(
            entries=entries,
            next_page_token=page.token_after(Position(shown[-1]["seq"], "")) if more else "",
        )

    async def FollowEntries(
        self, request: ledger_rpc.FollowEntriesRequest, context: Context
    ) -> ledger_rpc.FollowEntriesResponse:
        """Returns what was settled after positions."""
        check = Violations()
        _check_positions(request, check)
        if not 0 <= request.page_size <= FOLLOW_MAX:
            check.add("page_size", f"must be 1 to {FOLLOW_MAX}")
        check.raise_if_any()
        each = max((request.page_size or FOLLOW_DEFAULT) // len(request.after), 1)
        positions = [(one.partition, one.pseq) for one in request.after]
        reached: dict[int, int] = {}
        # Before the ledger is asked: what was settled by then is in the answer.
        until_ms = self._watch.settled_until_ms
        settled_until = None if until_ms is None else timestamp(until_ms)
        if request.posted_only:
            # Asked first: what is settled meanwhile is for the next answer.
            reached = await ask(self._ledger.settled([partition for partition, _ in positions]))
            if any(reached.get(partition, 0) < pseq for partition, pseq in positions):
                raise FailedPrecondition(
                    "the ledger does not reach this position any more", reason="LEDGER_SET_BACK"
                )
            if all(reached.get(partition, 0) == pseq for partition, pseq in positions):
                return ledger_rpc.FollowEntriesResponse(settled_until=settled_until)
            rows = await ask(self._ledger.posted_after(positions, reached, limit_each=each))
        else:
            rows = await ask(self._ledger.entries_after(positions, limit_each=each))
        counts = Counter(row["partition"] for row in rows)
        for row in rows:
            if not request.posted_only or counts[row["partition"]] == each:
                reached[row["partition"]] = row["pseq"]
        before = dict(positions)
        return ledger_rpc.FollowEntriesResponse(
            entries=await self._with_lines(rows),
            more=any(count == each for count in counts.values()),
            reached=[
                ledger_rpc.EntryPosition(partition=partition, pseq=pseq)
                for partition, pseq in sorted(reached.items())
                if pseq > before[partition]
            ],
            settled_until=settled_until,
        )

    async def GetPurchase(
        self, request: ledger_rpc.GetPurchaseRequest, context: Context
    ) -> ledger_rpc.GetPurchaseResponse:
        """Returns whose a purchase is."""
        check = Violations()
        check.id("authorization_id", request.authorization_id, ids.AUTHORIZATION)
        check.raise_if_any()
        row = await ask(self._ledger.authorization(request.authorization_id))
        if row is None:
            raise authorization_not_found()
        return ledger_rpc.GetPurchaseResponse(
            account_id=row["account_id"] or "", card_id=row["card_id"]
        )

    async def ListLateEntries(
        self, request: ledger_rpc.ListLateEntriesRequest, context: Context
    ) -> ledger_rpc.ListLateEntriesResponse:
        """Lists what posted on accounts and cards that had ended."""
        check = Violations()
        if request.account_id:
            check.id("account_id", request.account_id, ids.ACCOUNT)
        page = page_of(
            request.page_size,
            request.page_token,
            scope=f"late|{request.account_id}",
            violations=check,
        )
        check.raise_if_any()
        rows = await ask(
            self._ledger.late_entries(
                account_id=request.account_id or None,
                before=(datetime_of(page.after.key), page.after.id) if page.after else None,
                limit=page.fetch,
            )
        )
        shown, more = page.cut(rows)
        last = shown[-1] if more else None
        return ledger_rpc.ListLateEntriesResponse(
            entries=await self._with_lines(shown),
            next_page_token=(
                page.token_after(Position(ms_of(last["recorded_time"]), last["id"])) if last else ""
            ),
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

    async def _with_lines(self, rows: Sequence[Any]) -> list[pb.Entry]:
        places = [(row["partition"], row["pseq"]) for row in rows]
        lines: dict[tuple[int, int], list[pb.Line]] = {}
        for line in await ask(self._ledger.lines_of(places)):
            lines.setdefault((line["partition"], line["pseq"]), []).append(_line(line))
        entries = []
        for number, (row, place) in enumerate(zip(rows, places, strict=True)):
            entries.append(_entry(row, lines.get(place, [])))
            if number % TURN == TURN - 1:
                await asyncio.sleep(TURN_OF_OTHERS_S)
        return entries


def _check_positions(request: ledger_rpc.FollowEntriesRequest, check: Violations) -> None:
    partitions = [one.partition for one in request.after]
    if not 1 <= len(partitions) <= PARTITIONS or len(set(partitions)) < len(partitions):
        check.add("after", f"must name 1 to {PARTITIONS} partitions, each once")
    for number, one in enumerate(request.after):
        if not 0 <= one.partition < PARTITIONS:
            check.add(f"after[{number}].partition", f"must be 0 to {PARTITIONS - 1}")
        if one.pseq < 0:
            check.add(f"after[{number}].pseq", "must not be negative")


def _line(row: Any) -> pb.Line:
    amount = Money(currency_code=row["currency"], amount_minor=row["amount_minor"])
    return pb.Line(ledger_account=row["ledger_account"], amount=amount)


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
        user_id=row["user_id"] or "",
        company_id=row["company_id"] or "",
        programme_id=row["programme_id"] or "",
        root_card_id=row["root_card_id"] or "",
        payment_id=row["payment_id"] or "",
        related_entry_id=row["related_entry_id"] or "",
        late=pb.Entry.Late.Value(f"LATE_{row['late'] or 'UNSPECIFIED'}"),
    )
    if kind in DECISIONS:
        request = rpc.AuthorizeRequest.FromString(row["request"])
        entry.merchant.CopyFrom(request.merchant)
        entry.entry_mode = request.point_of_sale.entry_mode
    elif kind is EntryType.FORCE_POST:
        forced = movements.ForcePostRequest.FromString(row["request"])
        entry.merchant.CopyFrom(forced.merchant)
    else:
        _add_merchant(entry, row)
    if kind in DECLINES and row["requested_minor"] is not None:
        entry.requested.CopyFrom(money("requested"))
    if entry.authorization_id:
        entry.approved.CopyFrom(money("hold_approved"))
        if kind in _REVERSIBLE and (given_back_minor := _given_back_minor(row)):
            entry.reversed.currency_code = entry.approved.currency_code
            entry.reversed.amount_minor = given_back_minor
    if row["merchant_amount_minor"] is not None:
        entry.merchant_amount.currency_code = row["merchant_currency"]
        entry.merchant_amount.amount_minor = row["merchant_amount_minor"]
    return entry


def _given_back_minor(row: Any) -> int:
    found = Hold(
        approved_minor=row["hold_approved_minor"],
        reversed_minor=row["hold_reversed_minor"],
        captured_minor=row["hold_captured_minor"],
        flags=row["hold_flags"],
    )
    return found.given_back_minor


def _add_merchant(entry: pb.Entry, row: Any) -> None:
    """The merchant that a clearing names, or that of its authorization where that was asked for."""
    for prefix in ("", "authorized_"):
        if (name := row.get(f"{prefix}merchant_name")) is not None:
            entry.merchant.id = row[f"{prefix}merchant_id"] or ""
            entry.merchant.descriptor = name
            entry.merchant.category_code = row[f"{prefix}merchant_category_code"] or ""
            entry.merchant.country_code = row[f"{prefix}merchant_country"] or ""
            return
