"""What a reconciliation reads: Valkey as `operator`, the ledger in PostgreSQL. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from redis.asyncio import Redis

from authz import keys
from authz.reconcile import Balance, Place
from authz.reconcile_counted import Counted, Page, Recount
from authz.rehydrate_windows import LOCK_FIELDS, Configured, ids_of, lock_fields
from authz.windows import Used
from runtime import ids, redis
from runtime.batches import batches
from runtime.queries import load_queries
from runtime.secrets import secret_text
from runtime.settings import Settings

#: Accounts, keys or holds that one round trip asks for.
PAGE = 500

_SQL = Path(__file__).parent / "sql"
_QUERIES = {
    name: text
    for file in ("reconcile.sql", "counted.sql", "rehydrate.sql")
    for name, text in load_queries(_SQL / file).items()
}
_BALANCE_FIELDS = ("seq", "limit", "posted", "held", "unreleased")


class PartitionState(NamedTuple):
    """A partition in the ledger."""

    place: Place
    stopped_because: str | None


class OpenHold(NamedTuple):
    """An open hold in Valkey; without account_id its hash is not there."""

    authorization_id: str
    account_id: str
    held_minor: int


class ReconcileStore:
    """Reads both sides, a page at a time."""

    def __init__(self, valkey: Redis, ledger: asyncpg.Connection) -> None:
        self._valkey = valkey
        self._ledger = ledger

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self._ledger.fetch(_QUERIES[query], *arguments)
        return rows

    async def partitions(self) -> list[PartitionState]:
        """All partitions of the ledger, in order."""
        return [
            PartitionState(Place(row["epoch"], row["position"]), row["stopped_because"])
            for row in await self._fetch("partition_positions")
        ]

    async def accounts(self, partition: int) -> dict[str, int]:
        """The accounts that the ledger knows in a partition, each with its seq."""
        found: dict[str, int] = {}
        after = ""
        while rows := await self._fetch("list_accounts", partition, after, PAGE):
            found |= {row["account_id"]: row["seq"] for row in rows}
            after = rows[-1]["account_id"]
        return found

    async def known(self, account_ids: Sequence[str]) -> set[str]:
        """Those of the accounts that the ledger knows."""
        rows = await self._fetch("known_accounts", list(account_ids))
        return {row["account_id"] for row in rows}

    async def ledger_balances(self, seqs: Mapping[str, int]) -> dict[str, Balance]:
        """Accounts after one entry each; those without that entry are left out."""
        found: dict[str, Balance] = {}
        for page in batches(list(seqs.items()), PAGE):
            names, numbers = zip(*page, strict=True)
            for row in await self._fetch("balances_at", list(names), list(numbers)):
                found[row["account_id"]] = Balance(
                    seq=row["seq"],
                    limit_minor=row["limit_minor"],
                    posted_minor=row["posted_minor"],
                    held_minor=row["held_minor"],
                    unreleased_minor=row["unreleased_minor"],
                )
        return found

    async def holds_between(
        self, account_id: str, *, after_seq: int, to_seq: int
    ) -> list[tuple[str, int]]:
        """What each entry of an account left held, in their order."""
        rows = await self._fetch("holds_between", account_id, after_seq, to_seq)
        return [(row["authorization_id"], row["hold_held_minor"]) for row in rows]

    async def configured(self, partition: int) -> Configured:
        """What a partition's accounts, cards, users and rules are configured to."""
        found = Configured()
        async for row in self.check("list_configuration", partition):
            found.add(row["type"], row["request"])
        return found

    async def counted(
        self, partition: int, lowest: Mapping[str, int], *, after_pseq: int
    ) -> Counted:
        """What authorizations count in windows (from these slots on) and which merchants they lock
        cards to, as of the last settled entry; and what entries after one have changed of it.
        """
        span = ids_of(partition)
        sums: dict[str, dict[int, Used]] = defaultdict(dict)
        async with self._ledger.transaction(isolation="repeatable_read", readonly=True):
            arguments = (partition, *span, list(lowest), list(lowest.values()))
            async for row in self._ledger.cursor(_QUERIES["sum_windows"], *arguments):
                sums[row["name"]][row["slot"]] = Used(row["amount_minor"], row["count"])
            changes = [
                Recount(row["pseq"], row["authorization_id"], row["hold_windows"])
                for row in await self._fetch("list_recounts", partition, after_pseq)
            ]
            locks = {
                row["root_card_id"]: lock_fields(row)
                for row in await self._fetch("list_merchant_locks", partition, *span)
            }
        return Counted(sums, changes, locks)

    async def check(self, query: str, partition: int) -> AsyncIterator[asyncpg.Record]:
        """The rows of one of the ledger's checks of itself, on one snapshot."""
        async with self._ledger.transaction(isolation="repeatable_read", readonly=True):
            async for row in self._ledger.cursor(_QUERIES[query], partition, prefetch=PAGE):
                yield row

    async def places(self) -> list[Place | None]:
        """All partitions in Valkey, in order; None where nothing is."""
        pipeline = self._valkey.pipeline(transaction=False)
        for tag in keys.TAGS:
            pipeline.hmget(keys.meta(tag), ["epoch", "pseq"])
        return [
            None if epoch is None or pseq is None else Place(int(epoch), int(pseq))
            for epoch, pseq in await pipeline.execute()
        ]

    async def place(self, partition: int) -> Place | None:
        """One partition in Valkey."""
        values = await self._valkey.hmget(keys.meta(keys.TAGS[partition]), ["epoch", "pseq"])
        epoch, pseq = values
        return None if epoch is None or pseq is None else Place(int(epoch), int(pseq))

    async def valkey_balances(self, account_ids: Iterable[str]) -> dict[str, Balance]:
        """Accounts as they are in Valkey; those that are not there are left out."""
        found: dict[str, Balance] = {}
        for page in batches(list(account_ids), PAGE):
            pipeline = self._valkey.pipeline(transaction=False)
            for account_id in page:
                pipeline.hmget(keys.account(account_id), _BALANCE_FIELDS)
            for account_id, values in zip(page, await pipeline.execute(), strict=True):
                if values[0] is not None:
                    found[account_id] = _balance(values)
        return found

    async def windows(self, partition: int, names: Sequence[str]) -> AsyncIterator[Page]:
        """Windows in Valkey in pages, each with the partition's last entry of the same moment."""
        tag = keys.TAGS[partition]
        for page in batches(names, PAGE):
            pipeline = self._valkey.pipeline(transaction=True)
            pipeline.hget(keys.meta(tag), "pseq")
            for name in page:
                pipeline.hgetall(keys.window(tag, name))
            pseq, *found = await pipeline.execute()
            slots = [{k.decode(): v.decode() for k, v in one.items()} for one in found]
            yield Page(int(pseq or 0), dict(zip(page, slots, strict=True)))

    async def locks(self, root_card_ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """The merchants that cards are locked to in Valkey; of cards that are."""
        found: dict[str, dict[str, str]] = {}
        for page in batches(list(root_card_ids), PAGE):
            pipeline = self._valkey.pipeline(transaction=False)
            for root_card_id in page:
                pipeline.hmget(keys.learned(root_card_id), LOCK_FIELDS)
            for root_card_id, values in zip(page, await pipeline.execute(), strict=True):
                lock = {
                    name: value.decode()
                    for name, value in zip(LOCK_FIELDS, values, strict=True)
                    if value is not None
                }
                if lock:
                    found[root_card_id] = lock
        return found

    async def used_marks(self, root_card_ids: Iterable[str]) -> set[str]:
        """Lines of cards that are marked as used up in Valkey."""
        found: set[str] = set()
        for page in batches(list(root_card_ids), PAGE):
            pipeline = self._valkey.pipeline(transaction=False)
            for root_card_id in page:
                pipeline.hexists(keys.learned(root_card_id), "used")
            marks = await pipeline.execute()
            found |= {name for name, mark in zip(page, marks, strict=True) if mark}
        return found

    async def used_cards(self, card_ids: Sequence[str]) -> set[str]:
        """Lines of these single-use cards that are used up in the ledger."""
        found: set[str] = set()
        for page in batches(card_ids, PAGE):
            rows = await self._fetch("list_used_cards", list(page))
            found |= {row["root_card_id"] for row in rows}
        return found

    async def valkey_accounts(self) -> AsyncIterator[list[str]]:
        """Every account that Valkey knows, in pages; one may come twice."""
        cursor = 0
        while True:
            found: Any
            cursor, found = await self._valkey.scan(cursor, match="{*}:acct:*", count=PAGE)
            names = [ids.ACCOUNT + "_" + key.decode().partition(":acct:")[2] for key in found]
            if names:
                yield names
            if cursor == 0:
                return

    async def open_holds(self, partition: int) -> AsyncIterator[list[OpenHold]]:
        """A partition's open holds in pages, by the time they expire."""
        expiry = keys.expiry(keys.TAGS[partition])
        start, size, seen = "-inf", PAGE, set[bytes]()
        while True:
            page: Any = await self._valkey.zrange(
                expiry, start, "+inf", byscore=True, offset=0, num=size, withscores=True
            )
            fresh = [member for member, _ in page if member not in seen]
            if fresh:
                yield await self._holds(fresh)
            if len(page) < size:
                return
            last = page[-1][1]
            if not fresh or page[0][1] == last:
                # More than a page expires in the same millisecond.
                size *= 2
            # The next page begins with those of the same time, which have been read.
            seen = {member for member, score in page if score == last}
            start = f"{last:.0f}"

    async def _holds(self, hold_keys: Sequence[bytes]) -> list[OpenHold]:
        pipeline = self._valkey.pipeline(transaction=False)
        for key in hold_keys:
            pipeline.hmget(key, ["acct", "h"])
        return [
            OpenHold(
                f"{ids.AUTHORIZATION}_{key.decode().partition(':hold:')[2]}",
                (account_id or b"").decode(),
                int(held or 0),
            )
            for key, (account_id, held) in zip(hold_keys, await pipeline.execute(), strict=True)
        ]


def _balance(values: Sequence[Any]) -> Balance:
    seq, limit, posted, held, unreleased = (int(value) for value in values)
    return Balance(
        seq=seq,
        limit_minor=limit,
        posted_minor=posted,
        held_minor=held,
        unreleased_minor=unreleased,
    )


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[ReconcileStore]:
    """Connects to both sides of a running installation."""
    assert settings.redis_url is not None, "the settings are those of a running installation"
    connection = await asyncpg.connect(
        settings.postgres_dsn,
        user="holdfast_authz",
        password=secret_text(settings, "postgres-authz"),
        server_settings={
            "search_path": "authz",
            "application_name": "reconcile",
            "default_transaction_read_only": "on",
        },
    )
    try:
        async with redis.client(
            settings, settings.redis_url, server="valkey-money", user="operator"
        ) as valkey:
            yield ReconcileStore(valkey, connection)
    finally:
        await connection.close()
