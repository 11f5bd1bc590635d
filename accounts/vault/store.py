"""Numbers and reveals in PostgreSQL: schema and role `vault`. Nothing here is clear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import asyncpg

from runtime.clock import datetime_of, ms_of
from runtime.postgres import refusing_when_down
from runtime.queries import load_queries

_SQL = load_queries(Path(__file__).with_name("sql") / "queries.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedNumber:
    """One row: a number that only the vault's keys can read."""

    card_id: str
    pan_sealed: bytes = field(repr=False)
    pan_hash: bytes = field(repr=False)
    hash_key_id: str
    cvv_key_id: str
    bin: str
    last4: str
    expiry_month: int
    expiry_year: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reveal:
    """Somebody wants to see a number."""

    principal: str
    request_id: str
    card_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Somebody saw a number."""

    card_id: str
    principal: str
    reason: str
    show_time_ms: int


class Recorded(Enum):
    """What came of recording a reveal."""

    RECORDED = auto()
    REPEATED = auto()
    REUSED = auto()
    EXPIRED = auto()
    TOO_MANY = auto()
    NO_NUMBER = auto()


class VaultStore:
    """The only SQL of the vault."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def number(self, card_id: str) -> SealedNumber | None:
        """A card's number."""
        with refusing_when_down():
            row = await self._pool.fetchrow(_SQL["select_number"], card_id)
        return _number(row)

    async def card_of(self, hashes: list[bytes]) -> str | None:
        """The card whose number has one of these hashes."""
        with refusing_when_down():
            found: str | None = await self._pool.fetchval(_SQL["find_card"], hashes)
        return found

    async def insert(self, number: SealedNumber, *, key_id: str, now_ms: int) -> bool:
        """Adds a number; False if the card has one already, or the number is taken."""
        with refusing_when_down():
            inserted = await self._pool.fetchval(
                _SQL["insert_number"], *_values(number, key_id=key_id, now_ms=now_ms)
            )
        return inserted is not None

    async def numbers(self, card_ids: Sequence[str]) -> dict[str, SealedNumber]:
        """The numbers of those of these cards that have one, by card."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["select_numbers"], list(card_ids))
        return {row["card_id"]: SealedNumber(**row) for row in found}

    async def taken(self, hashes: Sequence[bytes]) -> frozenset[bytes]:
        """Those of these hashes that a number has, or had."""
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["select_taken"], hashes)
        return frozenset(row["pan_hash"] for row in found)

    async def insert_all(
        self, numbers: Sequence[tuple[SealedNumber, str]], *, now_ms: int
    ) -> frozenset[str]:
        """Adds numbers, each with its key's id, but none that is taken, or whose card has one;
        returns the cards that have theirs now.
        """
        lines = sorted(_values(number, key_id=key_id, now_ms=now_ms) for number, key_id in numbers)
        if not lines:
            return frozenset()
        *columns, times = zip(*lines, strict=True)
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["insert_numbers"], *columns, times[0])
        return frozenset(row["card_id"] for row in found)

    async def update_expiry(
        self, card_id: str, *, expiry_month: int, expiry_year: int, now_ms: int
    ) -> SealedNumber | None:
        """Moves a number's expiry; None if the card has no number."""
        with refusing_when_down():
            row = await self._pool.fetchrow(
                _SQL["update_expiry"], card_id, expiry_month, expiry_year, datetime_of(now_ms)
            )
        return _number(row)

    async def record(
        self, reveal: Reveal, *, now_ms: int, window_ms: int, most: int, repeat_ms: int
    ) -> Recorded:
        """Records a reveal before anything is shown, unless the card was shown too often. The same
        request id shows it again, and counts again, for a while and no longer.
        """
        with refusing_when_down():
            async with self._pool.acquire() as connection, connection.transaction():
                if not await connection.fetchval(_SQL["lock_number"], reveal.card_id):
                    return Recorded.NO_NUMBER
                asked = (reveal.principal, reveal.request_id)
                before = await connection.fetchrow(_SQL["select_reveal"], *asked)
                if before is not None:
                    if before["card_id"] != reveal.card_id:
                        return Recorded.REUSED
                    if now_ms - ms_of(before["create_time"]) > repeat_ms:
                        return Recorded.EXPIRED
                since = datetime_of(now_ms - window_ms)
                count = await connection.fetchval(_SQL["count_reveals"], reveal.card_id, since)
                if count >= most:
                    return Recorded.TOO_MANY
                if before is not None:
                    await connection.execute(_SQL["repeat_reveal"], *asked)
                    return Recorded.REPEATED
                said = (reveal.card_id, reveal.reason, datetime_of(now_ms))
                # This card's reveals wait for its lock: whoever came first has shown another card.
                recorded = await connection.fetchval(_SQL["insert_reveal"], *asked, *said)
        return Recorded.RECORDED if recorded else Recorded.REUSED

    async def reveals(
        self, card_ids: Sequence[str], *, until_ms: int, offset: int, limit: int
    ) -> list[Shown]:
        """When numbers of these cards were shown, newest first."""
        asked = (card_ids, datetime_of(until_ms), offset, limit)
        with refusing_when_down():
            found = await self._pool.fetch(_SQL["list_reveals"], *asked)
        return [
            Shown(
                card_id=row["card_id"],
                principal=row["principal"],
                reason=row["reason"],
                show_time_ms=ms_of(row["create_time"]),
            )
            for row in found
        ]

    async def forget(self, card_ids: Sequence[str], used: Callable[[str, bytes], bytes]) -> None:
        """Removes the numbers of cards for good, and what was said when they were shown. `used`:
        from a card and its sealed number to the hash that stays.
        """
        with refusing_when_down():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_SQL["forget_reasons"], card_ids)
                found = await connection.fetch(_SQL["lock_numbers"], card_ids)
                hashes = sorted(used(row["card_id"], row["pan_sealed"]) for row in found)
                await connection.execute(_SQL["insert_used"], hashes)
                await connection.execute(_SQL["forget_numbers"], card_ids)

    async def stale(
        self, *, key_id: str, hash_key_id: str, after: str, limit: int
    ) -> list[tuple[str, bytes]]:
        """Card and seal of numbers that are not under the current keys, by card."""
        found = await self._pool.fetch(
            _SQL["list_stale_numbers"], key_id, hash_key_id, after, limit
        )
        return [(row["card_id"], row["pan_sealed"]) for row in found]

    async def reseal(
        self, card_id: str, before: bytes, *, sealed: tuple[str, bytes], hashed: tuple[str, bytes]
    ) -> None:
        """Replaces seal and hash, each with its key's id; nothing if somebody else has."""
        await self._pool.execute(
            _SQL["reseal_number"], card_id, before, sealed[1], sealed[0], hashed[1], hashed[0]
        )


def _values(number: SealedNumber, *, key_id: str, now_ms: int) -> tuple[Any, ...]:
    return (
        number.card_id,
        number.pan_sealed,
        key_id,
        number.pan_hash,
        number.hash_key_id,
        number.cvv_key_id,
        number.bin,
        number.last4,
        number.expiry_month,
        number.expiry_year,
        datetime_of(now_ms),
    )


def _number(row: Any) -> SealedNumber | None:
    return SealedNumber(**row) if row else None
