"""Rebuilds one partition after the other: reads the ledger page by page, writes Valkey."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from authz import keys
from authz import rehydrate_rows as rows
from authz import rehydrate_windows as windows
from authz.fraud import RECENT_MS
from authz.merchant_amounts import MerchantAmounts, merchant_amounts
from authz.rehydrate_recent import Memories
from authz.rehydrate_rows import Configuration, Lifetimes
from authz.rehydrate_store import PAGE, RehydrateStore
from authz.rehydrate_windows import Configured, ids_of
from authz.windows import Used
from runtime.clock import datetime_of

#: Entries of one stretch that is searched for answers.
STRETCH = 5_000
#: Clocks of workers differ: entries are this much out of order at most.
CLOCK_SKEW_MS = 3_600_000


class IncompleteLedgerError(Exception):
    """The ledger lacks what it must have: it cannot be the source of anything."""


@dataclass(slots=True)
class Rebuilt:
    """How much was written."""

    accounts: int = 0
    cards: int = 0
    holds: int = 0
    payments: int = 0
    records: int = 0
    windows: int = 0


async def rebuild_partition(
    store: RehydrateStore, partition: int, position: int, lifetimes: Lifetimes, rebuilt: Rebuilt
) -> None:
    """Everything of one partition, but for its meta."""
    configured = Configured()
    async for page in store.rows("list_configuration", partition):
        for row in page:
            configured.add(row["type"], row["request"])
    await _accounts(store, partition, configured.configuration, rebuilt)
    await _cards(store, configured.configuration, rebuilt)
    await store.write(list(configured.rules.writes(keys.TAGS[partition])))
    await _memories(store, partition, lifetimes, configured.configuration)
    await _holds(store, partition, lifetimes, rebuilt)
    await _windows(store, partition, configured, lifetimes, rebuilt)
    await _records(store, partition, position, lifetimes, rebuilt)
    last = (await store.fetch("last_entry", partition))[0]
    if last["position_entry"] is not None:
        await store.write([rows.journal_write(partition, position, last["position_entry"])])


async def _accounts(
    store: RehydrateStore, partition: int, configuration: Configuration, rebuilt: Rebuilt
) -> None:
    async for page in store.rows("list_balances", partition):
        for row in page:
            configured = configuration.accounts.get(row["account_id"])
            if configured is None:
                raise IncompleteLedgerError(f"{row['account_id']} was never configured")
            await store.write([rows.account_write(row, configured)])
            rebuilt.accounts += 1


async def _cards(store: RehydrateStore, configuration: Configuration, rebuilt: Rebuilt) -> None:
    await store.write([rows.card_write(card) for card in configuration.cards.values()])
    rebuilt.cards += len(configuration.cards)
    single_use = configuration.single_use
    for start in range(0, len(single_use), PAGE):
        used = await store.fetch("list_used_cards", single_use[start : start + PAGE])
        await store.write([rows.used_write(row["root_card_id"]) for row in used])


async def _memories(
    store: RehydrateStore, partition: int, lifetimes: Lifetimes, configuration: Configuration
) -> None:
    # What was written last may remember what is as old again.
    since = datetime_of(lifetimes.now_ms - 2 * RECENT_MS)
    memories = Memories()
    async for page in store.rows("list_remembered", partition, since):
        for row in page:
            memories.add(row)
    await store.write(list(memories.writes(lifetimes, configuration.cleared)))


async def _holds(
    store: RehydrateStore, partition: int, lifetimes: Lifetimes, rebuilt: Rebuilt
) -> None:
    """Open ones, and closed ones that are kept for late messages."""
    since = datetime_of(lifetimes.now_ms - lifetimes.retention_ms)
    async for page in store.rows("list_holds", partition, *ids_of(partition), since):
        found = await store.fetch("list_merchant_amounts", [row["id"] for row in page])
        amounts = merchant_amounts(found)
        for row in page:
            of_hold = amounts.get(row["id"], MerchantAmounts())
            write = rows.hold_write(row, of_hold, lifetimes)
            if write is not None:
                await store.write([write])
                rebuilt.holds += 1


async def _windows(
    store: RehydrateStore,
    partition: int,
    configured: Configured,
    lifetimes: Lifetimes,
    rebuilt: Rebuilt,
) -> None:
    """What limits have counted, whenever it was, and where cards are locked to their merchant."""
    span = ids_of(partition)
    async for page in store.rows("list_merchant_locks", partition, *span):
        await store.write([windows.lock_write(row) for row in page])
    uses = configured.uses(now_ms=lifetimes.now_ms)
    keeps = [use.slots.keep for use in uses.values()]
    waiting: dict[str, dict[int, Used]] = {}

    async def write(names: Iterable[str]) -> None:
        for name in names:
            found = windows.window_write(partition, uses[name], waiting.pop(name), lifetimes)
            if found is not None:
                await store.write([found])
                rebuilt.windows += 1

    async for page in store.rows("sum_windows", partition, *span, list(uses), keeps):
        for row in page:
            used = Used(row["amount_minor"], row["count"])
            waiting.setdefault(row["name"], {})[row["slot"]] = used
        # Rows come by name: only the last window may go on.
        await write(list(waiting)[:-1])
    await write(list(waiting))


async def _records(
    store: RehydrateStore, partition: int, position: int, lifetimes: Lifetimes, rebuilt: Rebuilt
) -> None:
    """Answers that are still young, from the last entry backwards."""
    requests_since = datetime_of(lifetimes.now_ms - lifetimes.record_ms)
    clearings_since = datetime_of(lifetimes.now_ms - lifetimes.retention_ms)
    oldest = datetime_of(lifetimes.now_ms - lifetimes.retention_ms - CLOCK_SKEW_MS)
    for end in range(position, 0, -STRETCH):
        start = max(end - STRETCH, 0)
        youngest = await store.youngest(partition, after=start, to=end)
        if youngest is not None and youngest < oldest:
            return
        arguments = (partition, start, end, requests_since, clearings_since)
        async for page in store.rows("list_records", *arguments):
            for row in page:
                writes = rows.record_writes(row, lifetimes)
                await store.write(writes)
                rebuilt.records += len(writes)


async def rebuild_payments(store: RehydrateStore, lifetimes: Lifetimes, rebuilt: Rebuilt) -> None:
    """Payments of all partitions."""
    since = datetime_of(lifetimes.now_ms - lifetimes.retention_ms)
    async for page in store.rows("list_payments", since):
        writes = [rows.payment_write(row, lifetimes) for row in page]
        await store.write([write for write in writes if write is not None])
        rebuilt.payments += len(page)
