"""A reconciliation from end to end, one partition at a time, while business goes on.

An account is read in Valkey, then the settler is given time to catch up, and the ledger is asked
how the account was at that very seq.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from authz import reconcile
from authz.reconcile import Balance, Difference, Place
from authz.reconcile_counted import compare_locks, compare_used, compare_windows
from authz.reconcile_store import PartitionState, ReconcileStore
from runtime.clock import Clock
from runtime.ids import partition_of
from runtime.settings import PARTITIONS

#: Pause between two looks at how far the settler is.
_PAUSE_S = 0.05

#: The ledger's checks of itself: query → its columns to show as (field, found, expected), and what
#: they compare.
_CHECKS: dict[str, tuple[tuple[tuple[str, str, str], ...], str]] = {
    "accounts_against_entries": (
        (
            ("seq", "seq", "last_seq"),
            ("entries", "entries", "last_seq"),
            *((field, field, f"entry_{field}") for field in reconcile.BALANCE_FIELDS),
        ),
        "account_balance / its entries",
    ),
    "accounts_against_lines": (
        (("posted_minor", "posted_minor", "owed_minor"),),
        "account_balance / its lines",
    ),
    "accounts_against_authorizations": (
        (("held_minor", "held_minor", "authorizations_minor"),),
        "account_balance / its authorizations",
    ),
    "unbalanced_entries": ((("sum_minor", "sum_minor", ""),), "lines of an entry / zero"),
    "lines_without_entry": ((("lines", "lines", ""),), "lines / their entries"),
    "totals_against_lines": (
        (
            ("debit_minor", "debit_minor", "lines_debit_minor"),
            ("credit_minor", "credit_minor", "lines_credit_minor"),
        ),
        "ledger_total / lines",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What was compared, and how many differences there were."""

    accounts: int
    entries: int
    differences: int

    def line(self) -> str:
        """The result in one line."""
        verdict = "books balance" if self.differences == 0 else "books do NOT balance"
        return (
            f"{verdict}: {self.accounts} accounts, {self.entries} entries,"
            f" {self.differences} differences"
        )


class Reconciler:
    """One run. Differences are told one by one, so that none has to be kept."""

    def __init__(
        self,
        store: ReconcileStore,
        *,
        clock: Clock,
        settle_timeout_s: float,
        on_difference: Callable[[Difference], None],
        on_partition: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._clock = clock
        #: How long to wait for the settler; nothing once it was waited for in vain.
        self._patience_s = settle_timeout_s
        self._on_difference = on_difference
        self._on_partition = on_partition
        self._differences = 0
        self._accounts = 0
        self._entries = 0

    async def run(self) -> Books:
        """Compares everything."""
        states = await self._store.partitions()
        for partition, state in enumerate(states):
            await self._partition(partition, state)
            self._on_partition(partition)
        await self._only_in_valkey()
        return Books(accounts=self._accounts, entries=self._entries, differences=self._differences)

    def _tell(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self._differences += 1
            self._on_difference(difference)

    async def _settled(self, partition: int, place: Place | None) -> PartitionState:
        state = await wait_settled(self._store, partition, place, timeout_s=self._patience_s)
        if place is not None and state.stopped_because is None and state.place.pseq < place.pseq:
            self._patience_s = 0
        return state

    async def _partition(self, partition: int, state: PartitionState) -> None:
        # Whatever account exists now is in the ledger after this.
        await self._settled(partition, await self._store.place(partition))
        settled = await self._store.accounts(partition)
        before = await self._store.valkey_balances(settled)
        sums = await self._hold_sums(partition)
        now = await self._store.valkey_balances(settled.keys() | sums.keys())
        place = await self._store.place(partition)
        later = await self._settled(partition, place)
        self._tell(
            reconcile.compare_meta(
                partition,
                valkey=place,
                before=state.place,
                after=later.place,
                stopped_because=later.stopped_because,
            )
        )
        await self._compare_balances(settled, now)
        moving = {name for name, balance in now.items() if before.get(name) != balance}
        for name, balance in now.items():
            if name not in moving:
                self._tell(
                    reconcile.compare_holds(
                        name, holds_minor=sums.get(name, 0), held_minor=balance.held_minor
                    )
                )
        for name in sums.keys() - now.keys():
            self._tell(reconcile.compare_holds(name, holds_minor=sums[name], held_minor=0))
        if moving:
            await self._moving_holds(partition, moving)
        self._accounts += len(settled)
        await self._compare_limits(partition)
        await self._check_ledger(partition)

    async def _compare_balances(
        self, settled: Mapping[str, int], now: Mapping[str, Balance]
    ) -> None:
        ledger = await self._store.ledger_balances({name: one.seq for name, one in now.items()})
        for name, settled_seq in settled.items():
            self._tell(
                reconcile.compare_balances(
                    name,
                    valkey=now.get(name),
                    ledger=ledger.get(name),
                    settled_seq=settled_seq,
                )
            )

    async def _hold_sums(self, partition: int) -> dict[str, int]:
        """Sum of the open holds by account."""
        sums: dict[str, int] = defaultdict(int)
        async for page in self._store.open_holds(partition):
            for hold in page:
                if hold.account_id:
                    sums[hold.account_id] += hold.held_minor
                else:
                    self._tell([reconcile.missing_hold(hold.authorization_id)])
        return dict(sums)

    async def _moving_holds(self, partition: int, moving: set[str]) -> None:
        """The holds of accounts that are being used right now."""
        before = await self._store.valkey_balances(moving)
        holds: dict[str, dict[str, int]] = defaultdict(dict)
        async for page in self._store.open_holds(partition):
            for hold in page:
                if hold.account_id in moving:
                    holds[hold.account_id][hold.authorization_id] = hold.held_minor
        now = await self._store.valkey_balances(moving)
        place = await self._store.place(partition)
        state = await self._settled(partition, place)
        if place is None or state.place.pseq < place.pseq:
            # Told already, as a partition that is not settled.
            return
        for name, balance in now.items():
            later = await self._store.holds_between(
                name, after_seq=before[name].seq, to_seq=balance.seq
            )
            self._tell(
                reconcile.compare_holds(
                    name,
                    holds_minor=reconcile.held_after(holds[name], later),
                    held_minor=balance.held_minor,
                )
            )

    async def _compare_limits(self, partition: int) -> None:
        """What the configured limits have counted, and the merchants that cards are locked to."""
        configured = await self._store.configured(partition)
        uses = configured.uses(now_ms=self._clock.now_ms())
        roots = {card.root_card_id for card in configured.configuration.cards.values()}
        locks = await self._store.locks(roots)
        marks = await self._store.used_marks(roots)
        pages = [page async for page in self._store.windows(partition, list(uses))]
        place = await self._store.place(partition)
        state = await self._settled(partition, place)
        if place is None or state.place.pseq < place.pseq:
            # Told already, as a partition that is not settled.
            return
        counted = await self._store.counted(
            partition,
            {name: use.slots.oldest for name, use in uses.items()},
            after_pseq=min((page.pseq for page in pages), default=place.pseq),
        )
        for page in pages:
            self._tell(compare_windows(partition, uses, page, counted))
        used = await self._store.used_cards(configured.configuration.single_use)
        later = await self._store.used_marks(roots | used)
        self._tell(compare_used(marks, used, later))
        now = await self._store.locks(roots | counted.locks.keys())
        self._tell(compare_locks(locks, counted.locks, now))

    async def _check_ledger(self, partition: int) -> None:
        async for row in self._store.check("gaps_in_partition", partition):
            self._entries += row["entries"]
            self._tell(reconcile.compare_partition(partition, **dict(row)))
        for query, (fields, compared) in _CHECKS.items():
            async for row in self._store.check(query, partition):
                self._tell(_differences(partition, dict(row), fields, compared))

    async def _only_in_valkey(self) -> None:
        """Accounts that the ledger does not know although their entries are settled."""
        told: set[str] = set()
        async for page in self._store.valkey_accounts():
            unknown = set(page) - await self._store.known(page) - told
            for partition in sorted({partition_of(name) % PARTITIONS for name in unknown}):
                await self._settled(partition, await self._store.place(partition))
            if unknown:
                unknown -= await self._store.known(list(unknown))
            for name, balance in (await self._store.valkey_balances(unknown)).items():
                self._accounts += 1
                self._tell([reconcile.unknown_account(name, balance)])
            told |= unknown


def _differences(
    partition: int,
    row: Mapping[str, Any],
    fields: Iterable[tuple[str, str, str]],
    compared: str,
) -> list[Difference]:
    """The columns of a check's row that differ."""
    subject = row.get("account_id") or " ".join(
        [f"partition {partition}"]
        + [str(row[name]) for name in ("pseq", "currency", "ledger_account") if name in row]
    )
    return [
        Difference(
            subject=subject,
            field=field,
            found=str(row[found]),
            expected=str(row[expected] if expected else 0),
            compared=compared,
        )
        for field, found, expected in fields
        if not expected or row[found] != row[expected]
    ]


async def wait_settled(
    store: ReconcileStore, partition: int, place: Place | None, *, timeout_s: float
) -> PartitionState:
    """Waits until the ledger has reached a place; returns where it is then, or when time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        state = (await store.partitions())[partition]
        reached = place is None or state.place.pseq >= place.pseq
        if reached or state.stopped_because is not None or time.monotonic() >= deadline:
            return state
        await asyncio.sleep(_PAUSE_S)


async def drain(store: ReconcileStore, *, timeout_s: float) -> int:
    """Waits until everything written so far is settled; returns how many entries are not."""
    left = 0
    for partition, place in enumerate(await store.places()):
        state = await wait_settled(store, partition, place, timeout_s=timeout_s)
        left += max(place.pseq - state.place.pseq, 0) if place is not None else 0
    return left
