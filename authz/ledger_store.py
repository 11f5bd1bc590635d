"""Reads of the ledger in PostgreSQL. The settler alone writes it (`settle_store.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import asyncpg

from authz.commands import Asked
from authz.merchant_amounts import MerchantAmounts, merchant_amounts
from authz.outcome import EntryType, Outcome
from runtime.clock import ms_of
from runtime.errors import RequestIdReused, Unavailable
from runtime.postgres import UNREACHABLE, connect_pool
from runtime.queries import load_queries
from runtime.settings import Settings

T = TypeVar("T")

#: Longer than any answer of a PostgreSQL that is well; who waits for it has better to do.
WAIT_S = 3.0

QUERIES = load_queries(Path(__file__).parent / "sql" / "queries.sql")


class PartitionRow(NamedTuple):
    """Where one partition stands."""

    partition: int
    epoch: int
    position: int
    position_digest: bytes | None
    stopped_because: str | None


class LedgerStore:
    """A pool that is opened when first needed: authorizing never waits for PostgreSQL."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def pool(self) -> asyncpg.Pool:
        """The pool; raises what asyncpg raises while PostgreSQL is away."""
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await connect_pool(self._settings, "authz", max_size=4)
        return self._pool

    async def close(self) -> None:
        """Ends the pool; who does not answer is not waited for."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(WAIT_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async with asyncio.timeout(WAIT_S):
            pool = await self.pool()
            try:
                rows: list[asyncpg.Record] = await pool.fetch(QUERIES[query], *arguments)
            except asyncpg.InternalClientError:
                await pool.expire_connections()
                raise
        return rows

    async def partitions(self) -> list[PartitionRow]:
        """All partitions in order; empty before the installation is initialised."""
        return [PartitionRow(**row) for row in await self._fetch("read_partitions")]

    async def find_request(
        self, principal: str, request_id: str, fingerprint: str
    ) -> asyncpg.Record | None:
        """The settled entry that an earlier request wrote: the one with this fingerprint, else
        one with another.
        """
        rows = await self._fetch("find_request", principal, request_id, fingerprint)
        return rows[0] if rows else None

    async def find_clearing(
        self, partition: int, network: str, reference: str, sequence: int, principal: str
    ) -> asyncpg.Record | None:
        """The settled entry of an earlier clearing; without a network, of this principal's."""
        rows = await self._fetch(
            "find_clearing", partition, network, reference, sequence, principal
        )
        return rows[0] if rows else None

    async def authorization(self, authorization_id: str) -> asyncpg.Record | None:
        """One settled authorization with its deciding entry."""
        rows = await self._fetch("get_authorization", authorization_id)
        return rows[0] if rows else None

    async def seed(self, row: asyncpg.Record) -> str:
        """What a script needs of an authorization that only the ledger still has."""
        name = row["id"]
        found = merchant_amounts(await self._fetch("list_merchant_amounts", [name]))
        return seed_of(row, found.get(name, MerchantAmounts()))

    async def payment_seed(self, payment_id: str) -> str:
        """`state|amount|account id` of a settled payment; '' if there is none."""
        rows = await self._fetch("get_payment", payment_id)
        return "|".join(str(value) for value in rows[0]) if rows else ""

    async def entry(self, partition: int, pseq: int) -> asyncpg.Record | None:
        """One settled entry."""
        rows = await self._fetch("get_entry", partition, pseq)
        return rows[0] if rows else None

    async def authorizations(
        self,
        *,
        account_id: str | None,
        card_id: str | None,
        principal: str | None,
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> list[asyncpg.Record]:
        """A page of settled authorizations, newest first."""
        time, name = before or (None, None)
        return await self._fetch(
            "list_authorizations", account_id, card_id, principal, time, name, limit
        )

    async def entries(
        self, *, account_id: str, before_seq: int | None, limit: int
    ) -> list[asyncpg.Record]:
        """A page of an account's entries, highest seq first."""
        return await self._fetch("list_entries", account_id, before_seq, limit)

    async def late_entries(
        self, *, account_id: str | None, before: tuple[datetime, str] | None, limit: int
    ) -> list[asyncpg.Record]:
        """A page of what posted on accounts and cards that had ended, newest first."""
        time, name = before or (None, None)
        return await self._fetch("list_late_entries", account_id, time, name, limit)

    async def lines(self, partition: int, pseqs: Sequence[int]) -> list[asyncpg.Record]:
        """The money lines of some entries."""
        return await self._fetch("list_lines", partition, list(pseqs))

    async def entries_after(
        self, positions: Sequence[tuple[int, int]], *, limit_each: int
    ) -> list[asyncpg.Record]:
        """What follows each (partition, pseq), in order."""
        partitions, pseqs = zip(*positions, strict=True)
        return await self._fetch("follow_entries", partitions, pseqs, limit_each)

    async def settled(self, partitions: Sequence[int]) -> dict[int, int]:
        """How far partitions are settled."""
        rows = await self._fetch("settled_positions", partitions)
        return {row["partition"]: row["position"] for row in rows}

    async def posted_after(
        self, positions: Sequence[tuple[int, int]], upto: dict[int, int], *, limit_each: int
    ) -> list[asyncpg.Record]:
        """What changed balances after each (partition, pseq) and up to another, in order."""
        partitions, pseqs = zip(*positions, strict=True)
        last = [upto.get(partition, 0) for partition in partitions]
        return await self._fetch("follow_posted", partitions, pseqs, last, limit_each)

    async def lines_of(self, places: Sequence[tuple[int, int]]) -> list[asyncpg.Record]:
        """The money lines of entries by (partition, pseq)."""
        if not places:
            return []
        partitions, pseqs = zip(*places, strict=True)
        return await self._fetch("follow_lines", partitions, pseqs)

    async def trial_balance(self, currency: str | None) -> list[asyncpg.Record]:
        """Totals by currency and ledger account."""
        return await self._fetch("trial_balance", currency)

    async def entry_count(self) -> int:
        """Settled entries in all."""
        rows = await self._fetch("count_entries")
        return int(rows[0][0])


async def ask(answer: Awaitable[T]) -> T:
    """Waits for the ledger; without PostgreSQL the question cannot be answered now."""
    try:
        return await answer
    except UNREACHABLE:
        raise Unavailable(
            "the ledger cannot be asked; repeat the same request", reason="LEDGER_UNREACHABLE"
        ) from None


async def settled_request(ledger: LedgerStore, asked: Asked) -> asyncpg.Record | None:
    """The settled entry of an earlier request with this id; other content under it is an error."""
    row = await ask(ledger.find_request(asked.principal, asked.request_id, asked.fingerprint))
    if row is not None and row["fingerprint"] != asked.fingerprint:
        raise RequestIdReused(asked.request_id)
    return row


def seed_of(row: Any, amounts: MerchantAmounts) -> str:
    """A hold as include/hold.lua unpacks it."""
    expire_at_ms = ms_of(row["expire_time"]) if row["expire_time"] else 0
    return "|".join(
        str(value)
        for value in (
            row["approved_minor"],
            row["reversed_minor"],
            row["captured_minor"],
            row["held_minor"],
            row["refunded_minor"],
            row["flags"],
            row["decision_pseq"] or row["first_pseq"],
            expire_at_ms,
            amounts.advised_at_ms,
            amounts.asked.replace("|", ":"),
            amounts.cleared.replace("|", ":"),
            row["windows"],
        )
    )


def outcome_of(row: Any) -> Outcome:
    """The outcome of a settled entry, equal to the one its script answered."""
    return Outcome(
        epoch=row["epoch"],
        pseq=row["pseq"],
        seq=row["seq"],
        type=EntryType(row["type"]),
        recorded_at_ms=ms_of(row["recorded_time"]),
        authorization_id=row["authorization_id"] or "",
        reason=row["decline_reason"],
        amount_minor=row["amount_minor"],
        limit_minor=row["limit_minor"],
        posted_minor=row["posted_minor"],
        held_minor=row["held_minor"],
        unreleased_minor=row["unreleased_minor"],
        hold_approved_minor=row["hold_approved_minor"],
        hold_reversed_minor=row["hold_reversed_minor"],
        hold_captured_minor=row["hold_captured_minor"],
        hold_held_minor=row["hold_held_minor"],
        hold_refunded_minor=row["hold_refunded_minor"],
        hold_flags=row["hold_flags"],
        expire_at_ms=ms_of(row["expire_time"]) if row["expire_time"] else 0,
        authorization_code=row["authorization_code"] or "",
        control=row["control"],
        control_left_minor=row["control_left_minor"],
        control_left_count=row["control_left_count"],
        hold_windows=row["hold_windows"],
    )
