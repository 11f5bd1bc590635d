"""What the rest of accounts asks of the vault. It alone reads numbers, and hands one out in
`reveal` only.

The vault has its own role, so its rows are not written in the transaction of the card. Every step
can be repeated instead: a card that has a number keeps it. A card that is rolled back leaves a
number that nobody can use, a renewal that is rolled back an expiry that nobody is shown: numbers
are revealed with the expiry of their card.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from accounts.vault import pan as numbers
from accounts.vault.keys import VaultKeys
from accounts.vault.store import Recorded, Reveal, SealedNumber, Shown, VaultStore
from runtime import ids
from runtime.clock import Clock
from runtime.errors import FailedPrecondition, RequestIdReused, ResourceExhausted
from runtime.key_ring import key_of

#: Numbers that are drawn before a BIN counts as full.
DRAWS_MAX = 20
#: Reveals of one card are counted over this time.
REVEAL_WINDOW_MS = 3_600_000
#: So many numbers are sealed before others have their turn.
_AT_ONCE = 32
#: Numbers that one step of a rotation seals again.
ROTATION_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNumber:
    """What may be known of a card's number."""

    bin: str
    last4: str
    expiry_month: int
    expiry_year: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A card that is to have a number, of a BIN and until a month."""

    card_id: str
    bin: str
    expiry_month: int
    expiry_year: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    """A whole number: for the answer of RevealCard, and for nothing else."""

    pan: str = field(repr=False)
    cvv: str = field(repr=False)
    expiry_month: int
    expiry_year: int


class Vault:
    """Numbers of cards. `reveals_per_hour` bounds how often one card is shown; `repeat_s` is how
    long a request that has shown one shows it again.
    """

    def __init__(
        self,
        store: VaultStore,
        keys: VaultKeys,
        clock: Clock,
        *,
        reveals_per_hour: int = 10,
        repeat_s: int = 300,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._reveals_per_hour = reveals_per_hour
        self._repeat_s = repeat_s
        self._random_bytes = random_bytes

    async def issue(
        self, card_id: str, *, bin_digits: str, expiry_month: int, expiry_year: int
    ) -> CardNumber:
        """Gives a card a new number of a BIN, unless it has one: then that is answered.

        A card that replaces another is a new card, so this gives it its number, too.
        """
        found = await self._store.number(card_id)
        for _ in range(DRAWS_MAX):
            if found is not None:
                return _known(found)
            pan = numbers.make_pan(bin_digits, self._random_bytes)
            if not await self._store.taken(self._keys.hashes_ever(pan)):
                drawn = self._sealed(card_id, pan, bin_digits, expiry_month, expiry_year)
                key_id = key_of(drawn.pan_sealed)
                await self._store.insert(drawn, key_id=key_id, now_ms=self._clock.now_ms())
                # Ours, or that of a concurrent repetition; none if the number is another card's.
                found = await self._store.number(card_id)
        if found is not None:
            return _known(found)
        raise ResourceExhausted(
            "no free card number was found: the programme needs another BIN",
            reason="BIN_EXHAUSTED",
            metadata={"bin": bin_digits},
        )

    async def issue_all(self, wanted: Sequence[Wanted]) -> dict[str, CardNumber]:
        """The same for many cards, with a few statements: those whose number was taken draw again,
        together.
        """
        rows = await self._store.numbers([one.card_id for one in wanted])
        found = {card_id: _known(row) for card_id, row in rows.items()}
        missing = {one.card_id: one for one in wanted if one.card_id not in found}
        for _ in range(DRAWS_MAX):
            if not missing:
                break
            found |= await self._drawn(list(missing.values()))
            missing = {card_id: one for card_id, one in missing.items() if card_id not in found}
        for one in missing.values():
            found[one.card_id] = await self.issue(
                one.card_id,
                bin_digits=one.bin,
                expiry_month=one.expiry_month,
                expiry_year=one.expiry_year,
            )
        return found

    async def _drawn(self, wanted: Sequence[Wanted]) -> dict[str, CardNumber]:
        """Draws a number for each card, once; those that were free, and are the cards' now."""
        pans = [numbers.make_pan(one.bin, self._random_bytes) for one in wanted]
        hashes = [self._keys.hashes_ever(pan) for pan in pans]
        taken = await self._store.taken([one for each in hashes for one in each])
        drawn: dict[str, SealedNumber] = {}
        for number, (one, pan, each) in enumerate(zip(wanted, pans, hashes, strict=True)):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            if taken.isdisjoint(each):
                drawn[one.card_id] = self._sealed(
                    one.card_id, pan, one.bin, one.expiry_month, one.expiry_year
                )
        inserted = await self._store.insert_all(
            [(one, key_of(one.pan_sealed)) for one in drawn.values()], now_ms=self._clock.now_ms()
        )
        return {card_id: _known(drawn[card_id]) for card_id in inserted}

    async def renew(self, card_id: str, *, expiry_month: int, expiry_year: int) -> CardNumber:
        """Lets a card keep its number until another month (reissue, renewal). Another expiry has
        another CVV.
        """
        now_ms = self._clock.now_ms()
        found = await self._store.update_expiry(
            card_id, expiry_month=expiry_month, expiry_year=expiry_year, now_ms=now_ms
        )
        if found is None:
            raise _no_number(card_id)
        return _known(found)

    async def reveal(self, reveal: Reveal, *, expiry_month: int, expiry_year: int) -> Revealed:
        """Shows a card's number and CVV, after that was recorded. Whoever calls has checked that
        the caller may see it, and knows until when the card is valid.
        """
        recorded = await self._store.record(
            reveal,
            now_ms=self._clock.now_ms(),
            window_ms=REVEAL_WINDOW_MS,
            most=self._reveals_per_hour,
            repeat_ms=self._repeat_s * 1000,
        )
        found = await self._store.number(reveal.card_id)
        if recorded is Recorded.NO_NUMBER or found is None:
            raise _no_number(reveal.card_id)
        if recorded is Recorded.REUSED:
            raise RequestIdReused(reveal.request_id)
        if recorded is Recorded.EXPIRED:
            raise FailedPrecondition(
                f"this request has shown the card more than {self._repeat_s} seconds ago: ask again"
                " under another request id",
                reason="REVEAL_EXPIRED",
                metadata={"card_id": reveal.card_id, "max_age_s": str(self._repeat_s)},
            )
        if recorded is Recorded.TOO_MANY:
            raise ResourceExhausted(
                f"the card was shown {self._reveals_per_hour} times within an hour; wait",
                reason="REVEAL_RATE_EXCEEDED",
                metadata={"card_id": reveal.card_id},
            )
        pan = self._keys.open(found.pan_sealed, card_id=found.card_id)
        expiry = {"expiry_month": expiry_month, "expiry_year": expiry_year}
        return Revealed(
            pan=pan, cvv=self._keys.cvv_of(pan, key_id=found.cvv_key_id, **expiry), **expiry
        )

    async def reveals(
        self, card_ids: Sequence[str], *, until_ms: int, offset: int, limit: int
    ) -> list[Shown]:
        """Who has seen numbers of these cards until an instant, newest first."""
        return await self._store.reveals(card_ids, until_ms=until_ms, offset=offset, limit=limit)

    async def resolve(self, pan: str) -> str | None:
        """The token that stands for a number; None if no card has it."""
        card_id = await self._store.card_of(self._keys.hashes(pan))
        return ids.pan_token_of(card_id) if card_id else None

    async def forget(self, card_ids: Sequence[str]) -> None:
        """Removes the numbers of cards of which nothing will be asked again. Can be repeated. That
        there were such numbers is kept, and not whose: merchants still have them, and would charge
        whoever got one next.
        """
        await self._store.forget(card_ids, self._used)

    async def rotate(self) -> int:
        """Brings numbers under the current keys, one page after the other; returns how many.

        Reading goes on meanwhile: a row names its key, and a ring opens with every version.
        """
        moved, after = 0, ""
        while True:
            key_id, hash_key_id = self._keys.sealing.current.id, self._keys.search.current.id
            page = await self._store.stale(
                key_id=key_id, hash_key_id=hash_key_id, after=after, limit=ROTATION_PAGE
            )
            for card_id, before in page:
                pan = self._keys.open(before, card_id=card_id)
                sealed = self._keys.seal(pan, card_id=card_id)
                hashed = self._keys.search.mac(pan.encode())
                await self._store.reseal(
                    card_id, before, sealed=(key_of(sealed), sealed), hashed=hashed
                )
            moved += len(page)
            if len(page) < ROTATION_PAGE:
                return moved
            after = page[-1][0]

    def _used(self, card_id: str, pan_sealed: bytes) -> bytes:
        pan = self._keys.open(pan_sealed, card_id=card_id)
        return self._keys.used.mac(pan.encode())[1]

    def _sealed(
        self, card_id: str, pan: str, bin_digits: str, expiry_month: int, expiry_year: int
    ) -> SealedNumber:
        hash_key_id, pan_hash = self._keys.search.mac(pan.encode())
        return SealedNumber(
            card_id=card_id,
            pan_sealed=self._keys.seal(pan, card_id=card_id),
            pan_hash=pan_hash,
            hash_key_id=hash_key_id,
            cvv_key_id=self._keys.cvv.current.id,
            bin=bin_digits,
            last4=numbers.last4_of(pan),
            expiry_month=expiry_month,
            expiry_year=expiry_year,
        )


def _known(number: SealedNumber) -> CardNumber:
    return CardNumber(
        bin=number.bin,
        last4=number.last4,
        expiry_month=number.expiry_month,
        expiry_year=number.expiry_year,
    )


def _no_number(card_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        "the card has no number", reason="CARD_HAS_NO_NUMBER", metadata={"card_id": card_id}
    )
