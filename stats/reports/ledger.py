"""Reads the ledger's entries for a journal, page by page, from where its days begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Protocol

import grpc

from holdfast.authz.v1 import ledger_pb2
from holdfast.authz.v1 import ledger_service_pb2 as rpc
from holdfast.authz.v1.ledger_service_pb2_grpc import LedgerServiceStub
from runtime import ids
from runtime.queries import load_queries
from runtime.settings import PARTITIONS
from runtime.validate import milliseconds
from stats.period import day_of
from stats.reports.journal import Entry
from stats.reports.report import Report
from stats.sources import TIME_ZONE_DEFAULT, zone_info

#: Entries of one answer.
PAGE = 1_000
CALL_TIMEOUT_S = 10.0
#: An entry is recorded when it takes effect or later: earlier only by as much as a timezone and
#: the clocks of others make out.
_EARLIER = timedelta(days=3)

_SQL = load_queries(Path(__file__).parents[1] / "sql" / "spending.sql")
_TYPES = {number: name.removeprefix("TYPE_") for name, number in ledger_pb2.Entry.Type.items()}

#: Whether an entry belongs to what a journal is of.
Match = Callable[[ledger_pb2.Entry], bool]


class Ledger(Protocol):
    """Hands entries out."""

    async def after(
        self, positions: Mapping[int, int], *, page_size: int
    ) -> Sequence[ledger_pb2.Entry]:
        """Entries that follow those with these numbers, by partition: as many of each."""
        ...


class Owners(Protocol):
    """Says whose accounts are."""

    async def owners_of(self, account_ids: Collection[str]) -> dict[str, str]:
        """The owners of those accounts that are known."""
        ...


class LedgerClient:
    """Asks the ledger."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = LedgerServiceStub(channel)

    async def after(
        self, positions: Mapping[int, int], *, page_size: int
    ) -> Sequence[ledger_pb2.Entry]:
        """Entries that follow those with these numbers, by partition: as many of each."""
        request = rpc.FollowEntriesRequest(
            after=[
                rpc.EntryPosition(partition=partition, pseq=pseq)
                for partition, pseq in positions.items()
            ],
            page_size=page_size,
        )
        answer = await self._stub.FollowEntries(request, timeout=CALL_TIMEOUT_S)
        found: Sequence[ledger_pb2.Entry] = answer.entries
        return found


async def entries(
    ledger: Ledger, owners: Owners, pool: Any, report: Report
) -> AsyncIterator[tuple[list[Entry], int]]:
    """The entries of a journal in the ledger's order, and how much of it was looked through, in
    percent. Up to where statistics have come when it begins.
    """
    until = {
        row["partition"]: row["pseq"]
        for row in await pool.fetch(_SQL["select_reached"], _partitions(report))
        if row["pseq"]
    }
    begin_ms = _begin_ms(report.start)
    first = await first_after(ledger, until, begin_ms)
    whole = sum(until[one] - first[one] + 1 for one in until)
    convert, done = _Conversion(pool, owners, report), 0
    for partition, last in until.items():
        at = first[partition] - 1
        asked = _ask(ledger, partition, at, last)
        try:
            while asked is not None:
                page = [one for one in await asked if one.pseq <= last]
                if not page:
                    break
                done += page[-1].pseq - at
                at = page[-1].pseq
                # The next page is on its way while this one is written.
                asked = _ask(ledger, partition, at, last)
                yield await convert.of(page), done * 100 // whole
        finally:
            if asked is not None:
                asked.cancel()


async def first_after(ledger: Ledger, until: Mapping[int, int], begin_ms: int) -> dict[int, int]:
    """The number of the first entry recorded at an instant or later, of each partition, or the one
    after the last: found by halving, in all partitions at once.
    """
    low, high = dict.fromkeys(until, 1), {one: pseq + 1 for one, pseq in until.items()}
    while halves := {one: (low[one] + high[one]) // 2 for one in until if low[one] < high[one]}:
        found = await ledger.after(
            {one: middle - 1 for one, middle in halves.items()}, page_size=len(halves)
        )
        for entry in found:
            middle = halves.pop(entry.partition)
            if milliseconds(entry.record_time) < begin_ms:
                low[entry.partition] = middle + 1
            else:
                high[entry.partition] = middle
        assert not halves, f"the ledger does not reach {halves}"
    return low


class _Conversion:
    """Entries on the wire to entries of a journal, with the days of their accounts."""

    def __init__(self, pool: Any, owners: Owners, report: Report) -> None:
        self._pool = pool
        self._owners = owners
        self._report = report
        self._matches = _match(report.wanted.subject_id)
        self._zones: dict[str, str] = {}
        #: Whether accounts are the user's whose books these are.
        self._own: dict[str, bool] = {}

    async def of(self, page: Sequence[ledger_pb2.Entry]) -> list[Entry]:
        """Those that moved money on the days of the report."""
        wanted, report = self._report.wanted, self._report
        mine = [
            one
            for one in page
            if one.lines
            and self._matches(one)
            and wanted.currency_code in ("", one.lines[0].amount.currency_code)
        ]
        if wanted.subject_id.startswith(f"{ids.USER}_"):
            mine = await self._owned(mine)
        missing = {one.account_id for one in mine} - self._zones.keys()
        if missing:
            rows = await self._pool.fetch(_SQL["select_account_zones"], list(missing))
            self._zones |= dict.fromkeys(missing, TIME_ZONE_DEFAULT)
            self._zones |= {row["account_id"]: row["time_zone"] for row in rows}
        found = []
        for one in mine:
            day = day_of(milliseconds(one.effective_time), zone_info(self._zones[one.account_id]))
            if report.start <= day <= report.end:
                found.append(_entry(one, day))
        return await self._with_merchants(found)

    async def _owned(self, entries: Sequence[ledger_pb2.Entry]) -> list[ledger_pb2.Entry]:
        """Those of accounts that the user owns: an entry names whose card it was."""
        missing = {one.account_id for one in entries} - self._own.keys()
        if missing:
            found = await self._owners.owners_of(missing)
            user_id = self._report.wanted.subject_id
            self._own |= {one: found.get(one) == user_id for one in missing}
        return [one for one in entries if self._own[one.account_id]]

    async def _with_merchants(self, found: list[Entry]) -> list[Entry]:
        """Clearings that name no merchant get that of their authorization."""
        wanted = {
            one.authorization_id
            for one in found
            if one.authorization_id and not (one.merchant or one.merchant_name)
        }
        if not wanted:
            return found
        rows = await self._pool.fetch(_SQL["select_origins"], list(wanted))
        known = {row["id"]: row for row in rows}
        return [
            replace(
                one,
                merchant=origin["merchant"],
                merchant_name=origin["merchant_name"],
                category=one.category or origin["category"],
            )
            if not (one.merchant or one.merchant_name)
            and (origin := known.get(one.authorization_id)) is not None
            else one
            for one in found
        ]


def _ask(
    ledger: Ledger, partition: int, at: int, last: int
) -> asyncio.Task[Sequence[ledger_pb2.Entry]] | None:
    if at >= last:
        return None

    async def ask() -> Sequence[ledger_pb2.Entry]:
        return await ledger.after({partition: at}, page_size=PAGE)

    return asyncio.create_task(ask())


def _match(subject_id: str) -> Match:
    if ids.is_programme_id(subject_id):
        return lambda entry: entry.programme_id == subject_id
    if subject_id.startswith(f"{ids.COMPANY}_"):
        return lambda entry: entry.company_id == subject_id
    if subject_id.startswith(f"{ids.USER}_"):
        # Of these the user's own: what companies owe is not in a user's books.
        return lambda entry: bool(entry.account_id) and not entry.company_id
    return lambda entry: entry.account_id == subject_id


def _partitions(report: Report) -> list[int]:
    """Where the entries are: accounts are in the partition of their owners."""
    subject_id = report.wanted.subject_id
    if ids.is_programme_id(subject_id):
        return list(range(PARTITIONS))
    return [ids.partition_of(subject_id)]


def _begin_ms(start: date) -> int:
    midnight = datetime.combine(start, time(), UTC)
    return int((midnight - _EARLIER).timestamp()) * 1000


def _entry(one: ledger_pb2.Entry, day: date) -> Entry:
    merchant = one.merchant
    return Entry(
        id=one.id,
        document=f"{one.partition:02d}-{one.pseq}",
        type=_TYPES[one.type],
        day=day,
        currency=one.lines[0].amount.currency_code,
        lines=[(line.ledger_account, line.amount.amount_minor) for line in one.lines],
        account_id=one.account_id,
        card_id=one.card_id,
        user_id=one.user_id,
        merchant=merchant.id,
        merchant_name=merchant.descriptor,
        category=merchant.category_code,
        authorization_id=one.authorization_id,
        payment_id=one.payment_id,
        related_entry_id=one.related_entry_id,
    )
